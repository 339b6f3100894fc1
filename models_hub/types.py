"""What travels between the stages. Every class here is one socket type of the graph.

Conventions, everywhere in the project:
- Pictures are float32 RGB in 0..1. Inside stages (B, 3, H, W); a ComfyUI IMAGE is (B, H, W, 3).
- Landmarks are x, y in crop units: -1 is the outer edge of the first pixel, +1 that of the last
  (`align_corners=False`), x to the right, y down; iBUG 68 order.
- Time is counted in video frames.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

CROP_SIZE = 256
"""Pixels along each side of the source crop that the embedded networks work on."""

DEFAULT_FPS = 25.0

Progress = Callable[[int, int], None]
"""Called with (frames done, frames in all); it may raise to cancel, and must be let through."""


def frame_count(samples: int, sample_rate: int, fps: float = DEFAULT_FPS) -> int:
    """Video frames that `samples` of sound last: round(fps * seconds), at least one, in exact arithmetic."""
    exact = Fraction(samples, sample_rate) * Fraction(fps).limit_denominator(100_000)
    return max(1, int(exact + Fraction(1, 2)))  # half rounds up, the same on every platform


@dataclass(frozen=True)
class Face:
    """ART_FACE: a face cut out of a picture, and the way back.

    Attributes:
        crop: (1, 3, S, S) in 0..1, a square around the head.
        points: (68, 2) landmarks in crop units.
        matrix: (2, 3); picture pixels = matrix @ (x, y, 1) for x, y in crop units. Pixel centres
            are at whole numbers plus one half.
        picture: (H, W, 3) in 0..1, the full picture.
        box: (x, y, width, height) of the found face in picture pixels.
        score: confidence of the detector in 0..1; 1 for given points.
    """

    crop: Tensor
    points: Tensor
    matrix: Tensor
    picture: Tensor
    box: tuple[float, float, float, float]
    score: float = 1.0


@dataclass(frozen=True)
class Speech:
    """ART_SPEECH: what the sound says about the lips, frame by frame.

    Attributes:
        units: (T, D) contextual lip motion units.
        mel: (T, 4, M) normalised log mel frames that the units came from, four to a video frame.
        loudness: (T,) level of each frame in dB relative to full scale, -120 for digital silence.
        samples, sample_rate: length and rate of the recording as it was given.
        fps: video frames a second.
    """

    units: Tensor
    mel: Tensor
    loudness: Tensor
    samples: int
    sample_rate: int
    fps: float = DEFAULT_FPS

    def __len__(self) -> int:
        return len(self.units)


@dataclass(frozen=True)
class Landmarks:
    """ART_LANDMARKS: the 68 points over time, in the units of the source crop.

    Attributes:
        points: (T, 68, 2) in crop units.
        visible: (T,) bool; False where no face was seen and the points were interpolated.
        fps: video frames a second.
    """

    points: Tensor
    visible: Tensor
    fps: float = DEFAULT_FPS

    def __len__(self) -> int:
        return len(self.points)

    def with_points(self, points: Tensor) -> "Landmarks":
        """The same timeline with other points."""
        return replace(self, points=points)


@dataclass(frozen=True)
class Density:
    """ART_DENSITY: landmark density maps, drawn on demand so that long speech stays small.

    Attributes:
        landmarks: the points that the maps are drawn from (the warper reads them too).
        regions: which points each map sums.
        sigma: standard deviation of each Gaussian in cells.
        size: cells along each side.
    """

    landmarks: Landmarks
    regions: tuple[tuple[int, ...], ...]
    sigma: float = 1.5
    size: int = 64

    def __len__(self) -> int:
        return len(self.landmarks)

    def maps(self, start: int = 0, stop: int | None = None) -> Tensor:
        """Maps of frames start..stop as (n, K, size, size); each sums to its number of points."""
        from .networks.density import density_maps

        return density_maps(self.landmarks.points[start:stop], self.size, self.sigma, self.regions)


@dataclass(frozen=True)
class MotionKeypoints:
    """ART_KEYPOINTS: learned keypoints of a source and of every driven frame (MCNet's, in its own units).

    Attributes:
        source: values (1, K, 2) and jacobians (1, K, 2, 2) of the source.
        driving: values (T, K, 2) and jacobians (T, K, 2, 2), already carried over to the source where the motion is
            relative.
        fps: video frames a second.
    """

    source: Any
    driving: Any
    fps: float = DEFAULT_FPS

    def __len__(self) -> int:
        return len(self.driving)


@dataclass(frozen=True)
class Window:
    """A rectangle of the square frame, in fractions of its side, on whole cells of the coarsest maps."""

    top: float = 0.0
    left: float = 0.0
    bottom: float = 1.0
    right: float = 1.0

    def cut(self, maps: Tensor) -> Tensor:
        """This part of maps (B, C, H, W)."""
        height, width = maps.shape[-2:]
        rows = slice(round(self.top * height), round(self.bottom * height))
        columns = slice(round(self.left * width), round(self.right * width))
        return maps[..., rows, columns]


@dataclass(frozen=True)
class WarpChunk:
    """Some consecutive frames between warper and generator (n of them)."""

    start: int
    points: Tensor  # (n, 68, 2) driving landmarks
    flow: Tensor  # (n, h, w, 2) where in the source each place comes from, crop units
    occlusion: Tensor  # (n, 1, h, w); 1 = the source can be trusted
    features: tuple[Tensor, ...] = field(repr=False)  # warped, compensated maps of the window, coarse first
    window: Window  # the part of the frame that the features cover


@dataclass(frozen=True)
class FrameChunk:
    """Some consecutive generated frames (n of them), still in parts so that any size can be composed."""

    start: int
    whole: Callable[[], Tensor] = field(repr=False)  # makes `frames`, which pasting into a picture has no use for
    generated: Tensor  # (n, 3, S, S) in 0..1, what the decoder painted in `window`; 0 elsewhere
    blend: Tensor  # (n, 1, S, S); 1 = warped source, 0 = painted
    flow: Tensor  # (n, h, w, 2) crop units of the source
    points: Tensor  # (n, 68, 2) driving landmarks
    lids: Any = None  # Eyelids that are already over `frames`, and still to be laid over the other parts; None: none
    lips: Any = None  # Lips that are already in `frames`, and are still to be added to the flow; None: none
    window: Window = Window()  # the part of the frame that is painted
    mouths: Tensor | None = None  # (n, 4, h, w) what is painted between the lips, finer than in `generated`, in windows

    @cached_property
    def frames(self) -> Tensor:
        """The blended crop at the network's size, (n, 3, S, S) in 0..1."""
        return self.whole()

    @property
    def painted(self) -> Tensor:
        """What the decoder painted, (n, 3, S, S) in 0..1, with `frames` around its window: to be looked at."""
        picture = self.frames.clone()
        self.window.cut(picture).copy_(self.window.cut(self.generated))
        return picture


@dataclass(frozen=True)
class Stream:
    """ART_WARP and ART_FRAMES: frames made on demand, never all at once.

    Attributes:
        length: number of frames.
        fps: frames a second.
        face: the source face.
        size: pixels along each side of a frame.
        chunks: `chunks(start, stop)` yields WarpChunk or FrameChunk objects in order. It may be
            called again, also by several threads at once, and gives the same frames.
        chunk: frames that are best made at once.
        device: where they are made; None leaves it to the runtime in use.
    """

    length: int
    fps: float
    face: Face
    size: int
    chunks: Callable[[int, int], Iterator[Any]]
    chunk: int = 8
    device: str | None = None

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        return self.chunks(0, self.length)


@dataclass(frozen=True)
class Critics:
    """ART_CRITICS: discriminators by name, each with the weight of its loss."""

    networks: dict[str, torch.nn.Module]
    weights: dict[str, float]
