"""Video files -> frames, a few at a time."""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from math import inf
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from ..errors import MediaError
from .decoding import decoded, packets, stated_seconds, warn_of_loss
from .files import check_readable
from .sound import decode_audio

_EVEN_FRAMES = 1.0
"""Frames that come less than this many frames from their even place are left there."""

_MOST_REPEATED = 10
"""Time stamps by which there should be more frames than this times those in the file are not believed."""


class VideoReader:
    """A video file whose frames are decoded when they are asked for.

    Attributes:
        name: the file, for messages.
        fps: frames a second, on average.
        size: (width, height) in pixels, as shown (after rotation).
        frame_count: number of frames; counted without decoding, so that a damaged file may give fewer.
        has_audio: whether there is a sound track.

    Raises:
        MediaError: the file is missing, empty, damaged, or has no picture track.
    """

    def __init__(self, path: str | os.PathLike | IO[bytes]):
        self._source = path if hasattr(path, "read") else check_readable(path, "video")
        self.name = "the video" if hasattr(path, "read") else str(self._source)
        with self._open() as container:
            stream = self._stream(container)
            self.has_audio = bool(container.streams.audio)
            self.fps = Fraction(stream.average_rate or stream.guessed_rate or 0)
            self.frame_count = stream.frames
            self._stated = stated_seconds(container, stream)
            damage: list[Exception] = []
            first = next(decoded(container, stream, damage), None)
        if first is None and damage:
            raise self._unreadable(damage[0]) from damage[0]
        if first is None or not self.fps:
            raise MediaError(f"No frame of {self.name} can be decoded; it is damaged or cut short. Export it again.")
        self._coded_size = (first.width, first.height)
        self._start = None if first.pts is None else first.pts * first.time_base
        self.frame_count, self._even = self._timing(self.frame_count)
        turned = first.rotation % 180 == 90
        self.size = (first.height, first.width) if turned else (first.width, first.height)

    @property
    def duration(self) -> float:
        """Seconds."""
        return float(self.frame_count / self.fps)

    def frames(self, chunk: int = 8, start: int = 0, stop: int | None = None) -> Iterator[Tensor]:
        """The frames start..stop in order, (n, H, W, 3) float32 in 0..1 with n up to `chunk`.

        Where the file shows some longer than others, they are repeated and left out to come at `fps`.
        Frames that cannot be decoded are left out; a warning at the end says how much is left.

        Raises:
            MediaError: not one frame can be decoded.
        """
        stop = self.frame_count if stop is None else stop
        held: list[np.ndarray] = []
        with self._open() as container:
            for number, frame in enumerate(self._shown(container)):
                if number >= stop:
                    break
                if number < start:
                    continue
                held.append(_rgb(frame, *self._coded_size))
                if len(held) == chunk:
                    yield _batch(held)
                    held = []
        if held:
            yield _batch(held)

    def _shown(self, container: Any) -> Iterator[Any]:
        """All frames at even times."""
        frames = self._decoded(container)
        return frames if self._even else self._evenly(frames)

    def _decoded(self, container: Any) -> Iterator[Any]:
        """All frames; at the end a warning if some are lost."""
        stream = self._stream(container)
        damage: list[Exception] = []
        ends: list[Fraction] = []
        count = 0
        for frame in decoded(container, stream, damage, ends):
            count += 1
            yield frame
        if not count:
            raise self._unreadable(damage[0] if damage else EOFError("it has no frame any more"))
        # Time without a frame is lost only where something could not be decoded.
        kept = float(count / self.fps)
        end = float(ends[0] - (stream.start_time or 0) * stream.time_base) if ends else 0.0
        warn_of_loss(self.name, "pictures", kept if damage else max(kept, end), self._stated, damage)

    def read_audio(self) -> tuple[Tensor, int] | None:
        """The sound track as ((C, S), samples a second), or None if there is none; it starts with the first frame."""
        if not self.has_audio:
            return None
        if hasattr(self._source, "read"):
            self._source.seek(0)
            return decode_audio(self._source, self.name, self._start)
        with open(self._source, "rb") as file:
            return decode_audio(file, self.name, self._start)

    @contextmanager
    def _open(self) -> Iterator[Any]:
        import av

        with ExitStack() as stack:
            if hasattr(self._source, "read"):
                file = self._source
                file.seek(0)
            else:
                file = stack.enter_context(open(self._source, "rb"))
            try:
                container = stack.enter_context(av.open(file))
            except (av.FFmpegError, ValueError) as error:
                raise self._unreadable(error) from error
            yield container

    def _stream(self, container: Any) -> Any:
        if not container.streams.video:
            raise MediaError(f"{self.name} has no picture track; choose a video file.")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise MediaError(
                f"{self.name} has pictures of a kind that is not known here, or is damaged; export it again, as H.264."
            )
        stream.thread_type = "AUTO"
        return stream

    def _timing(self, stated: int) -> tuple[int, bool]:
        """Number of frames, and whether each is shown as long as the others; by packets, without decoding.

        Args:
            stated: number of frames by the file; 0 if it does not say it.
        """
        times: list[Fraction | None] = []
        # In an opening of its own: a damaged file cannot always be wound back.
        with self._open() as container:
            for packet in packets(container, self._stream(container), []):
                if packet.size and not packet.is_discard:
                    times.append(None if packet.pts is None else packet.pts * packet.time_base)
        count = min(stated, len(times)) or stated or len(times) or 1
        if self._start is None or None in times:
            return count, True
        # Some codecs have frames that are never shown, stamped as the next one.
        places = [float((time - self._start) * self.fps) for time in sorted(times) if time >= self._start]
        places = [place for place, after in zip(places, [*places[1:], inf], strict=True) if after - place > 0.1]
        even = all(abs(place - number) <= _EVEN_FRAMES for number, place in enumerate(places))
        if even or places[-1] > _MOST_REPEATED * len(places):
            return count, True
        return max(1, round(places[-1]) + 1), False

    def _evenly(self, frames: Iterable[Any]) -> Iterator[Any]:
        """`frame_count` frames at even times, of frames at uneven ones: each time the one that is shown then."""
        shown, done = None, 0
        for frame in frames:
            place = inf if frame.pts is None else float((frame.pts * frame.time_base - self._start) * self.fps)
            while shown is not None and done < self.frame_count and done + 0.5 < place:
                yield shown
                done += 1
            shown = frame
        for _ in range(self.frame_count - done if shown is not None else 0):
            yield shown

    def _unreadable(self, error: Exception) -> MediaError:
        reason = getattr(error, "strerror", None) or error
        return MediaError(
            f"{self.name} cannot be read as a video ({reason}); it is damaged, cut short or not a video. "
            "Copy or export it again."
        )


