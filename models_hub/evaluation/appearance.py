"""Whether generated frames are as sharp, as steady and as much the same person as real footage is.

Every val clip drives its own most closed frame through a run of consecutive frames around its widest mouth, by the
shipped landmarks. All figures are ratios to the real frames of the same moments.
"""

from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..loading import EMBEDDED
from ..networks.ibug68 import EYES, LIPS
from ..training.footage import mouth_opening, read_clip, read_manifest
from ..types import Progress
from .intervals import geometric_mean, interval
from .reenactment import drive, region_box

RUN = 16  # consecutive frames of each clip
FAR = 5  # frames that lie at least between two that are compared as the same person
BLUR = 2.0  # standard deviation in pixels before faces are compared: texture noise is nobody's identity
LAPLACIAN = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]


def evaluate_appearance(
    data: Path,
    split: str,
    progress: Progress | None = None,
    warper: str = EMBEDDED,
    generator: str = EMBEDDED,
) -> dict[str, float | list[float]]:
    """Measure sharpness, steadiness and identity.

    Args:
        data: folder of manifest.csv and clips/.
        split: of the people.
        progress: told after every clip.
        warper, generator: weights.

    Returns:
        `mouth_sharpness`, `eye_sharpness`: Laplacian energy of generated mouths (eyes) over that of the real ones;
        `temporal_energy`: squared difference of neighbouring frames outside of the mouth, over that of the real ones;
        `identity_distance`: how far generated frames are from the source once laid onto its landmarks, over how far
        real frames of the same person in the most similar pose are. Each the geometric mean over clips, with a 95 %
        interval over people, `_interval`; and the number of clips.
    """
    rows = [row for row in read_manifest(data) if row["kind"] == "clip" and row["split"] == split]
    ratios: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for done, row in enumerate(rows):
        clip, points, valid = read_clip(data, row["id"])
        usable = np.flatnonzero(valid)
        if len(usable) > RUN:
            figures = clip_ratios(clip, points, usable, warper, generator)
            for name, value in figures.items():
                ratios[name].append((row["person"], value))
        if progress is not None:
            progress(done + 1, len(rows))
    result: dict[str, float | list[float]] = {}
    for name, values in ratios.items():
        people, table = [person for person, _ in values], np.array([[value] for _, value in values])
        result[name] = geometric_mean(table)
        result[f"{name}_interval"] = interval(people, table, geometric_mean)
    result["appearance_clips"] = len(ratios["temporal_energy"])
    return result


def clip_ratios(
    clip: np.ndarray, points: np.ndarray, usable: np.ndarray, warper: str, generator: str
) -> dict[str, float]:
    """The ratios of one clip; frames (T, S, S, 3) uint8, points (T, 68, 2), usable frames."""
    opening = mouth_opening(points[usable])
    closed, widest = int(opening.argmin()), int(opening.argmax())
    start = int(np.clip(widest - RUN // 2, 0, len(usable) - RUN))
    targets = usable[start : start + RUN]
    twin = alike(points[usable], closed)
    needed = np.array([usable[closed], usable[twin], *targets])
    frames = torch.from_numpy(clip[needed]).permute(0, 3, 1, 2).float() / 255
    marks = torch.from_numpy(points[needed])
    made = torch.stack([frame for _, _, frame in drive(frames, marks, 0, list(range(2, 2 + RUN)), warper, generator)])
    real, marks_run = frames[2:], marks[2:]
    consecutive = torch.from_numpy(np.diff(targets) == 1)
    own = [likeness(frame, mark, frames[0], marks[0]) for frame, mark in zip(made, marks_run, strict=True)]
    return {
        "mouth_sharpness": sharpness(made, marks_run, LIPS) / sharpness(real, marks_run, LIPS),
        "eye_sharpness": sharpness(made, marks_run, EYES) / sharpness(real, marks_run, EYES),
        "temporal_energy": change(made, marks_run, consecutive) / max(change(real, marks_run, consecutive), 1e-9),
        "identity_distance": float(np.mean(own)) / max(likeness(frames[1], marks[1], frames[0], marks[0]), 1e-6),
    }


def squared_laplacian(frames: Tensor) -> Tensor:
    """Edges of the brightness of frames (N, 3, h, w), (N, 1, h, w)."""
    return F.conv2d(frames.mean(1, keepdim=True), LAPLACIAN, padding=1).square()


def sharpness(frames: Tensor, points: Tensor, region: range) -> float:
    """Mean squared Laplacian of the brightness of (T, 3, S, S) inside the box of some of points (T, 68, 2)."""
    edges = squared_laplacian(frames)[:, 0]
    boxes = [region_box(mark, frames.shape[-1], region) for mark in points]
    return float(
        np.mean([float(edge[rows, columns].mean()) for edge, (rows, columns) in zip(edges, boxes, strict=True)])
    )


def change(frames: Tensor, points: Tensor, consecutive: Tensor) -> float:
    """Mean squared difference of neighbouring frames (T, 3, S, S) where neither has its mouth."""
    outside = torch.ones(len(frames), 1, *frames.shape[-2:])
    for mask, mark in zip(outside, points, strict=True):
        rows, columns = region_box(mark, frames.shape[-1])
        mask[:, rows, columns] = 0
    both = outside[1:] * outside[:-1] * consecutive[:, None, None, None]
    return float(((frames[1:] - frames[:-1]).square() * both).sum() / (3 * both.sum()).clamp(min=1))


def alike(points: np.ndarray, chosen: int) -> int:
    """The frame whose points (T, 68, 2) are nearest to those of a chosen one, some frames away from it."""
    distance = np.linalg.norm(points - points[chosen], axis=-1).mean(-1)
    distance[max(0, chosen - FAR + 1) : chosen + FAR] = np.inf
    return int(distance.argmin())


def likeness(frame: Tensor, points: Tensor, source: Tensor, source_points: Tensor) -> float:
    """Mean difference of two faces (3, S, S) after the first is laid onto the landmarks of the second.

    Piecewise affine between the landmarks, as in active appearance models (Cootes et al. 1998), so that pose and
    expression do not count; the mouth is left out.
    """
    from scipy.interpolate import LinearNDInterpolator

    size = source.shape[-1]
    middle = (torch.arange(size) + 0.5) * (2 / size) - 1
    where = torch.stack(torch.meshgrid(middle, middle, indexing="xy"), -1)  # (S, S, 2)
    grid = LinearNDInterpolator(source_points.numpy(), points.numpy())(where.numpy())
    inside = torch.from_numpy(np.isfinite(grid).all(-1))
    rows, columns = region_box(source_points, size)
    inside[rows, columns] = False
    both = torch.stack([frame, source])
    kernel = torch.exp(-0.5 * (torch.arange(-6, 7) / BLUR) ** 2)
    kernel = kernel / kernel.sum()
    both = F.conv2d(both.flatten(0, 1)[:, None], kernel[None, None, None], padding=(0, 6))
    both = F.conv2d(both, kernel[None, None, :, None], padding=(6, 0)).view(2, 3, size, size)
    laid = F.grid_sample(both[:1], torch.from_numpy(np.nan_to_num(grid)).float()[None], align_corners=False)[0]
    return float((laid - both[1]).abs()[:, inside].mean())
