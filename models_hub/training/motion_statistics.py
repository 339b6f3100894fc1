"""How people blink and move brows and head, measured on landmarks; closed forms on arrays.

Clips are short (2 to 12 s) and landmarks tremble by a pixel. So motion is not measured against a clip's mean but by how
much it changes within a fraction of a second to two seconds: slower drifts (a person who turns away) hardly
count, and the tremble, which changes as much in one frame as in fifty, can be told from the motion.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..networks.ibug68 import BROWS, RIGID
from ..networks.lip_shape import align_rigid, face_frame, to_face
from ..stages.motion_table import Wander

LAG_SECONDS = (0.04, 0.08, 0.12, 0.16, 0.2, 0.28, 0.4, 0.6, 0.8, 1.0, 1.2, 1.48, 1.8)

_UPPER_LIDS, _LOWER_LIDS = (37, 38, 43, 44), (41, 40, 47, 46)
_CORNERS = (36, 39, 42, 45)
_SHALLOWEST = 0.5  # of the way down: less is a look downwards
_LONGEST = 0.5  # seconds more than half closed: more is a person with closed eyes
_OPEN_QUANTILE, _OPEN_REACH = 0.75, 1.0  # eyes are open most of the time; seconds to each side
_SMOOTHSTEP_20 = 0.2871  # where 3 u^2 - 2 u^3 is 0.2
_TOUCHED, _MARGIN = 0.3, 0.12  # closed share, and seconds around it, where a blink shifts other landmarks


@dataclass(frozen=True)
class BlinkSeen:
    """One blink; times in seconds. The durations are NaN where the clip cuts it."""

    peak: float
    depth: float
    closing: float
    hold: float
    opening: float


def closed_share(points: Tensor, fps: float) -> np.ndarray:
    """How far the eyes of (T, 68, 2) are closed, (T,): 0 as open as they mostly are within a second or so, 1 shut."""
    face = to_face(points, face_frame(points))
    opening = (face[:, list(_LOWER_LIDS), 1] - face[:, list(_UPPER_LIDS), 1]).mean(1).numpy()
    reach = round(_OPEN_REACH * fps)
    usual = [np.quantile(opening[max(0, i - reach) : i + reach + 1], _OPEN_QUANTILE) for i in range(len(opening))]
    return 1 - opening / np.maximum(usual, 1e-3)


def _crossing(closed: np.ndarray, level: float, start: int, step: int) -> float:
    """Frame at which `closed` falls to `level` on the way from `start`; NaN if the clip ends before."""
    place = start
    while 0 <= place + step < len(closed):
        if closed[place + step] < level:
            return place + step * (closed[place] - level) / (closed[place] - closed[place + step])
        place += step
    return float("nan")


def find_blinks(closed: np.ndarray, fps: float) -> list[BlinkSeen]:
    """Blinks in a `closed_share`; eyes closed for longer, and half closed ones, are none.

    Durations are those of a blink with gentle starts and stops that passes a fifth and four fifths of its
    depth at the same moments.
    """
    below = np.flatnonzero(np.diff(np.concatenate([[0], closed >= _SHALLOWEST, [0]]).astype(int)))
    found = []
    for first, end in below.reshape(-1, 2):
        if end - first > _LONGEST * fps:
            continue
        peak = first + int(np.argmax(closed[first:end]))
        share = closed / closed[peak]
        early, shut = (_crossing(share, level, peak, -1) for level in (0.2, 0.8))
        lifted, late = (_crossing(share, level, peak, 1) for level in (0.8, 0.2))
        closing = (shut - early) / fps / (1 - 2 * _SMOOTHSTEP_20)
        opening = (late - lifted) / fps / (1 - 2 * _SMOOTHSTEP_20)
        hold = max((lifted - shut) / fps - _SMOOTHSTEP_20 * (closing + opening), 0.0)
        found.append(BlinkSeen(peak / fps, min(float(closed[peak]), 1.0), closing, hold, opening))
    return found


def gap_regularity(people: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Shape of the gamma distribution of the times between blinks, everybody with a mean of their own.

    The greatest likelihood over a grid; a gap that the clip's end cuts counts as longer than what was seen.

    Args:
        people: of each, whole gaps and cut ones, in seconds.
    """
    shapes = torch.linspace(0.5, 8, 76, dtype=torch.float64)[:, None, None]
    total = torch.zeros(len(shapes), dtype=torch.float64)
    for whole, cut in people:
        gaps, rest = (torch.from_numpy(np.asarray(values, np.float64)).clamp(min=0.02) for values in (whole, cut))
        scales = gaps.mean() * torch.logspace(-0.7, 0.7, 57, dtype=torch.float64)[:, None] / shapes
        likely = ((shapes - 1) * gaps.log() - gaps / scales - shapes * scales.log() - torch.lgamma(shapes)).sum(-1)
        survive = torch.special.gammaincc(shapes.expand(-1, 57, len(rest)), rest / scales)
        likely = likely + survive.clamp(min=1e-12).log().sum(-1)
        total += likely.amax(1) / len(gaps)
    return float(shapes[total.argmax(), 0, 0])


@dataclass(frozen=True)
class HeadCurves:
    """Motion of a clip, each curve (T,).

    Attributes:
        motions: roll (degrees), x, y (face units), size (per cent), brow (face units, up is positive), and pitch and
            yaw: how far the nose tip stands from the eyes (face units), which is how a turned head shows.
        brows: (T, 10) heights of the brow points over the eyes.
        usable: frames without a blink, which shifts the landmarks around it.
    """

    motions: dict[str, np.ndarray]
    brows: np.ndarray
    usable: np.ndarray


