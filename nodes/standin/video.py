"""The VIDEO type: an object that gives its frames, or writes itself to a file."""

import io
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import IO, Any

import torch


class VideoCodec(StrEnum):
    """Codecs that a video can be saved with."""

    AUTO = "auto"
    H264 = "h264"
    AV1 = "av1"


class VideoContainer(StrEnum):
    """Containers that a video can be saved to."""

    AUTO = "auto"
    MP4 = "mp4"
    MKV = "mkv"
    WEBM = "webm"

    @classmethod
    def get_extension(cls, value: "VideoContainer | str") -> str:
        """The file name extension of a container."""
        container = cls(value)
        return "mp4" if container is cls.AUTO else container.value


@dataclass
class VideoComponents:
    """A video in memory: images (T, H, W, C) in 0..1, frames a second, and perhaps sound."""

    images: torch.Tensor
    frame_rate: Fraction
    audio: dict[str, Any] | None = None
    metadata: dict | None = None
    alpha: torch.Tensor | None = None


class Types:
    """The namespace under which hosts offer the classes of this module."""

    VideoCodec = VideoCodec
    VideoContainer = VideoContainer
    VideoComponents = VideoComponents


class VideoInput(ABC):
    """Base of all videos. The defaults load every frame; videos that know better override them."""

    @abstractmethod
    def get_components(self) -> VideoComponents:
        """All frames, the sound and the frame rate."""

    @abstractmethod
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
        """Write the video to a file; None leaves a choice to the video."""

    @abstractmethod
    def as_trimmed(
        self, start_time: float | None = None, duration: float | None = None, strict_duration: bool = False
    ) -> "VideoInput | None":
        """The part of `duration` seconds (0 or None: to the end) from `start_time`; None if nothing is left."""

    def get_stream_source(self) -> str | io.BytesIO:
        """A path or file object that can be opened as a video."""
        buffer = io.BytesIO()
        self.save_to(buffer)
        buffer.seek(0)
        return buffer

    def get_active_trim_window(self) -> tuple[float, float]:
        """(start, duration) of the trim in seconds; a duration of 0 lasts to the end."""
        return 0.0, 0.0

    def get_dimensions(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        images = self.get_components().images
        return images.shape[2], images.shape[1]

    def get_duration(self) -> float:
        """Seconds."""
        components = self.get_components()
        return float(len(components.images) / components.frame_rate)

    def get_frame_count(self) -> int:
        """Number of frames."""
        return len(self.get_components().images)

    def get_frame_rate(self) -> Fraction:
        """Frames a second."""
        return Fraction(self.get_components().frame_rate)

    def get_bit_depth(self) -> int:
        """Bits of each colour channel."""
        return 8

    def get_color_space(self) -> str:
        """ "sRGB", "HDR", "HDR PQ", or "auto" when it is not stated."""
        return "auto"

    def get_container_format(self) -> str:
        """Name of the container, as FFmpeg calls it."""
        return "mp4"
