"""Two voices -> two tracks that take turns, as long as both together."""

import torch
from torch import Tensor

from ..errors import InputError

Sound = tuple[Tensor, int]
"""(channels, samples) in -1..1, and samples a second."""


def take_turns(first: Sound, second: Sound, pause: float) -> tuple[Sound, Sound, Sound]:
    """The first voice, a pause, the second voice: as a track for each, and as the whole.

    The first voice stays as it was recorded, sample by sample; so does the second if it has the same rate.

    Args:
        first, second: the voices.
        pause: seconds between them.

    Returns:
        The first voice followed by silence, silence followed by the second, and their sum; all of one length.

    Raises:
        InputError: the pause is not 0 to 60 seconds.
    """
    if not 0 <= pause <= 60:
        raise InputError(f"The pause is {pause!r} seconds; choose 0 to 60.")
    voice, rate = first
    answer = resample(second[0], second[1], rate)
    channels = max(len(voice), len(answer))
    voice, answer = _widened(voice, channels), _widened(answer, channels)
    begin = voice.shape[1] + round(pause * rate)
    whole = voice.new_zeros(channels, begin + answer.shape[1])
    one, two = whole.clone(), whole.clone()
    one[:, : voice.shape[1]] = voice
    two[:, begin:] = answer
    return (one, rate), (two, rate), (one + two, rate)


def resample(waveform: Tensor, rate: int, wanted: int) -> Tensor:
    """(channels, samples) at another rate, by its spectrum; unchanged if the rate is the same."""
    if rate == wanted:
        return waveform
    length = max(1, round(waveform.shape[1] * wanted / rate))
    spectrum = torch.fft.rfft(waveform)
    kept = spectrum.new_zeros(len(waveform), length // 2 + 1)
    count = min(kept.shape[1], spectrum.shape[1])
    kept[:, :count] = spectrum[:, :count]
    return torch.fft.irfft(kept, n=length) * (length / waveform.shape[1])


def _widened(waveform: Tensor, channels: int) -> Tensor:
    """Mono in as many channels as the other voice has; more than one channel is filled up with silence."""
    if len(waveform) == channels:
        return waveform
    if len(waveform) == 1:
        return waveform.expand(channels, -1)
    return torch.cat([waveform, waveform.new_zeros(channels - len(waveform), waveform.shape[1])])
