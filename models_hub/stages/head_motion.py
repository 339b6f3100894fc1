"""Blinks and slight head motion for predicted landmarks: seeded, smooth, both can be off.

Our own; no seed describes them. Speech alone says little about either, but a face whose eyes never close
and whose head is clamped looks dead.
"""

import math

import numpy as np
import torch
from torch import Tensor

from ..networks.lip_shape import face_frame

BLINKS_PER_MINUTE = 15.0
BLINK_GAP = (2.0, 6.0)  # seconds between blinks at 15 a minute
BLINK_SECONDS = (0.2, 0.3)

_UPPER_LIDS, _LOWER_LIDS = (37, 38, 43, 44), (41, 40, 47, 46)
_CLOSING_SHARE = 0.35  # of a blink; opening takes longer than closing
_SWAY_PERIODS = (2.1, 3.7, 6.1, 9.5)  # seconds; incommensurable, so that the motion does not repeat


def blink_curve(frames: int, fps: float, per_minute: float, seed: int) -> Tensor:
    """How far the eyes are closed, (frames,) in 0..1; blinks of 0.2 to 0.3 s, every 2 to 6 s at 15 a minute."""
    closed = torch.zeros(frames)
    if per_minute <= 0:
        return closed
    random = np.random.default_rng((seed, 1))
    pace = BLINKS_PER_MINUTE / per_minute
    times = (torch.arange(frames) + 0.5) / fps
    start = random.uniform(*BLINK_GAP) * pace
    while start < frames / fps:
        length = random.uniform(*BLINK_SECONDS)
        middle = start + _CLOSING_SHARE * length
        falling = (times - start) / (middle - start)
        rising = (start + length - times) / (start + length - middle)
        closed = torch.maximum(closed, torch.minimum(falling, rising).clamp(0, 1))
        start += length + random.uniform(*BLINK_GAP) * pace
    return closed * closed * (3 - 2 * closed)  # lids start and stop gently


def blink(points: Tensor, closed: Tensor) -> Tensor:
    """Move the upper lids of (T, 68, 2) towards the lower ones by `closed` (T,)."""
    moved = points.clone()
    upper, lower = list(_UPPER_LIDS), list(_LOWER_LIDS)
    moved[:, upper] = torch.lerp(points[:, upper], points[:, lower], closed[:, None, None])
    return moved


def sway(points: Tensor, fps: float, amplitude: float, seed: int) -> Tensor:
    """Turn, shift and scale all points of each frame a little, smoothly; frame 0 stays nearly in place.

    Args:
        points: (T, 68, 2).
        fps: frames a second.
        amplitude: 1 is about 1.5 degrees of roll, 2 % of the eye distance of shift and 0.6 % of size.
        seed: of the motion.
    """
    random = np.random.default_rng((seed, 2))
    times = np.arange(len(points)) / fps
    curves = []
    for _ in range(4):  # roll, x, y, size
        phases = random.uniform(0, 2 * math.pi, len(_SWAY_PERIODS))
        waves = [np.sin(2 * math.pi * times / period + phase) - math.sin(phase)
                 for period, phase in zip(_SWAY_PERIODS, phases, strict=True)]  # fmt: skip
        curves.append(np.mean(waves, axis=0))
    roll, x, y, size = (torch.from_numpy(curve).float() * amplitude for curve in curves)
    origin, axes, scale = face_frame(points[0])
    pivot = origin + 1.8 * scale[1] * axes[1]  # about the chin: heads turn from the neck
    angle, zoom = roll * math.radians(1.5), 1 + 0.006 * size
    cosine, sine = zoom * angle.cos(), zoom * angle.sin()
    turn = torch.stack([torch.stack([cosine, sine], -1), torch.stack([-sine, cosine], -1)], 1)  # row vectors
    shift = torch.stack([x, y], -1) * (0.02 * scale[0])
    return (points - pivot) @ turn + (pivot + shift)[:, None]