def head_curves(points: Tensor, fps: float, valid: np.ndarray | None = None) -> HeadCurves:
    """Position, roll and size of a head against the clip's mean face, and what remains of brows and nose.

    Args:
        points: (T, 68, 2).
        fps: frames a second.
        valid: (T,) frames with good landmarks; all by default.
    """
    rigid, reference = list(RIGID), points[0]
    for _ in range(3):
        aligned = align_rigid(points, reference)
        reference = aligned.mean(0)
    _, axes, scale = face_frame(reference)
    own, goal = points[:, rigid], reference[rigid]
    centre = own.mean(1)
    own, goal = own - centre[:, None], goal - goal.mean(0)
    along = (own * goal).sum((1, 2))
    across = (goal[:, 0] * own[..., 1] - goal[:, 1] * own[..., 0]).sum(1)
    size = torch.log(torch.hypot(along, across) / goal.square().sum())
    shift = (centre - centre.mean(0)) @ axes.T / scale[1]
    face = to_face(aligned, face_frame(reference))
    eyes = face[:, list(_CORNERS)].mean(1)
    brows = eyes[:, 1:] - face[:, list(BROWS), 1]
    motions = {
        "roll": torch.rad2deg(torch.atan2(across, along)), "x": shift[:, 0], "y": shift[:, 1], "size": 100 * size,
        "brow": brows.mean(1), "pitch": face[:, 30, 1] - eyes[:, 1], "yaw": face[:, 30, 0] - eyes[:, 0],
    }  # fmt: skip
    reach = round(_MARGIN * fps)
    touched = np.convolve(closed_share(points, fps) > _TOUCHED, np.ones(2 * reach + 1))[reach : reach + len(points)]
    usable = (touched < 0.5) & (True if valid is None else valid)
    return HeadCurves({name: curve.double().numpy() for name, curve in motions.items()}, brows.numpy(), usable)


def without_pose(clips: list[HeadCurves]) -> list[np.ndarray]:
    """Brow heights of a person's clips without what goes along with pitch and yaw, each (T,).

    A nod brings the brows closer to the eyes in the picture; that is no motion of the brows.
    """
    columns, goals = [], []
    for clip in clips:
        kept = clip.usable
        if kept.sum() > 2:
            pose = np.stack([clip.motions["pitch"], clip.motions["yaw"]], 1)[kept]
            brow = clip.motions["brow"][kept]
            columns.append(pose - pose.mean(0))
            goals.append(brow - brow.mean())
    slope = np.zeros(2)
    if columns:
        slope = np.linalg.lstsq(np.concatenate(columns), np.concatenate(goals), rcond=None)[0]
    return [clip.motions["brow"] - np.stack([clip.motions["pitch"], clip.motions["yaw"]], 1) @ slope for clip in clips]


def brow_profile(clips: list[HeadCurves]) -> np.ndarray:
    """How far each of a brow's five points follows when a person's brows rise, (5,), outer end first, at equal pose."""
    causes, heights = [], []
    for clip in clips:
        columns = np.stack([clip.motions[name] for name in ("brow", "pitch", "yaw")], 1)[clip.usable]
        causes.append(columns - columns.mean(0) if len(columns) else columns)
        brows = clip.brows[clip.usable]
        heights.append(brows - brows.mean(0) if len(brows) else brows)
    slopes = np.linalg.lstsq(np.concatenate(causes), np.concatenate(heights), rcond=None)[0][0]
    return (slopes[:5] + slopes[:4:-1]) / 2


def change(curves: list[tuple[np.ndarray, np.ndarray]], fps: float) -> np.ndarray:
    """Mean squared change of a person's curves after each of `LAG_SECONDS`; NaN for lags no clip is long enough for.

    Args:
        curves: of each clip, a curve (T,) and its usable frames (T,).
    """
    sums, counts = np.zeros(len(LAG_SECONDS)), np.zeros(len(LAG_SECONDS))
    for curve, usable in curves:
        for place, seconds in enumerate(LAG_SECONDS):
            lag = round(seconds * fps)
            if 0 < lag < 0.67 * len(curve):
                both = usable[lag:] & usable[:-lag]
                sums[place] += np.square(curve[lag:] - curve[:-lag])[both].sum()
                counts[place] += both.sum()
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def fit_wander(changes: np.ndarray) -> tuple[Wander, float, float]:
    """The wander, and a tremble from frame to frame, that change as much as given.

    Args:
        changes: (13,) mean squared change after each of `LAG_SECONDS`.

    Returns:
        The wander, the tremble's standard deviation, and the root mean square error as a share of the changes.
    """
    lags = np.array(LAG_SECONDS)
    best = (np.inf, Wander(0.0, 1.0), 0.0)
    for time in np.geomspace(0.04, 2, 118):
        design = np.stack([2 - 2 * (1 + lags / time) * np.exp(-lags / time), np.full_like(lags, 2)], 1)
        for kept in (2, 1):
            share = design[:, :kept] / changes[:, None]
            powers = np.linalg.lstsq(share, np.ones_like(lags), rcond=None)[0]
            error = float(np.sqrt(np.mean((share @ powers - 1) ** 2)))
            if (powers >= 0).all() and error < best[0]:
                tremble = float(np.sqrt(powers[1])) if kept == 2 else 0.0
                best = (error, Wander(float(np.sqrt(powers[0])), float(time)), tremble)
    error, wander, tremble = best
    return wander, tremble, error
