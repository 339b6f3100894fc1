"""librosa's mel filter bank, stored, because importing librosa takes 1.4 s, nearly half of the time to the first frame.

`python -m articulate.models_hub.stages.mel_bank` writes it anew, should a setting change.
"""

from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

STORED = Path(__file__).with_name("mel_bank.safetensors")
SAMPLE_RATE = 16_000
FFT_SIZE = 512
MELS = 64
LOWEST_HZ, HIGHEST_HZ = 50.0, 7600.0


def make_mel_bank() -> Tensor:
    """(MELS, FFT_SIZE / 2 + 1) float32, triangles on the HTK scale, not normalised, as `librosa.filters.mel` has it."""
    import librosa

    bank = librosa.filters.mel(
        sr=SAMPLE_RATE, n_fft=FFT_SIZE, n_mels=MELS, fmin=LOWEST_HZ, fmax=HIGHEST_HZ, htk=True, norm=None
    )
    return torch.from_numpy(bank)


@lru_cache(maxsize=1)
def mel_bank() -> Tensor:
    """What `make_mel_bank` returns, from the file."""
    return load_file(STORED)["mel_bank"]


if __name__ == "__main__":
    save_file({"mel_bank": make_mel_bank()}, STORED)
