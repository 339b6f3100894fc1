"""Changing predicted landmarks by hand: the mouth, the eyes and the brows, for the whole time or a part of it.

Our own; plain geometry in the face's frame (`networks.lip_shape.face_frame`), so a turned or small face is
edited as an upright large one is.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..networks.ibug68 import BROWS, JAW, LIPS
from ..networks.lip_shape import face_frame, from_face, to_face
from ..types import Landmarks

# Each pair of inner lip points with the outer points that go with them.
_LIP_PAIRS = (
    ((61, 49, 50), (67, 58, 59)),
    ((62, 51), (66, 57)),
    ((63, 52, 53), (65, 55, 56)),
)
_LIDS = (((37, 41), (38, 40)), ((43, 47), (44, 46)))  # (upper, lower) pairs of both eyes
_UPPER_SHARE = 0.25  # the lower lip does most of the opening
_CHIN_SHARE = 0.6  # of the lower lip's way that the chin goes with it

RANGES = {"opening": (0.0, 3.0), "width": (0.5, 1.5), "smile": (-0.3, 0.3), "eyes": (0.0, 2.0), "brows": (-0.3, 0.3)}
"""Least and greatest value of each change."""


@dataclass(frozen=True)
class Edit:
    """What to change; the values given here change nothing.

    Attributes:
        opening: factor of the gap between the lips; 0 closes the mouth.
        width: factor of the mouth's width.
        smile: how far the corners of the mouth rise, in mouth widths; negative lowers them.
        eyes: factor of the eyes' opening; 0 closes them.
        brows: how far the brows rise, in distances between the eyes.
    """

    opening: float = 1.0
    width: float = 1.0
    smile: float = 0.0
    eyes: float = 1.0
    brows: float = 0.0

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} is {value!r}; it must lie between {low} and {high}. Choose a value in there.")


def edit_landmarks(
    landmarks: Landmarks, edit: Edit, start: float = 0.0, end: float = 0.0, fade: float = 0.2
) -> Landmarks:
    """Change landmarks during a part of their time.

    Args:
        landmarks: (T, 68, 2) in any units.
        edit: the change.
        start, end: seconds; an `end` of 0 means to the end.
        fade: seconds that the change takes to come, before `start`, and to go, after `end`.

    Returns:
        Landmarks of the same length; outside of the time and its fades they are exactly those given.

    Raises:
        InputError: a time is negative or not finite, or the end lies before the start.
    """
    if not all(math.isfinite(value) and value >= 0 for value in (start, end, fade)):
        raise InputError(f"start {start}, end {end} and fade {fade} must be seconds of 0 or more; set them anew.")
    if end and end < start:
        raise InputError(f"The change ends at {end:g} s, before it starts at {start:g} s; exchange the two.")
    frame = face_frame(landmarks.points)
    face = to_face(landmarks.points, frame)
    moved = from_face(face + _shift(face, edit), frame)
    weight = time_weight(len(landmarks), landmarks.fps, start, end, fade)[:, None, None]
    return landmarks.with_points(torch.where(weight > 0, torch.lerp(landmarks.points, moved, weight), landmarks.points))


def time_weight(frames: int, fps: float, start: float, end: float, fade: float) -> Tensor:
    """(frames,) in 0..1: 1 from `start` to `end` seconds, fading on both sides within `fade`."""
    time = (torch.arange(frames) + 0.5) / fps
    late = time - end if end else torch.full_like(time, -1.0)
    distance = torch.maximum(start - time, late).clamp(min=0)  # seconds outside
    weight = (1 - distance / fade).clamp(min=0) if fade else (distance == 0).float()
    return weight * weight * (3 - 2 * weight)


def _shift(face: Tensor, edit: Edit) -> Tensor:
    """Where the points (T, 68, 2) of the face's frame go, as differences."""
    shift = torch.zeros_like(face)
    for uppers, lowers in _LIP_PAIRS:
        gap = (face[:, lowers[0], 1] - face[:, uppers[0], 1]).clamp(min=0) * (edit.opening - 1)
        shift[:, list(uppers), 1] -= _UPPER_SHARE * gap[:, None]
        shift[:, list(lowers), 1] += (1 - _UPPER_SHARE) * gap[:, None]
    weight = torch.sin(torch.linspace(0, math.pi, len(JAW))) ** 2
    shift[:, list(JAW), 1] += _CHIN_SHARE * shift[:, 66, None, 1] * weight

    lips = list(LIPS)
    middle = (face[:, 48, 0] + face[:, 54, 0]) / 2  # (T,)
    half = ((face[:, 54, 0] - face[:, 48, 0]) / 2).clamp(min=1e-6)
    across = (face[:, lips, 0] - middle[:, None]) / half[:, None]  # -1 and 1 at the corners
    shift[:, lips, 0] += (edit.width - 1) * across * half[:, None]
    shift[:, lips, 1] -= edit.smile * 2 * half[:, None] * across.square()

    for eye in _LIDS:
        for upper, lower in eye:
            shift[:, upper, 1] -= (edit.eyes - 1) * (face[:, lower, 1] - face[:, upper, 1]).clamp(min=0)
    shift[:, list(BROWS), 1] -= edit.brows
    return shift
