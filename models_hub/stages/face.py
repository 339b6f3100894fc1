"""A picture of any size -> source crop, 68 landmarks and the way back (ART_FACE).

The crop is an upright square with the framing that the embedded networks were trained on; it is sampled from
the picture at the picture's own resolution, low-pass filtered where it shrinks, and continues the border
pixels where it reaches beyond the picture.
"""

import math
from pathlib import Path

import torch
from torch import Tensor

from ..errors import FaceNotFoundError, InputError
from ..loading import load_network
from ..networks.ibug68 import COUNT, MIRROR
from ..threads import one_thread
from ..types import Face
from .crop import Box, box_matrix, crop_matrix, cut_crop, to_crop, to_pixels
from .face_detection import SMALLEST_FACE, FoundFace, detect, find_faces, insightface_faces
from .inference import Placed

__all__ = [
    "FoundFace",
    "crop_matrix",
    "cut_crop",
    "estimate_landmarks",
    "find_faces",
    "locate_face",
    "to_crop",
    "to_picture",
    "to_pixels",
]

SMALLEST_SIDE = 64
LARGEST_SIDE = 8192
"""Pixels along a side of a usable picture."""

ROUGH = 0.1
"""Score above which a place is worth naming when no face was found."""


def to_picture(picture: Tensor) -> Tensor:
    """Any picture tensor as (H, W, 3) float in 0..1; transparent parts lie over mid-grey.

    Args:
        picture: (H, W, C) or (1, H, W, C), C = 1, 3 or 4; floats in 0..1 or bytes.

    Raises:
        InputError: another shape, several pictures, values that are not finite or not in 0..1, or a size outside
            64 to 8192 pixels.
    """
    shape = tuple(picture.shape)
    if picture.ndim == 4:
        if shape[0] != 1:
            raise InputError(f"The batch holds {shape[0]} pictures, but a face is taken from one; choose one of them.")
        picture = picture[0]
    if picture.ndim != 3 or picture.shape[-1] not in (1, 3, 4):
        raise InputError(
            f"A picture of shape {shape} was given; expected is (height, width, channels) with 1, 3 or 4 channels, "
            "channels last."
        )
    height, width = picture.shape[:2]
    if min(height, width) < SMALLEST_SIDE or max(height, width) > LARGEST_SIDE:
        raise InputError(
            f"The picture has {width} x {height} pixels; sides from {SMALLEST_SIDE} to {LARGEST_SIDE} can be used. "
            f"{'Enlarge' if min(height, width) < SMALLEST_SIDE else 'Shrink'} it or cut out the part with the head."
        )
    picture = picture.float() / 255 if picture.dtype == torch.uint8 else picture.float()
    low, high = (float(value) for value in picture.aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError("The picture holds values that are not numbers (NaN or infinite); read or decode it again.")
    if low < -0.01 or high > 1.01:
        raise InputError(
            f"The picture's values reach from {low:.3g} to {high:.3g}, but should lie in 0..1; "
            "divide bytes by 255, and undo any mean subtraction."
        )
    picture = picture.clamp(0, 1)
    if picture.shape[-1] == 4:
        colour, alpha = picture[..., :3], picture[..., 3:]
        picture = colour * alpha + 0.5 * (1 - alpha)
    return picture.expand(height, width, 3).contiguous()


@torch.no_grad()
def estimate_landmarks(crops: Tensor, weights: str = "embedded") -> Tensor:
    """Landmarks of upright, roughly centred face crops.

    Args:
        crops: (B, 3, 256, 256) in 0..1.
        weights: "embedded" or the path of a safetensors file.

    Returns:
        (B, 68, 2) in crop units.

    Raises:
        InputError: another shape.
    """
    if crops.ndim != 4 or crops.shape[1] != 3 or crops.shape[2] != crops.shape[3]:
        raise InputError(f"Landmarks are read from square crops (B, 3, S, S), but the shape is {tuple(crops.shape)}.")
    network = Placed(load_network("landmark_estimator", weights))
    return network.points(network(crops))


def _steady_landmarks(picture: Tensor, matrix: Tensor) -> Tensor:
    """Mean of four looks: as framed, mirrored, a little closer and a little further; (68, 2) in pixels."""
    looks = [torch.cat([matrix[:, :2] * scale, matrix[:, 2:]], dim=1) for scale in (1.0, 0.94, 1.07)]
    crops = torch.cat([cut_crop(picture, look) for look in looks])
    points = estimate_landmarks(torch.cat([crops, crops[:1].flip(-1)]))
    mirrored = (points[3] * torch.tensor([-1.0, 1.0]))[list(MIRROR)]
    places = torch.stack([*points[:3], mirrored])
    pixels = [to_pixels(*pair) for pair in zip(places, [*looks, matrix], strict=True)]
    return torch.stack(pixels).mean(dim=0)


def landmarks_in_box(picture: Tensor, box: Box) -> Tensor:
    """Landmarks (68, 2) in pixels of the face in a box of a picture (H, W, 3): a rough look, then a centred one."""
    rough = box_matrix(box)
    first = to_pixels(estimate_landmarks(cut_crop(picture, rough))[0], rough)
    return _steady_landmarks(picture, crop_matrix(first))


@one_thread()
def locate_face(
    picture: Tensor,
    detector: str = "embedded",
    index: int = 0,
    points: Tensor | None = None,
    boxes: Tensor | list[Box] | None = None,
    model_folder: Path | None = None,
) -> Face:
    """Find a face, its landmarks, and cut it out.

    Args:
        picture: (H, W, C) or (1, H, W, C), C = 1, 3 or 4, in 0..1; 64 to 8192 pixels a side.
        detector: "embedded", or "insightface" (its package and models must be installed).
        index: which face, counted from the largest.
        points: (68, 2) in pixels: nothing is searched, and these are the landmarks.
        boxes: (n, 4) x, y, width, height in pixels: faces known already, in the order that `index` counts.
        model_folder: where insightface's models lie, if not in its own place.

    Raises:
        FaceNotFoundError: no face, fewer faces than `index` asks for, or too small a face.
        InputError: the picture, points or boxes cannot be used.
    """
    picture = to_picture(picture)
    if points is not None:
        return _face(picture, _checked_points(points, picture), None, 1.0)
    if boxes is not None:
        found = _given_boxes(boxes)
    elif detector == "embedded":
        found = find_faces(picture)
    elif detector == "insightface":
        found = insightface_faces(picture, model_folder)
    else:
        raise InputError(f'The detector {detector!r} is not known; choose "embedded" or "insightface".')
    height, width = picture.shape[:2]
    if not found:
        raise FaceNotFoundError(
            f"No face was found in the picture of {width} x {height} pixels{_closest(picture)}. "
            "Use a picture with a larger or more frontal face, another detector, or give points."
        )
    if not 0 <= index < len(found):
        faces = "1 face was" if len(found) == 1 else f"{len(found)} faces were"
        raise FaceNotFoundError(
            f"Face {index} was asked for, but {faces} found, counted from 0, the largest first; "
            f"choose an index from 0 to {len(found) - 1}."
        )
    face = found[index]
    if min(face.box[2:]) < SMALLEST_FACE:
        raise FaceNotFoundError(
            f"The face at {face.box[0]:.0f}, {face.box[1]:.0f} is {face.box[2]:.0f} x {face.box[3]:.0f} pixels; "
            f"at least {SMALLEST_FACE} across are needed. Use the picture at a higher resolution."
        )
    return _face(picture, landmarks_in_box(picture, face.box), face.box, face.score)


def _face(picture: Tensor, points: Tensor, box: Box | None, score: float) -> Face:
    matrix = crop_matrix(points)
    if box is None:
        low, size = points.amin(dim=0), points.amax(dim=0) - points.amin(dim=0)
        box = (*low.tolist(), *size.tolist())
    return Face(cut_crop(picture, matrix), to_crop(points, matrix), matrix, picture, box, score)


def _checked_points(points: Tensor, picture: Tensor) -> Tensor:
    points = torch.as_tensor(points).float()
    if points.ndim == 3 and len(points) == 1:
        points = points[0]
    if points.shape != (COUNT, 2) or not points.isfinite().all():
        raise InputError(
            f"Landmarks of shape {tuple(points.shape)} were given; expected are {COUNT} finite x, y pairs in pixels of "
            "the picture, in iBUG 68 order."
        )
    height, width = picture.shape[:2]
    middle = points.mean(dim=0)
    if not (0 <= middle[0] <= width and 0 <= middle[1] <= height):
        raise InputError(
            f"The landmarks are centred at {middle[0]:.0f}, {middle[1]:.0f}, outside the picture of {width} x {height} "
            "pixels; give them in pixels of this picture."
        )
    return points


def _given_boxes(boxes: Tensor | list[Box]) -> list[FoundFace]:
    table = torch.as_tensor(boxes).float()
    table = table[None] if table.ndim == 1 else table
    if table.ndim != 2 or table.shape[1] != 4 or not table.isfinite().all() or not (table[:, 2:] > 0).all():
        raise InputError(
            f"Face boxes {tuple(table.shape)} were given; expected are rows of x, y, width, height in pixels, the "
            "last two above zero."
        )
    return [FoundFace(tuple(row), 1.0) for row in table.tolist()]


def _closest(picture: Tensor) -> str:
    """What came closest to a face, in words."""
    near = detect(Placed(load_network("face_finder")), picture.movedim(-1, 0), ROUGH)
    if not near:
        return ", nor anything like one"
    best = max(near, key=lambda face: face.score)
    x, y, width, height = (round(value) for value in best.box)
    return f"; closest came a place of {width} x {height} pixels at {x}, {y} with a score of {best.score:.2f}"
