"""Sound -> 16 kHz mono, log mel frames, loudness per video frame.

Everything here is a fixed computation without weights. Mel frame j is centred on (j + 0.5) * 10 ms, so
that four of them make up one video frame at 25 frames a second. The mel bank is librosa's (`mel_bank.py`);
the short-time Fourier transform is done in torch, in blocks, and equals librosa's on the same windows. Source
of the 0.2 s unit that these frames are grouped into: seed 04, sections 2 and 3; the mel settings are our own
reconstruction.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from ..errors import InputError
from .mel_bank import FFT_SIZE, MELS, SAMPLE_RATE, mel_bank

WINDOW = 400  # 25 ms
HOP = 160  # 10 ms
FLOOR = 1e-9  # mel power of a full-scale sine is about 0.25; the floor lies 84 dB below
SILENCE_DB = -120.0
TARGET_DB = -20.0  # level that the loudest tenth of a recording is brought to
MOST_GAIN_DB = 30.0

_RATES = (1_000, 768_000)
_ZERO_CROSSINGS = 24  # of the sinc on each side, in periods of the lower rate
_ROLLOFF = 0.94  # pass band as a share of the lower Nyquist frequency
_BLOCK = 8_192  # output samples, or a quarter as many mel frames or video frames, computed at once


def mono_16k(waveform: Tensor, sample_rate: int) -> Tensor:
    """Mix channels to mono and resample to 16 kHz.

    Resampling is a Kaiser-windowed sinc with one exact filter per output phase: deterministic, linear
    phase, and sample n lies at n / 16000 seconds whatever the input rate.

    Args:
        waveform: (S,), (C, S) or (1, C, S) samples, nominally in -1..1; integers are not accepted.
        sample_rate: samples a second, 1000 to 768000.

    Returns:
        (ceil(S * 16000 / sample_rate),) float32.

    Raises:
        InputError: not a tensor of sound, no samples, values that are not finite, or a rate out of range.
    """
    channels = _checked(waveform, sample_rate)
    return channels.mean(0) if sample_rate == SAMPLE_RATE else _resample(channels, int(sample_rate))


def _checked(waveform: Tensor, sample_rate: int) -> Tensor:
    if not isinstance(waveform, Tensor):
        raise InputError(
            f"The recording is a {type(waveform).__name__}, not a tensor of samples; load it as AUDIO first."
        )
    if not waveform.is_floating_point():
        raise InputError(f"The recording holds {waveform.dtype} values; convert them to floats in -1..1.")
    shape = tuple(waveform.shape)
    if waveform.dim() == 3 and shape[0] == 1:
        waveform = waveform[0]
    if waveform.dim() not in (1, 2):
        raise InputError(
            f"The recording has shape {shape}; expected (samples,), (channels, samples) or (1, channels, samples). "
            "Give one recording at a time."
        )
    if waveform.numel() == 0:
        raise InputError(f"The recording is empty (shape {shape}, 0 samples); choose one that holds sound.")
    if isinstance(sample_rate, bool) or int(sample_rate) != sample_rate or not _RATES[0] <= sample_rate <= _RATES[1]:
        raise InputError(
            f"The sample rate is {sample_rate!r}; a whole number of hertz from {_RATES[0]} to {_RATES[1]} is needed. "
            "Save the recording again at a common rate such as 44100."
        )
    channels = waveform.detach().to("cpu", torch.float32)
    channels = channels if channels.dim() == 2 else channels[None]
    broken = sum(int((~part.isfinite()).sum()) for part in channels.split(1 << 20, dim=1))
    if broken:
        raise InputError(
            f"{broken} of {channels.numel()} samples of the recording are NaN or infinite, so it is damaged; "
            "export it again from its source."
        )
    return channels


@lru_cache(maxsize=4)
def _filters(up: int, down: int) -> tuple[Tensor, int]:
    """One windowed-sinc filter per output phase, as (up, taps), and the offset of its first tap."""
    scale = min(1.0, up / down) * _ROLLOFF  # cut-off relative to the input's Nyquist frequency
    reach = math.ceil(_ZERO_CROSSINGS / scale)
    taps = torch.arange(-reach + 1, reach + 1, dtype=torch.float64)
    fraction = (torch.arange(up, dtype=torch.float64) * down / up) % 1.0
    distance = taps - fraction[:, None]  # (up, taps), in input samples
    inside = (1 - (distance / reach) ** 2).clamp(min=0).sqrt()
    kernel = torch.sinc(distance * scale) * torch.special.i0(8.0 * inside)
    return (kernel / kernel.sum(1, keepdim=True)).float(), -reach + 1


def _resample(channels: Tensor, rate: int) -> Tensor:
    common = math.gcd(rate, SAMPLE_RATE)
    up, down = SAMPLE_RATE // common, rate // common
    filters, first = _filters(up, down)
    taps = filters.shape[1]
    count = channels.shape[1]
    out = torch.empty(-(-count * up // down))
    for start in range(0, len(out), _BLOCK):  # mixed and read block by block: nothing long is ever copied
        place = torch.arange(start, min(start + _BLOCK, len(out)))
        source = place * down // up + first  # input sample under each output's first tap
        low, high = int(source[0]), int(source[-1]) + taps
        block = channels[:, max(0, low) : min(count, high)].mean(0)
        block = torch.nn.functional.pad(block, (max(0, -low), max(0, high - count)))
        windows = block.unfold(0, taps, 1)
        torch.sum(windows[source - low] * filters[place % up], 1, out=out[start : start + len(place)])
    return out


def mel_power(samples: Tensor, frames: int) -> Tensor:
    """Mel power spectrum at 100 frames a second.

    Args:
        samples: (S,) at 16 kHz.
        frames: how many mel frames to give; sound past the end counts as silence.

    Returns:
        (frames, 64); a sine of amplitude a gives about a^2 / 4 in its band.
    """
    window = torch.hann_window(WINDOW)
    window = torch.nn.functional.pad(window / window.sum(), ((FFT_SIZE - WINDOW) // 2,) * 2)
    before = FFT_SIZE // 2 - HOP // 2
    needed = (frames - 1) * HOP + FFT_SIZE
    padded = torch.nn.functional.pad(samples, (before, max(0, needed - before - len(samples))))
    pieces = padded.unfold(0, FFT_SIZE, HOP)[:frames]
    bank, out = mel_bank(), torch.empty(frames, MELS)
    for part, to in zip(pieces.split(_BLOCK // 4), out.split(_BLOCK // 4), strict=True):
        torch.matmul(torch.fft.rfft(part * window).abs().square(), bank.T, out=to)
    return out


def recording_gain_db(samples: Tensor) -> float:
    """Gain in dB that brings the loudest tenth of a recording to -20 dB, within +-30 dB; 0 for digital silence.

    This is the only number that is estimated from the whole recording. It makes quiet and loud voices
    alike for the network, whose own receptive field stays strictly local.
    """
    pieces = torch.nn.functional.pad(samples, (0, -len(samples) % 640)).view(-1, 640)
    level = pieces.square().mean(1)
    loud = torch.quantile(level[:: max(1, len(level) // 100_000)], 0.9).item()
    loud = loud or level.max().item()
    if loud <= 0:
        return 0.0
    return max(-MOST_GAIN_DB, min(MOST_GAIN_DB, TARGET_DB - 10 * math.log10(loud)))


def log_mel(samples: Tensor, frames: int, gain_db: float = 0.0) -> Tensor:
    """Natural logarithm of mel power, as (frames, 64); `gain_db` is applied before the floor."""
    return torch.log(mel_power(samples, frames) * 10 ** (gain_db / 10) + FLOOR)


def frame_loudness(samples: Tensor, frames: int, fps: float) -> Tensor:
    """Level of each video frame in dB relative to full scale, as (frames,), -120 for digital silence.

    The window is 40 ms, or the frame's duration where that is longer, centred on (i + 0.5) / fps seconds.
    """
    half = max(0.02, 0.5 / fps) * SAMPLE_RATE
    out = torch.empty(frames)
    for to, index in zip(out.split(_BLOCK // 4), torch.arange(frames).split(_BLOCK // 4), strict=True):
        centre = (index.double() + 0.5) / fps * SAMPLE_RATE
        low = (centre - half).round().long().clamp(0, len(samples))
        high = (centre + half).round().long().clamp(0, len(samples))
        energy = samples[low[0] : high[-1]].double().square().cumsum(0)
        energy = torch.nn.functional.pad(energy, (1, 0))
        mean = (energy[high - low[0]] - energy[low - low[0]]).clamp(min=0) / (2 * half)
        to.copy_((10 * torch.log10(mean + 1e-12)).clamp(min=SILENCE_DB))
    return out
