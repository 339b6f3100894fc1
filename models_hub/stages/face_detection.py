"""Where the faces of a picture are: the embedded finder, or insightface's."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from ..loading import load_network
from ..networks.face_finder import MULTIPLE, FaceFinder
from .crop import Box, box_matrix, cut_crop
from .inference import Placed

WORKING_SIDES = (128, 256)
"""Longest sides that a picture is looked at: small for faces that fill it, larger for small ones."""

SMALL_FACE_SIDE = 512
"""Longest side of a third look, taken where the others saw nothing."""

SMALLEST_FACE = 24
"""Pixels across the narrowest usable face."""

THRESHOLD = 0.35
"""Least score of a face."""

WIDEST_SPREAD = 4.0
"""Cells over which the landmark maps of a face may spread. Faces of unseen people stay below 2.9, two of 118 training
pictures lie above 3.5; what the finder wrongly takes for a face lies above 4, but for coins with heads (from 3.7)."""

SAME_FACE = 0.4
"""Overlap (intersection over union) from which two boxes are one face."""

INSIGHTFACE_SIDE = 0.9
"""Side of the project's square boxes in heights of insightface's, which reach up over the forehead."""

GREY = 0.5
"""What a picture is padded with, as the finder's training pictures were."""


@dataclass(frozen=True)
class FoundFace:
    """A face: box (x, y, width, height) in pixels of the picture, and the finder's score in 0..1."""

    box: Box
    score: float


def overlap(first: Box, second: Box) -> float:
    """Intersection over union of two boxes (x, y, width, height)."""
    width = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    height = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / (first[2] * first[3] + second[2] * second[3] - common)


def resized(picture: Tensor, height: int, width: int) -> Tensor:
    """A picture (B, C, H, W) at another size, low-pass filtered where it shrinks."""
    if (height, width) == tuple(picture.shape[-2:]):
        return picture
    return F.interpolate(picture, (height, width), mode="bilinear", antialias=True)


@torch.no_grad()
def detect(
    network: nn.Module, picture: Tensor, threshold: float = THRESHOLD, sides: tuple[int, ...] = WORKING_SIDES
) -> list[FoundFace]:
    """Faces of a picture, the largest first.

    Args:
        network: a FaceFinder in eval mode.
        picture: (3, H, W) in 0..1.
        threshold: least score.
        sides: longest sides that it is looked at.
    """
    base, longest = picture[None], max(picture.shape[1:])
    if longest > max(sides):  # a very large picture is filtered once, not for every look
        base = _with_longest_side(base, max(sides))
    factor = longest / max(base.shape[-2:])
    found = [face for side in sides for face in _look(network, base, side, threshold)]
    kept: list[FoundFace] = []
    for face in sorted(found, key=lambda face: -face.score):
        if all(overlap(face.box, other.box) < SAME_FACE and not _inside(face.box, other.box) for other in kept):
            kept.append(face)
    scaled = [FoundFace(tuple(value * factor for value in face.box), face.score) for face in kept]
    return sorted(scaled, key=lambda face: -face.box[2] * face.box[3])


def _with_longest_side(picture: Tensor, side: int) -> Tensor:
    height, width = picture.shape[-2:]
    factor = side / max(height, width)
    return resized(picture, max(1, round(height * factor)), max(1, round(width * factor)))


def _look(network: nn.Module, picture: Tensor, side: int, threshold: float) -> list[FoundFace]:
    """Local maxima of the score at one size, boxes in pixels of `picture`."""
    shown = _with_longest_side(picture, side)
    height, width = shown.shape[-2:]
    padded = F.pad(shown, (0, -width % MULTIPLE, 0, -height % MULTIPLE), value=GREY)
    scores, boxes = FaceFinder.boxes(network(padded))
    peaks = (scores == F.max_pool2d(scores, 3, stride=1, padding=1)) & (scores >= threshold)
    factor = torch.tensor([picture.shape[-1] / width, picture.shape[-2] / height] * 2)
    places = (boxes[peaks] * factor).tolist()
    return [FoundFace(tuple(box), score) for box, score in zip(places, scores[peaks].tolist(), strict=True)]


