"""Blinks, brows and slight head motion for predicted landmarks: seeded, smooth, each can be off.

Our own; no seed describes them. Speech alone says little about any of them, but a face whose eyes never close
and whose head is clamped looks dead. How often, how far and how fast comes from footage of talking people
(motion_table.py); a turned or nodding head shows in points of the plane as a shift. Every curve is a function of
time and seed alone: a longer speech begins like a shorter one, and other frame rates see the same motion.
"""

import math

import numpy as np
import torch
from torch import Tensor

from ..networks.ibug68 import BROWS, RIGID
from ..networks.lip_shape import face_frame
from .motion_table import Wander, motion_table

_UPPER_LIDS, _LOWER_LIDS = (37, 38, 43, 44), (41, 40, 47, 46)
_SHALLOWEST = 0.5  # of the way down; what the measurement counts as a blink
_WAVES = 64  # of a curve: enough that no repetition is seen
_KEPT_POWER = 0.995  # the fastest rest would be a tremor at 25 frames a second


def blink_curve(frames: int, fps: float, per_minute: float, seed: int) -> Tensor:
    """How far the eyes are closed, (frames,) in 0..1; unevenly spaced as people's are. Blinks that meet become one.

    Args:
        frames: how many.
        fps: frames a second.
        per_minute: blinks a minute; 0 is none.
        seed: of the moments, lengths and depths.
    """
    closed = torch.zeros(frames)
    if per_minute <= 0:
        return closed
    table = motion_table().blink
    random = np.random.default_rng((seed, 1))
    times = (torch.arange(frames) + 0.5) / fps
    pace = 60 / per_minute / table.regularity
    # A video starts anywhere between two blinks, in a long gap more likely than in a short one.
    start = random.uniform() * random.gamma(table.regularity + 1, pace)
    while start < frames / fps:
        stretch = math.exp(table.duration_spread * random.standard_normal())
        depth = min(max(table.depth + table.depth_spread * random.standard_normal(), _SHALLOWEST), 1.0)
        shut = start + stretch * table.closing
        end = start + stretch * table.seconds
        falling = (times - start) / (shut - start)
        rising = (end - times) / (stretch * table.opening)
        share = torch.minimum(falling, rising).clamp(0, 1)
        closed = torch.maximum(closed, depth * share * share * (3 - 2 * share))  # lids start and stop gently
        start += random.gamma(table.regularity, pace)
    return closed


def blink(points: Tensor, closed: Tensor) -> Tensor:
    """Move the upper lids of (T, 68, 2) towards the lower ones by `closed` (T,)."""
    moved = points.clone()
    upper, lower = list(_UPPER_LIDS), list(_LOWER_LIDS)
    moved[:, upper] = torch.lerp(points[:, upper], points[:, lower], closed[:, None, None])
    return moved


def wander_curve(frames: int, fps: float, wander: Wander, random: np.random.Generator) -> Tensor:
    """A smooth random motion (frames,) that starts at 0 and soon has the wander's amplitude.

    A sum of waves whose frequencies have the wander's spectrum, evenly by their share of its power.
    """
    angles = np.linspace(0, math.pi / 2, 1000)[:-1]  # of frequency over 1 / time: tan(angle)
    power = (angles + np.sin(angles) * np.cos(angles)) * (2 / math.pi)  # of all slower waves
    shares = (np.arange(_WAVES) + random.uniform(size=_WAVES)) / _WAVES * _KEPT_POWER
    frequencies = np.tan(np.interp(shares, power, angles)) / wander.time
    phases = random.uniform(0, 2 * math.pi, _WAVES)
    times = np.arange(frames) / fps
    curve = np.zeros(frames)
    for frequency, phase in zip(frequencies, phases, strict=True):
        curve += np.cos(frequency * times + phase)
    # The portrait is where the motion begins: what it would do, given that it starts there.
    ease = times / wander.time
    curve -= np.cos(phases).sum() * (1 + ease) * np.exp(-ease)
    return torch.from_numpy(curve * wander.amplitude * math.sqrt(2 / _WAVES)).float()


def sway(points: Tensor, fps: float, amplitude: float, seed: int) -> Tensor:
    """Turn, shift and scale all points of each frame a little, smoothly; frame 0 stays in place.

    Args:
        points: (T, 68, 2).
        fps: frames a second.
        amplitude: 1 is that of a typical talking person, 0 is none.
        seed: of the motion.
    """
    table = motion_table()
    kinds = (table.roll, table.x, table.y, table.size)
    roll, x, y, size = (
        amplitude * wander_curve(len(points), fps, kind, np.random.default_rng((seed, 2, place)))
        for place, kind in enumerate(kinds)
    )
    _, axes, scale = face_frame(points[0])
    pivot = points[0, list(RIGID)].mean(0)
    angle, zoom = torch.deg2rad(roll), torch.exp(size / 100)
    cosine, sine = zoom * angle.cos(), zoom * angle.sin()
    turn = torch.stack([torch.stack([cosine, sine], -1), torch.stack([-sine, cosine], -1)], 1)  # row vectors
    shift = torch.stack([x, y], -1) @ axes * scale[1]
    return (points - pivot) @ turn + (pivot + shift)[:, None]


def raise_brows(points: Tensor, fps: float, amplitude: float, seed: int) -> Tensor:
    """Lift and lower the brows of (T, 68, 2) a little, smoothly; frame 0 stays in place.

    Args:
        points: (T, 68, 2), the head in place.
        fps: frames a second.
        amplitude: 1 is that of a typical talking person, 0 is none.
        seed: of the motion.
    """
    table = motion_table()
    lift = amplitude * wander_curve(len(points), fps, table.brow, np.random.default_rng((seed, 3)))
    _, axes, scale = face_frame(points[0])
    profile = torch.tensor((*table.brow_profile, *table.brow_profile[::-1]))
    moved = points.clone()
    moved[:, list(BROWS)] -= lift[:, None, None] * profile[:, None] * scale[1] * axes[1]  # y points down
    return moved