_BT709, _BT601, _LIMITED, _FULL = 1, (5, 6), 1, 2  # as numbered by FFmpeg


def _rgb(frame: Any, width: int, height: int) -> np.ndarray:
    """A frame upright, (H, W, 3) uint8. One of another size, as in a recording that changes it, is scaled."""
    # Through 4:4:4, because the direct conversion rounds down and repeats chroma instead of interpolating it.
    # Matrix and range are said outright: older versions of PyAV do not take them from the frame.
    matrix = frame.colorspace if frame.colorspace in (_BT709, *_BT601) else _BT601[0]
    levels = _FULL if frame.color_range == _FULL or frame.format.name.startswith("yuvj") else _LIMITED
    turn = frame.rotation
    if "420" in frame.format.name:
        frame = frame.reformat(
            width, height, "yuv444p", interpolation="BICUBIC", src_color_range=levels, dst_color_range=levels
        )
        frame.colorspace, frame.color_range = matrix, levels
    colours = {"src_colorspace": matrix, "dst_colorspace": matrix, "src_color_range": levels, "dst_color_range": _FULL}
    values = frame.reformat(width, height, "rgb24", **colours).to_ndarray()
    return np.ascontiguousarray(np.rot90(values, turn // 90)) if turn else values


def _batch(frames: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(frames)).float() / 255
