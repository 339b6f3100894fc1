"""AUDIO -> ART_SPEECH: contextual lip motion units at the video's frame rate (CALS, our reconstruction)."""

import logging
import math

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..loading import EMBEDDED, load_network
from ..networks.audio_to_lip import MARGIN, STEP
from ..threads import one_thread
from ..types import DEFAULT_FPS, Progress, Speech, frame_count
from .audio import FLOOR, frame_loudness, log_mel, mono_16k, recording_gain_db
from .inference import Placed

BLOCK = 500  # units computed at once: 20 seconds
NATIVE_FPS = 25.0
INAUDIBLE_DB = -80.0  # relative to full scale; a little above the noise of 16 bits

_log = logging.getLogger(__name__)  # without a host's own setting, warnings go to stderr


@one_thread()
def encode_speech(
    waveform: Tensor,
    sample_rate: int,
    fps: float = DEFAULT_FPS,
    weights: str = EMBEDDED,
    progress: Progress | None = None,
) -> Speech:
    """Lip motion units of a recording, one per video frame.

    A recording that is silent throughout is told of in a warning; the mouth rightly stays closed then.

    The network works at 25 units a second; at another frame rate, frame i reads the units on either side of
    its centre, (i + 0.5) / fps seconds, and mixes them linearly. At 25 a unit sees 1.24 s of sound exactly
    (seed 04); besides, one gain is estimated from the whole recording (`audio.recording_gain_db`).

    Args:
        waveform: (S,), (C, S) or (1, C, S) floats.
        sample_rate: samples a second.
        fps: video frames a second, 1 to 240.
        weights: "embedded" or the path of a safetensors file.
        progress: called after every 20 seconds of sound with (frames done, frames in all).

    Returns:
        Speech with exactly round(fps * seconds) frames, at least one.

    Raises:
        InputError: the recording or the frame rate cannot be used.
        WeightsError: the weights cannot be used.
    """
    if not (math.isfinite(fps) and 1 <= fps <= 240):
        raise InputError(f"The frame rate is {fps!r}; give 1 to 240 frames a second, best the 25 that were learned.")
    samples = mono_16k(waveform, sample_rate)
    network = Placed(load_network("audio_to_lip", weights))
    total = frame_count(waveform.shape[-1], int(sample_rate), fps)
    native = total if fps == NATIVE_FPS else math.ceil(total / fps * NATIVE_FPS) + 1
    mel = log_mel(samples, native * STEP, recording_gain_db(samples))
    mel = network.normalise(mel)  # (4 T, M)
    units = encode_units(network, mel, progress, total)
    place = ((torch.arange(total, dtype=torch.float64) + 0.5) * (NATIVE_FPS / fps) - 0.5).clamp(min=0)
    loudness = frame_loudness(samples, total, fps)
    if loudness.max() <= INAUDIBLE_DB:
        _log.warning(
            "The recording is silent throughout (its loudest frame lies at %.0f dB, where full scale is 0), so the "
            "mouth stays closed; check that it is the right file and that its sound is on.",
            loudness.max(),
        )
    return Speech(
        units=_between(units, place),
        mel=_between(mel.view(native, STEP, -1), place),
        loudness=loudness,
        samples=waveform.shape[-1],
        sample_rate=int(sample_rate),
        fps=float(fps),
    )


def silent_mel(network: nn.Module) -> Tensor:
    """(mels,) the normalised log mel of digital silence, which also stands for the time outside a recording."""
    return network.normalise(torch.full_like(network.mel_mean, math.log(FLOOR)))


@torch.no_grad()
def encode_units(
    network: nn.Module, mel: Tensor, progress: Progress | None = None, total: int | None = None, block: int = BLOCK
) -> Tensor:
    """Units of a whole recording, computed in overlapping blocks; the block size changes nothing.

    Args:
        network: AudioToLip.
        mel: (4 T, mels) normalised log mel.
        progress, total: as in `encode_speech`; `total` scales what is reported (default T).
        block: units at once.

    Returns:
        (T, D).
    """
    count = len(mel) // STEP
    edge = silent_mel(network).expand(MARGIN, -1)
    padded = torch.cat([edge, mel[: count * STEP], edge])
    total = count if total is None else total
    units = torch.empty(count, network.width)
    for start in range(0, count, block):
        stop = min(start + block, count)
        units[start:stop] = network(padded[None, start * STEP : stop * STEP + 2 * MARGIN])[0]
        if progress is not None:
            progress(total if stop == count else min(total, stop), total)
    return units


def _between(values: Tensor, place: Tensor) -> Tensor:
    """Linear mixture of neighbouring rows of (T, ...) at fractional places (n,)."""
    low = place.floor().long().clamp(max=len(values) - 1)
    high = (low + 1).clamp(max=len(values) - 1)
    share = (place - low).float().view(-1, *[1] * (values.dim() - 1))
    return torch.lerp(values[low], values[high], share)
