"""Mel-frequency cepstral coefficients as ATVGnet was trained on (seed 02, section 1).

The definitions are those of the package python_speech_features with its defaults, which the authors used: 25 ms
rectangular windows every 10 ms, pre-emphasis 0.97, 512-point power spectrum, 26 triangular mel filters, orthonormal
cosine transform, 13 cepstra, sine lifter 22. The first coefficient (there the energy) is left out.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from .audio import SAMPLE_RATE

FRAME, STEP, FFT_SIZE = 400, 160, 512
FILTERS, CEPSTRA, LIFTER = 26, 13, 22
PREEMPHASIS = 0.97


@lru_cache(maxsize=1)
def _filters() -> Tensor:
    """Triangles between whole bins of the spectrum, (257, 26)."""
    highest = 2595 * math.log10(1 + SAMPLE_RATE / 2 / 700)
    mels = torch.linspace(0, highest, FILTERS + 2, dtype=torch.float64)
    edges = ((FFT_SIZE + 1) * 700 * (10 ** (mels / 2595) - 1) / SAMPLE_RATE).floor()
    bins = torch.arange(FFT_SIZE // 2 + 1, dtype=torch.float64)[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising = torch.where((bins >= low) & (bins < middle), (bins - low) / (middle - low), 0)
    falling = torch.where((bins >= middle) & (bins < high), (high - bins) / (high - middle), 0)
    return rising + falling


@lru_cache(maxsize=1)
def _cosines() -> Tensor:
    """Orthonormal cosine transform with the lifter, without the first coefficient, (26, 12)."""
    number = torch.arange(1, CEPSTRA, dtype=torch.float64)
    place = torch.arange(FILTERS, dtype=torch.float64)[:, None] + 0.5
    lifter = 1 + LIFTER / 2 * torch.sin(math.pi * number / LIFTER)
    return torch.cos(math.pi / FILTERS * place * number) * math.sqrt(2 / FILTERS) * lifter


def mfcc(samples: Tensor) -> Tensor:
    """Coefficients 1 to 12, a row every 10 ms.

    Args:
        samples: (S,) at 16 kHz in -1..1.

    Returns:
        (1 + ceil((S - 400) / 160), 12) float32, at least one row; the last window is filled up with zeros.
    """
    samples = samples.double()
    emphasised = torch.cat([samples[:1], samples[1:] - PREEMPHASIS * samples[:-1]])
    count = 1 + max(0, math.ceil((len(samples) - FRAME) / STEP))
    padded = F.pad(emphasised, (0, max(0, (count - 1) * STEP + FRAME - len(samples))))
    rows = []
    for windows in padded.unfold(0, FRAME, STEP)[:count].split(4096):
        power = torch.fft.rfft(windows, FFT_SIZE).abs().square() / FFT_SIZE
        energies = power @ _filters()
        energies = torch.where(energies == 0, torch.finfo(torch.float64).eps, energies)
        rows.append((energies.log() @ _cosines()).float())
    return torch.cat(rows)
