"""Videos of this pack: one that renders while it is saved, and reading any VIDEO frame by frame."""

import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import IO, Any

import torch
from torch import Tensor

from ..models_hub.errors import InputError
from ..models_hub.media import VideoReader, write_video
from ..models_hub.stages.compose import compose_frames
from ..models_hub.stages.region import DEFAULT_FEATHER
from ..models_hub.types import Stream
from .host import (
    INSIDE_COMFYUI,
    InputImpl,
    Types,
    VideoComponents,
    VideoInput,
    host_progress,
    intermediate_device,
)
from .types import explains_missing_packages

INTERMEDIATE_CRF = 4.0
"""Quality of a video that is converted again: no loss that can be seen."""

Sound = tuple[Tensor, int]
"""(channels, samples) in -1..1, and samples a second."""


@dataclass(frozen=True, eq=False)
class StreamedVideo(VideoInput):
    """A VIDEO whose frames are made when they are asked for, a few at a time.

    Saving renders straight into the encoder, so memory does not grow with the length. Nothing is kept:
    whoever asks twice renders twice, and gets the same frames.

    Attributes:
        stream: generated frames (ART_FRAMES).
        sound: the sound track; it starts with frame `first`.
        mode, feather, colour_match: as for `compose_frames`.
        first, last: the part of the stream that is shown, as in a slice.
        below: a video of the same picture that the face is pasted into, from its first frame on.
        maker: id of the node that made this, which shows its frames while they are rendered; a node that saves
            videos would take such pictures for the video that it has saved.
    """

    stream: Stream
    sound: Sound | None = None
    mode: str = "picture"
    feather: float = DEFAULT_FEATHER
    colour_match: float = 1.0
    first: int = 0
    last: int | None = None
    below: Any = None
    maker: str | None = None

    def frames(self, dtype: torch.dtype = torch.float32, alone: bool = True) -> Iterator[Tensor]:
        """The frames in order, (n, H, W, 3): float32 in 0..1, or uint8 for encoders.

        Some are made ahead by other threads. `alone` says that nobody runs networks meanwhile, see `worker_count`.
        """
        with torch.inference_mode():
            yield from compose_frames(
                self.stream,
                self.mode,
                self.feather,
                self.colour_match,
                self.first,
                self._stop(),
                dtype,
                None if self.below is None else _from_frame(self.below, self.first),
                alone,
            )

    def _stop(self) -> int:
        return len(self.stream) if self.last is None else self.last

    def get_frame_count(self) -> int:
        return self._stop() - self.first

    def get_frame_rate(self) -> Fraction:
        return Fraction(self.stream.fps).limit_denominator(100_000)

    def get_duration(self) -> float:
        return float(self.get_frame_count() / self.get_frame_rate())

    def get_dimensions(self) -> tuple[int, int]:
        if self.mode == "crop":
            return self.stream.size, self.stream.size
        height, width = self.stream.face.picture.shape[:2]
        return width, height

    def get_container_format(self) -> str:
        return "mp4"

    def get_color_space(self) -> str:
        return "sRGB"

    @explains_missing_packages
    def get_components(self) -> VideoComponents:
        count = self.get_frame_count()
        width, height = self.get_dimensions()
        progress = host_progress(count, shown_on=self.maker)
        images = torch.empty(count, height, width, 3, device=intermediate_device())
        done = 0
        with closing(self.frames()) as chunks:  # also where a run is cancelled
            for frames in chunks:
                images[done : done + len(frames)] = frames
                done += len(frames)
                progress(done, count, frames[-1])
        return VideoComponents(images=images, frame_rate=self.get_frame_rate(), audio=_audio(self.sound))

    @explains_missing_packages
    def save_to(
        self,
        path: str | IO[bytes],
        format: Any = Types.VideoContainer.AUTO,
        codec: Any = Types.VideoCodec.AUTO,
        metadata: dict | None = None,
        bit_depth: int | None = None,
        crf: float | None = None,
        color_space: str | None = None,
    ) -> None:
        known = (
            Types.VideoContainer(format).value in ("auto", "mp4"),
            Types.VideoCodec(codec).value in ("auto", "h264"),
        )
        if not all(known) or (bit_depth or 8) != 8 or color_space not in (None, "sRGB"):
            given = {"bit_depth": bit_depth, "crf": crf, "color_space": color_space}
            self._convert_to(path, format, codec, metadata, {k: v for k, v in given.items() if v is not None})
            return
        count = self.get_frame_count()
        report = host_progress(count, shown_on=self.maker)

        def frames() -> Iterator[Tensor]:
            done = 0
            with closing(self.frames(torch.uint8)) as chunks:
                for chunk in chunks:
                    done += len(chunk)
                    report(done, count, chunk[-1].float() / 255)  # also the place where a run is cancelled
                    yield chunk

        write_video(path, frames(), self.get_frame_rate(), self.sound, crf=crf, metadata=metadata, overwrite=True)

    def _convert_to(self, path: str | IO[bytes], format: Any, codec: Any, metadata: dict | None, options: dict) -> None:
        """Render to a temporary file of high quality, which the host then converts to what it was asked for."""
        if not INSIDE_COMFYUI:
            wanted = ", ".join(str(choice) for choice in (format, codec, *options.values()))
            raise InputError(
                f"Videos are written as mp4 with 8 bit H.264 in sRGB here, not as {wanted}; choose mp4 and h264 "
                "(or auto), or run the workflow in ComfyUI."
            )
        with tempfile.TemporaryDirectory() as folder:
            whole = os.path.join(folder, "video.mp4")
            self.save_to(whole, crf=INTERMEDIATE_CRF)
            InputImpl.VideoFromFile(whole).save_to(path, format=format, codec=codec, metadata=metadata, **options)

    def as_trimmed(
        self, start_time: float | None = None, duration: float | None = None, strict_duration: bool = False
    ) -> "StreamedVideo | None":
        start, duration = max(0.0, start_time or 0.0), duration or 0.0
        rate = self.get_frame_rate()
        first = self.first + round(start * rate)
        last = min(first + round(duration * rate), self._stop()) if duration else self._stop()
        if last <= first or (strict_duration and self.get_duration() < start + duration):
            return None
        return replace(self, first=first, last=last, sound=_cut(self.sound, start, duration))


