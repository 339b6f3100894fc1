"""What rooms, microphones and other throats do to speech, and what is hidden of it while an encoder learns.

Sound is augmented on its mel power, where gain, equalisation, noise, other voices, reverberation and formant
shifts are a few operations on a batch.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..stages.audio import FLOOR


def augment(mel: Tensor, random: torch.Generator) -> Tensor:
    """What rooms, microphones and other throats do to speech, on (B, F, 64) natural log mel power."""
    count, frames, bands = mel.shape

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.empty(count, *(shape or (1, 1))).uniform_(low, high, generator=random)

    def sometimes(share: float) -> Tensor:
        return (torch.rand(count, 1, 1, generator=random) < share).float()

    # Formants: stretch and shift the band axis.
    stretch, shift = uniform(-0.12, 0.12), uniform(-2.5, 2.5)
    place = (torch.arange(bands) * (1 + stretch) + shift).clamp(0, bands - 1).expand(count, frames, bands)
    low = place.floor().long()
    high = (low + 1).clamp(max=bands - 1)
    mel = torch.lerp(mel.gather(2, low), mel.gather(2, high), place - low)

    # Microphone and distance: smooth equalisation and gain.
    ripple = torch.cos(torch.pi * torch.arange(4)[:, None] * (torch.arange(bands) + 0.5) / bands)
    mel = mel + torch.einsum("bk,km->bm", 0.5 * torch.randn(count, 4, generator=random), ripple)[:, None]

    # Room: each band decays exponentially after the direct sound.
    power = mel.exp()
    taps = torch.arange(1, 25)[None, :, None]
    decay = torch.exp(-taps / uniform(2.0, 8.0)) * uniform(0.02, 0.25) * sometimes(0.3)  # (B, 24, 1)
    spectrum = torch.fft.rfft(F.pad(decay, (0, 0, 1, 0)), frames + 24, dim=1)
    tail = torch.fft.irfft(torch.fft.rfft(power, frames + 24, dim=1) * spectrum, frames + 24, dim=1)
    power = power + tail[:, :frames].clamp(min=0)

    # Steady noise, and another voice of the batch far behind.
    loud = power.mean((1, 2), keepdim=True)
    tilt = torch.exp(torch.randn(count, 1, 1, generator=random) * torch.linspace(-1.5, 1.5, bands))
    grain = -torch.log(torch.rand(count, frames, bands, generator=random).clamp(min=1e-3))
    noise = loud * 10 ** uniform(-4.5, -0.8) * tilt * grain * sometimes(0.6)
    other = power.roll(1, 0) * (loud / loud.roll(1, 0)) * 10 ** uniform(-4.0, -1.0) * sometimes(0.25)
    return torch.log(power + noise + other + FLOOR)


def hide_bands(mel: Tensor, random: torch.Generator, widest: int = 12) -> Tensor:
    """Replace one random run of bands of normalised mel (B, F, 64) with the mean."""
    count, _, bands = mel.shape
    width = torch.randint(0, widest + 1, (count, 1, 1), generator=random)
    first = torch.randint(0, bands - widest, (count, 1, 1), generator=random)
    band = torch.arange(bands)
    hidden = (band >= first) & (band < first + width)
    return mel.masked_fill(hidden.to(mel.device), 0.0)


def hide_spans(count: int, frames: int, share: float, span: int, random: torch.Generator) -> Tensor:
    """(count, frames) bool, True in random spans that cover about `share` of the time."""
    starts = torch.rand(count, frames, generator=random) < share / span
    hidden = F.max_pool1d(F.pad(starts.float()[:, None], (span - 1, 0)), span, stride=1)[:, 0]
    return hidden > 0