def _inside(first: Box, second: Box) -> bool:
    """Whether the middle of one box lies in the middle half of the other: two looks at the same face."""

    def holds(box: Box, other: Box) -> bool:
        x, y = other[0] + other[2] / 2 - box[0] - box[2] / 2, other[1] + other[3] / 2 - box[1] - box[3] / 2
        return abs(x) < box[2] / 4 and abs(y) < box[3] / 4

    return holds(first, second) or holds(second, first)


def find_faces(picture: Tensor, threshold: float = THRESHOLD) -> list[FoundFace]:
    """Faces that the embedded finder sees and the landmark estimator confirms.

    Args:
        picture: (H, W, 3) in 0..1.
        threshold: least score in 0..1; lower finds more, also where there is nothing.

    Returns:
        Boxes and scores, the largest face first; empty where there is none.

    Raises:
        InputError: `picture` has another shape.
    """
    if picture.ndim != 3 or picture.shape[-1] != 3:
        raise InputError(
            f"Faces are looked for in one RGB picture (height, width, 3), but the shape is {tuple(picture.shape)}; "
            "give one picture of a batch, without alpha."
        )
    network, channels_first = Placed(load_network("face_finder")), picture.movedim(-1, 0)
    for sides in (WORKING_SIDES, (SMALL_FACE_SIDE,)):
        found = detect(network, channels_first, threshold, sides)
        confirmed = [face for face in found if _confirmed(picture, face.box)]
        if confirmed or max(picture.shape) <= max(sides):
            break
    return confirmed


@torch.no_grad()
def _confirmed(picture: Tensor, box: Box) -> bool:
    """Whether the landmark estimator, too, sees a face in a box: on anything else its maps have no clear peaks."""
    network = Placed(load_network("landmark_estimator"))
    return float(network.spread(network(cut_crop(picture, box_matrix(box))))) < WIDEST_SPREAD


def insightface_faces(picture: Tensor, model_folder: Path | None = None) -> list[FoundFace]:
    """Faces that insightface's detector sees; nothing is downloaded.

    Args:
        picture: (H, W, 3) in 0..1.
        model_folder: directory with its onnx files; `~/.insightface/models/buffalo_l` if not given.

    Raises:
        InputError: the package or its models are missing.
    """
    folder = Path(model_folder) if model_folder else Path.home() / ".insightface" / "models" / "buffalo_l"
    folder = folder.expanduser()
    if not any(folder.glob("*.onnx")):
        raise InputError(
            f'The detector "insightface" needs its models (for non-commercial research), but {folder} holds no onnx '
            'file; unpack the package "buffalo_l" of insightface there, or choose the embedded detector.'
        )
    bytes_bgr = (picture.flip(-1) * 255).round().to(torch.uint8).contiguous().numpy()
    found = [
        FoundFace(_corner_box(face.bbox.tolist()), float(face.det_score))
        for face in _insightface(folder).get(bytes_bgr)
    ]
    return sorted(found, key=lambda face: -face.box[2] * face.box[3])


def _corner_box(corners: list[float]) -> Box:
    """insightface's tall box (left, top, right, bottom) -> the square box of this project, over the same face."""
    left, top, right, bottom = corners
    side = (bottom - top) * INSIGHTFACE_SIDE
    return ((left + right) / 2 - side / 2, bottom - side, side, side)


@lru_cache(maxsize=2)
def _insightface(folder: Path) -> Any:
    try:
        from insightface.app import FaceAnalysis
    except ImportError as error:
        raise InputError(
            f'The detector "insightface" was chosen, but its package cannot be imported ({error}); '
            "pip install insightface onnxruntime, or choose the embedded detector."
        ) from error
    # An existing directory is used as it is; only absent ones are fetched by the package.
    try:
        analysis = FaceAnalysis(name=str(folder), allowed_modules=["detection"])
    except (AssertionError, RuntimeError, OSError) as error:
        raise InputError(
            f"The models in {folder} cannot be used by insightface ({error or 'no detection model among them'}); "
            'unpack its package "buffalo_l" there again, or choose the embedded detector.'
        ) from error
    analysis.prepare(ctx_id=-1)
    return analysis
