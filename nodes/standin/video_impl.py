"""Videos that come from a file or from frames in memory."""

from collections.abc import Iterator
from fractions import Fraction
from typing import IO, Any

import torch
from torch import Tensor

from ...models_hub.errors import MediaError
from ...models_hub.media import VideoReader, write_video
from .video import VideoCodec, VideoComponents, VideoContainer, VideoInput

_CHUNK = 8


class _Saved(VideoInput):
    """What both kinds share: writing themselves chunk by chunk."""

    def _chunks(self) -> Iterator[Tensor]:
        raise NotImplementedError

    def _audio(self) -> tuple[Tensor, int] | None:
        raise NotImplementedError

    def save_to(
        self,
        path: str | IO[bytes],
        format: VideoContainer = VideoContainer.AUTO,
        codec: VideoCodec = VideoCodec.AUTO,
        metadata: dict | None = None,
        bit_depth: int | None = None,
        crf: float | None = None,
        color_space: str | None = None,
    ) -> None:
        refuse_other_than_mp4(format, codec)
        rate, length = self.get_frame_rate(), self.get_frame_count()
        audio = self._audio()
        write_video(path, self._chunks(), rate, audio, crf=crf, length=length, metadata=metadata, overwrite=True)


def refuse_other_than_mp4(format: VideoContainer | str, codec: VideoCodec | str) -> None:
    """Raises MediaError for a container or codec other than mp4 with H.264, which is all that is written here."""
    if VideoContainer(format) not in (VideoContainer.AUTO, VideoContainer.MP4) or VideoCodec(codec) is VideoCodec.AV1:
        raise MediaError(
            f"Videos are written as mp4 with H.264 here, not as {VideoContainer(format).value} with "
            f"{VideoCodec(codec).value}; choose mp4 and h264 (or auto), or run the workflow in ComfyUI."
        )


class VideoFromFile(_Saved):
    """A video file, or a part of one; frames are decoded when they are asked for."""

    def __init__(self, file: str | IO[bytes], *, start_time: float = 0, duration: float = 0):
        self._file = file
        self._reader = VideoReader(file)
        count, fps = self._reader.frame_count, self._reader.fps
        first = round(start_time * fps) + (count if start_time < 0 else 0)
        self._start = min(max(0, first), count)
        self._stop = min(count, self._start + round(duration * fps)) if duration else count

    def get_components(self) -> VideoComponents:
        audio = self._audio()
        sound = {"waveform": audio[0][None], "sample_rate": audio[1]} if audio is not None else None
        return VideoComponents(torch.cat(list(self._chunks())), self.get_frame_rate(), sound)

    def as_trimmed(
        self, start_time: float | None = None, duration: float | None = None, strict_duration: bool = False
    ) -> VideoInput | None:
        own_start, own_end = self._start / self._reader.fps, self._stop / self._reader.fps
        start = (start_time or 0) + float(own_end if (start_time or 0) < 0 else own_start)
        left = float(own_end) - start
        if left <= 0 or (strict_duration and duration and duration > left):
            return None
        return VideoFromFile(self._file, start_time=max(0.0, start), duration=min(duration or left, left))

    def get_stream_source(self) -> Any:
        if hasattr(self._file, "seek"):
            self._file.seek(0)
        return self._file

    def get_active_trim_window(self) -> tuple[float, float]:
        whole = self._start == 0 and self._stop == self._reader.frame_count
        fps = self._reader.fps
        return (0.0, 0.0) if whole else (float(self._start / fps), float((self._stop - self._start) / fps))

    def get_dimensions(self) -> tuple[int, int]:
        return self._reader.size

    def get_duration(self) -> float:
        return float(self.get_frame_count() / self.get_frame_rate())

    def get_frame_count(self) -> int:
        return self._stop - self._start

    def get_frame_rate(self) -> Fraction:
        return self._reader.fps

    def _chunks(self) -> Iterator[Tensor]:
        return self._reader.frames(_CHUNK, self._start, self._stop)

    def _audio(self) -> tuple[Tensor, int] | None:
        audio = self._reader.read_audio()
        if audio is None:
            return None
        waveform, rate = audio
        first, last = (round(frame / self._reader.fps * rate) for frame in (self._start, self._stop))
        return (waveform if self.get_active_trim_window() == (0.0, 0.0) else waveform[:, first:last]), rate


class VideoFromComponents(_Saved):
    """Frames in memory, perhaps with sound."""

    def __init__(self, components: VideoComponents, bit_depth: int = 8):
        self._components = components

    def get_components(self) -> VideoComponents:
        return self._components

    def as_trimmed(
        self, start_time: float | None = None, duration: float | None = None, strict_duration: bool = False
    ) -> VideoInput | None:
        parts, rate = self._components, self._components.frame_rate
        count = len(parts.images)
        start = round((start_time or 0) * rate) + (count if (start_time or 0) < 0 else 0)
        wanted = round(duration * rate) if duration else count
        stop = min(count, max(0, start) + wanted)
        if stop <= max(0, start) or (strict_duration and duration and stop - max(0, start) < wanted):
            return None
        start = max(0, start)
        sound = parts.audio
        if sound is not None:
            first, last = (round(frame / rate * sound["sample_rate"]) for frame in (start, stop))
            sound = {**sound, "waveform": sound["waveform"][..., first:last]}
        return VideoFromComponents(VideoComponents(parts.images[start:stop], rate, sound, parts.metadata))

    def get_frame_rate(self) -> Fraction:
        return Fraction(self._components.frame_rate)

    def _chunks(self) -> Iterator[Tensor]:
        return iter(self._components.images.split(_CHUNK))

    def _audio(self) -> tuple[Tensor, int] | None:
        sound = self._components.audio
        return None if sound is None else (sound["waveform"][0], sound["sample_rate"])


class InputImpl:
    """The namespace under which hosts offer the classes of this module."""

    VideoFromFile = VideoFromFile
    VideoFromComponents = VideoFromComponents