def check_below(video: Any, fps: float) -> None:
    """Raises InputError if `video` cannot lie below frames at `fps`: it is no video, or has another rate."""
    opened = open_video(video)
    if abs(float(opened.fps) - fps) > 0.01:
        raise InputError(
            f"The video to paste into has {float(opened.fps):g} frames a second, but the face moves at {fps:g}; "
            "set fps of Audio Encoder to the video's."
        )


def _from_frame(video: Any, first: int) -> Iterator[Tensor]:
    """The frames of a VIDEO from number `first` on; its last one if there are fewer."""
    if isinstance(video, StreamedVideo):
        last = len(video.stream) if video.last is None else video.last
        yield from replace(video, first=min(video.first + first, last - 1)).frames(alone=False)
        return
    done, chunk = 0, None
    for chunk in open_video(video).frames():
        if done + len(chunk) > first:
            yield chunk[max(0, first - done) :]
        done += len(chunk)
    if chunk is not None and done <= first:
        yield chunk[-1:]


def _cut(sound: Sound | None, start: float, duration: float) -> Sound | None:
    if sound is None:
        return None
    waveform, rate = sound
    first = round(start * rate)
    return waveform[:, first : first + round(duration * rate) if duration else None], rate


def _audio(sound: Sound | None) -> dict[str, Any] | None:
    return None if sound is None else {"waveform": sound[0][None], "sample_rate": sound[1]}


@dataclass(frozen=True, eq=False)
class OpenVideo:
    """Any VIDEO, read frame by frame.

    Attributes:
        fps: frames a second.
        length: number of frames, as far as is known before decoding.
        frames: gives the frames in order, (n, H, W, 3) in 0..1.
        audio: gives the sound as AUDIO, or None if there is none.
    """

    fps: Fraction
    length: int
    frames: Callable[[], Iterator[Tensor]]
    audio: Callable[[], dict[str, Any] | None]


def open_video(video: Any, fps: float = 25.0) -> OpenVideo:
    """Read a VIDEO without holding all of its frames, where it allows for that.

    Args:
        video: a VIDEO, or an IMAGE batch (T, H, W, C).
        fps: frames a second of an IMAGE batch.

    Raises:
        InputError: this is no video.
        MediaError: its file cannot be read.
    """
    if isinstance(video, StreamedVideo):
        frames = partial(video.frames, alone=False)  # who reads them may run networks on them
        return OpenVideo(video.get_frame_rate(), video.get_frame_count(), frames, lambda: _audio(video.sound))
    if isinstance(video, Tensor) and video.ndim == 4 and len(video):
        rate = Fraction(fps).limit_denominator(100_000)
        return OpenVideo(rate, len(video), lambda: (chunk.cpu() for chunk in video.split(8)), lambda: None)
    if not hasattr(video, "get_components"):
        raise InputError(
            f"A video of type {type(video).__name__} was given; link a VIDEO, such as Load Video gives. "
            "Create Video makes one of images."
        )
    # Only videos that override it have a file; the base class would encode all frames first.
    if type(video).get_stream_source is VideoInput.get_stream_source:
        parts = video.get_components()
        return OpenVideo(
            Fraction(parts.frame_rate), len(parts.images), lambda: iter(parts.images.split(8)), lambda: parts.audio
        )
    reader = VideoReader(video.get_stream_source())
    start, duration = video.get_active_trim_window() if hasattr(video, "get_active_trim_window") else (0.0, 0.0)
    first = round(start * reader.fps)
    last = min(first + math.ceil(duration * reader.fps), reader.frame_count) if duration else reader.frame_count
    return OpenVideo(
        reader.fps,
        last - first,
        lambda: reader.frames(start=first, stop=last),
        lambda: _audio(_cut(reader.read_audio(), start, duration)),
    )
