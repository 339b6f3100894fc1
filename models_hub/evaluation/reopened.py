"""Whether mouths are sharp in large pictures: mouths that a picture shows open are closed, and opened again.

The picture is what should come back. Its teeth are gone when the mouth is closed, so whose teeth come back nobody can
know; but as sharp as the picture's they can be.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..loading import EMBEDDED
from ..networks.mouth_detail import fine_inner_window
from ..stages.compose import compose_frames
from ..stages.crop import cut_crop
from ..stages.density import build_density
from ..stages.face import to_pixels
from ..stages.generator import generate_stream
from ..stages.landmark_predictor import neutral_points
from ..stages.warper import warp_stream
from ..training.face_data import photo_rows
from ..training.footage import mouth_opening
from ..training.mouth_detail import SHOWS, WIDE_ENOUGH, window_of
from ..training.mouth_detail import edges as windows_edges
from ..types import Face, Landmarks, Progress
from .faces import faces_in
from .intervals import each, geometric_mean, interval
from .outside import read_pictures


def evaluate_reopened(
    data: Path, split: str, progress: Progress | None = None, generator: str = EMBEDDED
) -> dict[str, float | list[float]]:
    """Close and reopen the mouths of pictures, in the picture itself.

    Args:
        data: folder of manifest.csv, photos/, pictures.csv and pictures/.
        split: "val" or "train".
        progress: called with (pictures done, pictures in all).
        generator: weights.

    Returns:
        `reopened_mouth_sharpness`: Laplacian energy between the lips over that of the picture, in windows of 128
        pixels, geometric mean over photos and pictures whose mouths are open and large enough, with a 95 % interval
        over them, `_interval`; `reopened_mouth_l1`: mean difference to the picture there; and the number of pictures.
        A sharpness of 1 is the picture's.

    Raises:
        InputError: no picture of that split shows an open mouth.
    """
    paths = [data / "pictures" / row["file"] for row in read_pictures(data, split)]
    ratios, errors = [], []
    for face in faces_in(paths + [data / "photos" / f"{row['id']}.jpg" for row in photo_rows(data, split)], progress):
        if mouth_opening(face.points.numpy()) <= SHOWS:
            continue
        real, local, wide = mouth_window(face, face.picture)
        if wide < WIDE_ENOUGH:
            continue
        made = mouth_window(face, reopened(face, generator))[0]
        inner = fine_inner_window(local[None])[0] > 0.5
        ratios.append(edges(made, inner) / max(edges(real, inner), 1e-9))
        errors.append(float((made - real).abs()[:, inner[0]].mean()))
    if not ratios:
        raise InputError(f"No {split} photo or picture in {data} shows a mouth that is open; check the folder.")
    table = np.array(ratios)[:, None]
    return {
        "reopened_mouth_sharpness": geometric_mean(table),
        "reopened_mouth_sharpness_interval": interval(each(ratios), table, geometric_mean),
        "reopened_mouth_l1": float(np.mean(errors)),
        "reopened_pictures": len(ratios),
    }


def mouth_window(face: Face, picture: Tensor) -> tuple[Tensor, Tensor, float]:
    """`window_of` a face's mouth in a picture (H, W, 3) in 0..1."""
    return window_of((picture[..., :3] * 255).round().byte().numpy(), to_pixels(face.points, face.matrix))


def reopened(face: Face, generator: str = EMBEDDED) -> Tensor:
    """The face's picture (H, W, 3) after its mouth was closed and opened again."""
    closed = neutral_points(face)
    picture = moved(face, closed, generator)
    source = replace(face, picture=picture, points=closed, crop=cut_crop(picture, face.matrix, face.crop.shape[-1]))
    return moved(source, face.points, generator)


def moved(face: Face, points: Tensor, generator: str) -> Tensor:
    """The face's picture (H, W, 3) with its landmarks at other points (68, 2)."""
    landmarks = Landmarks(points[None], torch.ones(1, dtype=torch.bool))
    [frames] = compose_frames(generate_stream(warp_stream(face, build_density(landmarks)), generator))
    return frames[0]


def edges(window: Tensor, inner: Tensor) -> float:
    """Mean squared Laplacian of the brightness of a window (3, h, w) where `inner` (1, h, w) says."""
    return float(windows_edges(window[None], inner[None].float()))
