"""Whether a blink is seen: portraits close their eyes, and what covers the irises is compared with the lids' skin."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..networks.density import cell_grid
from ..stages.density import build_density
from ..stages.eyelids import EYES
from ..stages.generator import generate_stream
from ..stages.head_motion import blink
from ..stages.warper import warp_stream
from ..training.footage import read_manifest
from ..types import Face, Landmarks, Progress
from .faces import faces_in
from .intervals import interval

KINDS = ("photo", "generated")


def evaluate_blinks(data: Path, split: str, progress: Progress | None = None) -> dict[str, float | list[float]]:
    """Close the eyes of every photo of a split.

    Returns:
        `blink_cover`: how far the brightness of the irises goes towards that of the skin above the lids, median over
        faces (0: an open eye, 1: skin), with a 95 % interval over them, `_interval`; and how many `blink_faces`.

    Raises:
        InputError: no photo of that split shows a face.
    """
    rows = [row for row in read_manifest(data) if row["kind"] in KINDS and row["split"] == split]
    paths = [Path(data) / "photos" / f"{row['id']}.jpg" for row in rows]
    covers = [blink_cover(face) for face in faces_in(paths, progress)]
    if not covers:
        raise InputError(f"No {split} photo with a face lies in {data}; check the folder.")

    def median(table: np.ndarray) -> float:
        return float(np.median(table))

    table = [[cover] for cover in covers]
    return {
        "blink_cover": median(np.array(table)),
        "blink_cover_interval": interval([str(index) for index in range(len(covers))], table, median),
        "blink_faces": float(len(covers)),
    }


def blink_cover(face: Face) -> float:
    """How far the irises of a face that shuts its eyes take the brightness of the skin above its lids."""
    points = blink(face.points.repeat(2, 1, 1), torch.tensor([0.0, 1.0]))
    stream = generate_stream(warp_stream(face, build_density(Landmarks(points, torch.ones(2, dtype=torch.bool)))))
    frames = torch.cat([chunk.frames for chunk in stream.chunks(0, 2)])
    irises, skin = eye_parts(face.points, frames.shape[-1])
    before, now, lids = frames[0][:, irises].mean(), frames[1][:, irises].mean(), frames[0][:, skin].mean()
    return float((now - before) / (lids - before))


def eye_parts(points: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Which pixels (S, S) of a face with landmarks (68, 2) lie in the middle of the eyes, and which on the lids."""
    grid = cell_grid(size)
    irises, skin = torch.zeros(2, size, size, dtype=torch.bool)
    for _, upper, lower, brow in EYES:
        top, bottom, above = (points[list(part)].mean(0) for part in (upper, lower, brow[1:4]))
        irises |= (grid - (top + bottom) / 2).norm(dim=-1) < (top - bottom).norm() / 3
        skin |= (grid - torch.lerp(top, above, 0.4)).norm(dim=-1) < (top - above).norm() / 5
    return irises, skin
