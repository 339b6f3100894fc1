"""Sound files <-> tensors."""

import os
from fractions import Fraction
from typing import IO, Any

import torch
from torch import Tensor

from ..errors import MediaError
from .decoding import decoded, ogg_cut_short, stated_seconds, warn_of_loss
from .files import check_readable, written_whole
from .recording import Recording


def read_audio(path: str | os.PathLike) -> tuple[Tensor, int]:
    """The sound of any audio or video file as ((C, S) float32 in -1..1, samples a second).

    Nothing is resampled or mixed. The samples that a codec adds at the start and at the end are left out where
    the file says how many there are. In a video, the sound starts with the picture: it is cut, or silence is put
    before it; gaps become silence. Damaged parts are left out too; a warning then says how much is left.

    Raises:
        MediaError: the file is missing, empty, damaged, or has no sound.
    """
    path = check_readable(path, "sound")
    with open(path, "rb") as file:
        return decode_audio(file, str(path))


def decode_audio(file: IO[bytes], name: str, start: Fraction | None = None) -> tuple[Tensor, int]:
    """As `read_audio`, from an open file.

    Args:
        file: open for reading bytes.
        name: the file, for messages.
        start: time stamp of the first picture in seconds, if it is known better than by the file's head.

    Raises:
        MediaError: the file is damaged or has no sound.
    """
    import av

    damage: list[Exception] = []
    ends: list[Fraction] = []
    recording = last = None
    try:
        with av.open(file) as container:
            stream = _sound_stream(container, name)
            stated, cut = stated_seconds(container, stream, file), ogg_cut_short(container, file)
            recording = Recording(
                stated or (container.duration or 0) / 1e6, _picture_start(container) if start is None else start
            )
            for last in decoded(container, stream, damage, ends):
                recording.add(last)
            recording.finish()
    except (av.FFmpegError, ValueError, EOFError) as error:
        damage.append(error)
    length = recording.length if recording else 0
    if damage and not length:
        raise MediaError(
            f"{name} cannot be read as sound ({_reason(damage[0])}); it is damaged, cut short or not a sound file. "
            "Copy or export it again."
        ) from damage[0]
    if not length:
        raise MediaError(f"{name} has a sound track without a single sample; choose another recording.")
    if cut:
        stated = None  # FFmpeg takes it for what is there
        damage.append(EOFError("its last page is missing"))
    values = recording.samples()[:, : length - _filling(last, ends, recording.rate)]
    warn_of_loss(name, "sound", (values.shape[1] - recording.silent) / recording.rate, stated, damage)
    return torch.from_numpy(values), recording.rate


def _sound_stream(container: Any, name: str) -> Any:
    if not container.streams.audio:
        raise MediaError(f"{name} has no sound in it; choose a recording, or a video with a sound track.")
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise MediaError(f"{name} has sound of a kind that is not known here, or is damaged; export it again, as FLAC.")
    return stream


def _picture_start(container: Any) -> Fraction | None:
    """Time stamp of the first picture in seconds; None where there is none, or only the cover of a piece of music."""
    import av

    moving = [
        stream for stream in container.streams.video if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if not moving or moving[0].start_time is None:
        return None
    return moving[0].start_time * moving[0].time_base


def _filling(frame: Any, ends: list[Fraction], rate: int) -> int:
    """How many samples at the end of the last frame are no sound, but fill it up."""
    if frame.pts is None or not ends:
        return 0
    filling = round((frame.pts * frame.time_base - ends[0]) * rate) + frame.samples
    rounding = frame.time_base * rate  # a container that counts in milliseconds cannot say it exactly
    return filling if rounding < filling < frame.samples else 0


def _reason(error: Exception) -> Any:
    return getattr(error, "strerror", None) or error


def write_audio(
    path: str | os.PathLike,
    waveform: Tensor,
    sample_rate: int,
    overwrite: bool = False,
    metadata: dict[str, str] | None = None,
) -> None:
    """Write (C, S) in -1..1 as a FLAC file, 24 bits a sample.

    Raises:
        MediaError: the path cannot be written, or the recording is empty or has more than 8 channels.
    """
    import av

    if waveform.ndim != 2 or not waveform.numel() or waveform.shape[0] > 8:
        raise MediaError(
            f"A recording of shape {tuple(waveform.shape)} cannot be written; it must be (1 to 8 channels, samples)."
        )
    with written_whole(path, overwrite) as file, av.open(file, "w", format="flac") as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream("flac", rate=sample_rate, layout=channel_layout(waveform.shape[0]), format="s32")
        values = (waveform.detach().cpu().double().clamp(-1, 1) * (2**31 - 1)).round().to(torch.int32)
        for start in range(0, values.shape[1], sample_rate):
            packed = values[:, start : start + sample_rate].T.reshape(1, -1).contiguous().numpy()
            frame = av.AudioFrame.from_ndarray(packed, format="s32", layout=channel_layout(waveform.shape[0]))
            frame.sample_rate = sample_rate
            frame.pts = start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def channel_layout(channels: int) -> str:
    """FFmpeg's usual speaker layout for a number of channels."""
    return ("mono", "stereo", "2.1", "quad", "5.0", "5.1", "6.1", "7.1")[channels - 1]
