"""Whether skin keeps the sharpness of the photo: large portraits speak, at their own resolution."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..stages.compose import compose_frames
from ..stages.density import build_density
from ..stages.face import to_pixels
from ..stages.generator import generate_stream
from ..stages.landmark_predictor import predict_landmarks
from ..stages.warper import warp_stream
from ..types import Face, Landmarks, Progress
from .appearance import squared_laplacian
from .faces import faces_in
from .intervals import each, geometric_mean, interval
from .outside import read_pictures, voice

LARGE = 1024  # pixels of the shorter side
CHEEKS = ((2, 3, 31, 48), (13, 14, 35, 54))  # landmarks between jaw, nose and mouth's corner
STRIDE = 4  # every so many frames are measured


def evaluate_native(data: Path, split: str, progress: Progress | None = None) -> dict[str, float | list[float]]:
    """Make large pictures speak for a second and compare their cheeks with the photo's.

    Args:
        data: directory of the footage.
        split: "val" or "train".
        progress: called with (pictures done, pictures in all).

    Returns:
        `native_sharpness`: Laplacian energy of the cheeks in composed frames over that in the photo, geometric mean
        over pictures of 1024 pixels or more, with a 95 % interval over them, `_interval`; the lowest, `_lowest`; and
        the number of pictures. 1 is the photo.

    Raises:
        InputError: no large picture or no voice of that split can be used.
    """
    rows = [row for row in read_pictures(Path(data), split) if min(int(row["width"]), int(row["height"])) >= LARGE]
    speech, ratios = voice(Path(data), split), []
    for face in faces_in([Path(data) / "pictures" / row["file"] for row in rows], progress):
        ratios.append(cheek_sharpness(face, predict_landmarks(speech, face, blink=False)))
    if not ratios:
        raise InputError(f"No {split} picture of {LARGE} pixels or more with a face lies in {data}; check the folder.")
    table = np.array(ratios)[:, None]
    return {
        "native_sharpness": geometric_mean(table),
        "native_sharpness_interval": interval(each(ratios), table, geometric_mean),
        "native_sharpness_lowest": min(ratios),
        "native_pictures": len(ratios),
    }


def cheek_sharpness(face: Face, landmarks: Landmarks) -> float:
    """Laplacian energy of the cheeks while the face moves, over that in its picture."""
    boxes = cheek_boxes(face)
    stream = generate_stream(warp_stream(face, build_density(landmarks)))
    made, seen = [], 0
    for frames in compose_frames(stream):
        made += [energy(frame, boxes) for index, frame in enumerate(frames, seen) if index % STRIDE == 0]
        seen += len(frames)
    return float(np.mean(made)) / max(energy(face.picture[..., :3], boxes), 1e-12)


def cheek_boxes(face: Face) -> list[tuple[slice, slice]]:
    """Rows and columns of both cheeks in the face's picture; at least 8 pixels each way."""
    height, width = face.picture.shape[:2]
    boxes = []
    for cheek in CHEEKS:
        corners = to_pixels(face.points[list(cheek)], face.matrix)
        left, top = corners.amin(0).int().tolist()
        right, bottom = corners.amax(0).int().tolist()
        left, top = min(max(left, 0), width - 8), min(max(top, 0), height - 8)
        boxes.append((slice(top, max(bottom, top + 8)), slice(left, max(right, left + 8))))
    return boxes


def energy(picture: Tensor, boxes: list[tuple[slice, slice]]) -> float:
    """Mean squared Laplacian of the brightness of a picture (H, W, 3) in some boxes."""
    edges = squared_laplacian(picture.movedim(-1, 0)[None])[0, 0]
    return float(torch.cat([edges[rows, columns].flatten() for rows, columns in boxes]).mean())
