"""How well faces and their landmarks are found, through the product's own chain."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import FaceNotFoundError
from ..media import read_picture
from ..stages.face import estimate_landmarks, find_faces, locate_face, to_pixels
from ..stages.face_detection import overlap
from ..training.face_data import clip_frames, face_pictures, rows, shipped_points
from ..training.landmarks import eye_distance
from ..types import CROP_SIZE, Face, Progress
from .intervals import each, interval

FOUND_OVERLAP = 0.4
"""Intersection over union with the shipped box from which a face counts as found."""

FRAME_STRIDE = 12
"""Every so many frames of a clip are measured, about two a second."""


def faces_in(paths: Sequence[Path], progress: Progress | None = None) -> Iterator[Face]:
    """The largest face of every picture that shows one; `progress` is told of every picture that is done with."""
    for done, path in enumerate(paths, 1):
        with suppress(FaceNotFoundError):
            yield locate_face(read_picture(path))
        if progress is not None:
            progress(done, len(paths))


def evaluate_faces(data: Path, split: str, progress: Progress | None = None) -> dict[str, float | list[float]]:
    """Measure the embedded finder on `pictures/` and the landmarks on `clips/`.

    Args:
        data: directory of the footage.
        split: "val" or "train".
        progress: called with (items done, items in all).

    Returns:
        `face_found`: share of pictures whose largest shipped box the largest found box overlaps by 0.4 at least;
        `landmark_error_eye_distance`: mean over clips of the mean distance of 68 points in eye distances, where
        each frame goes through finding, cutting and estimating; frames without a found face count as 1.
        Both with a 95 % interval, `_interval`: of pictures, and of people.
        Beside them: the numbers of items, faces found a picture, the share of clip frames found, the same error on
        the crops as they are shipped, and the error of the mouth opening (inner lips, eye distances).
    """
    pictures = face_pictures(data, split, longest=4096)
    kept = [row for row in rows(data, "manifest.csv") if row["kind"] == "clip" and row["split"] == split]
    clips, people = [row["id"] for row in kept], [row["person"] for row in kept]
    total = len(pictures) + len(clips)
    hits: list[bool] = []
    boxes = 0
    for done, (picture, truth) in enumerate(pictures, 1):
        found = find_faces(torch.from_numpy(picture.copy()).float() / 255)
        boxes += len(found)
        hits.append(bool(found) and overlap(found[0].box, tuple(truth[0].tolist())) >= FOUND_OVERLAP)
        if progress is not None:
            progress(done, total)
    errors = []
    for done, name in enumerate(clips, len(pictures) + 1):
        errors.append(_clip_errors(Path(data) / "clips", name))
        if progress is not None:
            progress(done, total)
    chain, shipped, opening, found_share = np.mean(errors, axis=0).tolist()
    return {
        "face_found": float(np.mean(hits)),
        "face_found_interval": interval(each(hits), [[hit] for hit in hits]),
        "landmark_error_eye_distance": chain,
        "landmark_error_eye_distance_interval": interval(people, errors),
        "faces_a_picture": boxes / len(pictures),
        "pictures": len(pictures),
        "clips": len(clips),
        "clip_frames_found": found_share,
        "landmark_error_shipped_crop": shipped,
        "mouth_opening_error": opening,
    }


def _clip_errors(folder: Path, name: str) -> tuple[float, float, float, float]:
    """Of one clip: error through the chain, on the crop as shipped, of the mouth opening, and the share found."""
    points, valid = shipped_points(folder / f"{name}.npz")
    chain, shipped, opening, seen = [], [], [], []
    for index, frame in clip_frames(folder / f"{name}.mp4", FRAME_STRIDE):
        if index >= len(valid) or not valid[index]:
            continue
        picture = torch.from_numpy(frame).float() / 255
        truth = (torch.from_numpy(points[index]) + 1) * CROP_SIZE / 2
        unit = eye_distance(truth[None])[0]
        direct = estimate_landmarks(picture.movedim(-1, 0)[None])[0]
        shipped.append(float(((direct + 1) * CROP_SIZE / 2 - truth).norm(dim=-1).mean() / unit))
        try:
            face = locate_face(picture)
        except FaceNotFoundError:
            seen.append(0.0)
            chain.append(1.0)
            continue
        estimate = to_pixels(face.points, face.matrix)
        seen.append(1.0)
        chain.append(float((estimate - truth).norm(dim=-1).mean() / unit))
        opening.append(float((_opening(estimate) - _opening(truth)).abs() / unit))
    return float(np.mean(chain)), float(np.mean(shipped)), float(np.mean(opening or [1.0])), float(np.mean(seen))


def _opening(points: Tensor) -> Tensor:
    """Mean distance between the inner edges of both lips of (68, 2)."""
    return (points[[61, 62, 63]] - points[[67, 66, 65]]).norm(dim=-1).mean()
