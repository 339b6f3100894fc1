"""Pictures of what travels between the stages: landmarks, flow and occlusion."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from ..networks.density import cell_centres
from ..networks.ibug68 import COUNT
from ..types import Stream

# Points that lines join, and the colour of each line.
CONTOURS = (
    (range(0, 17), (0.55, 0.75, 1.0)),
    (range(17, 22), (1.0, 0.8, 0.35)),
    (range(22, 27), (1.0, 0.8, 0.35)),
    (range(27, 31), (0.7, 1.0, 0.6)),
    (range(31, 36), (0.7, 1.0, 0.6)),
    ((*range(36, 42), 36), (0.45, 1.0, 1.0)),
    ((*range(42, 48), 42), (0.45, 1.0, 1.0)),
    ((*range(48, 60), 48), (1.0, 0.5, 0.6)),
    ((*range(60, 68), 60), (1.0, 0.25, 0.35)),
)
OVERSAMPLING = 3
FULL_COLOUR = 0.08
"""Displacement in crop units that the flow picture shows at full saturation."""


def frame_range(length: int, start: int = 0, count: int = 1, step: int = 1) -> range:
    """The frames start, start + step, ... (`count` of them, as many as there are).

    Raises:
        InputError: the first frame does not exist, or count or step is below 1.
    """
    if not 0 <= start < length:
        raise InputError(
            f"The preview should start at frame {start}, but there are {length} frames, counted from 0; "
            f"choose a start up to {length - 1}."
        )
    if count < 1 or step < 1:
        raise InputError(f"A preview of {count} frames in steps of {step} is empty; both must be at least 1.")
    return range(length)[start::step][:count]


def draw_landmarks(picture: Tensor, points: Tensor, seen: bool = True) -> Tensor:
    """Landmarks as dots and contours over a picture, with smooth edges.

    Args:
        picture: (H, W, 3) in 0..1.
        points: (68, 2) in crop units of this picture.
        seen: False draws grey lines, for frames whose points were interpolated.

    Returns:
        (H, W, 3) in 0..1, a new tensor.
    """
    import numpy as np
    from PIL import Image, ImageDraw

    height, width = picture.shape[:2]
    scale = OVERSAMPLING
    sheet = Image.new("RGBA", (width * scale, height * scale))
    pen = ImageDraw.Draw(sheet)
    unit = max(1.0, min(height, width) / 256) * scale
    places = [((x + 1) / 2 * width * scale, (y + 1) / 2 * height * scale) for x, y in points.tolist()]
    grey = (170, 170, 170)
    for contour, colour in CONTOURS:
        ink = tuple(round(255 * c) for c in colour) if seen else grey
        for a, b in pairwise(contour):
            pen.line((places[a], places[b]), fill=(*ink, 200), width=max(1, round(0.9 * unit)))
    for x, y in places:
        pen.ellipse((x - 1.3 * unit, y - 1.3 * unit, x + 1.3 * unit, y + 1.3 * unit), fill=(255, 255, 255, 255))
    ink = torch.from_numpy(np.asarray(sheet, dtype=np.float32) / 255).permute(2, 0, 1)[None]
    ink[:, :3] *= ink[:, 3:]
    ink = F.avg_pool2d(ink, scale)[0].permute(1, 2, 0).to(picture.device)
    return picture * (1 - ink[..., 3:]) + ink[..., :3]


def landmark_frames(
    points: Tensor, frames: Sequence[int], backgrounds: Tensor, seen: Tensor | None = None
) -> Iterator[Tensor]:
    """Pictures of some frames' landmarks.

    Args:
        points: (T, 68, 2) in crop units.
        frames: numbers of the frames to draw.
        backgrounds: (1, H, W, 3), the same for all frames, or (n, H, W, 3), one for each number in `frames`.
        seen: (T,) bool, see `Landmarks.visible`.

    Yields:
        (H, W, 3) for each of `frames`.

    Raises:
        InputError: the shapes do not fit each other.
    """
    if points.shape[1:] != (COUNT, 2):
        raise InputError(f"Landmarks of shape {tuple(points.shape)} were given; expected is (frames, {COUNT}, 2).")
    if len(backgrounds) not in (1, len(frames)):
        raise InputError(
            f"{len(frames)} frames of landmarks are to be drawn over {len(backgrounds)} pictures; "
            "give one picture, or one for each frame."
        )
    for place, number in enumerate(frames):
        picture = backgrounds[place if len(backgrounds) > 1 else 0, ..., :3]
        yield draw_landmarks(picture, points[number], seen is None or bool(seen[number]))


def flow_picture(flow: Tensor, size: int = 256) -> Tensor:
    """Flow as colours: the hue says in which direction a place of the source moves, the saturation how far.

    Args:
        flow: (h, w, 2), where in the source each place comes from, in crop units.
        size: pixels along each side.

    Returns:
        (size, size, 3) in 0..1; white where nothing moves, cyan for motion to the left, red to the right.
    """
    rows, columns = cell_centres(flow.shape[0], flow.device), cell_centres(flow.shape[1], flow.device)
    own = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    motion = (own - flow).permute(2, 0, 1)[None]  # (1, 2, h, w), from the source to the frame
    motion = F.interpolate(motion, size=(size, size), mode="bilinear", align_corners=False)[0]
    hue = torch.atan2(motion[1], motion[0]) / (2 * math.pi)
    strength = (motion.norm(dim=0) / FULL_COLOUR).clamp(0, 1)[..., None]
    # HSV to RGB at full value: each channel is a trapezium over the hue.
    wheel = (hue[..., None] + torch.tensor([0.0, 2 / 3, 1 / 3], device=flow.device)) % 1
    colour = ((wheel * 6 - 3).abs() - 1).clamp(0, 1)
    return 1 - strength * (1 - colour)


def warp_frames(warp: Stream, frames: range) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Flow, occlusion and the warped source of some frames.

    Args:
        warp: stream of WarpChunk objects (ART_WARP).
        frames: numbers of the frames to show.

    Yields:
        Flow colours (S, S, 3), occlusion (S, S) with 1 = the source can be trusted, warped source (S, S, 3).
    """
    size = warp.face.crop.shape[-1]
    for number in frames:
        for chunk in warp.chunks(number, number + 1):
            flow = chunk.flow[:1].permute(0, 3, 1, 2)
            places = F.interpolate(flow, size=(size, size), mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
            warped = F.grid_sample(warp.face.crop, places, padding_mode="border", align_corners=False)
            occlusion = F.interpolate(chunk.occlusion[:1], size=(size, size), mode="bilinear", align_corners=False)
            yield flow_picture(chunk.flow[0], size), occlusion[0, 0], warped[0].permute(1, 2, 0)
