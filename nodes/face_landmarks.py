"""ComfyUI's FACE_LANDMARKS and BOUNDING_BOX values -> 68 points and boxes in pixels."""

from typing import Any

import torch
from torch import Tensor

from ..models_hub.errors import FaceNotFoundError, InputError
from ..models_hub.networks.ibug68 import COUNT

# MediaPipe's face mesh has a vertex near each of the 68 points; in iBUG order (left is the picture's left).
MESH_VERTICES = (
    *(127, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 356),  # jaw
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),  # brows
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),  # nose
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # outer lips
    *(78, 82, 13, 312, 308, 317, 14, 87),  # inner lips
)
MESH_SIZES = (468, 478)  # without and with the irises


def points_from_landmarks(value: Any, index: int, height: int, width: int) -> Tensor:
    """The 68 points of one face in a FACE_LANDMARKS value.

    Args:
        value: ComfyUI's {"frames": [[face, ...], ...], "image_size": (H, W)}, of which the first frame is read and
            whose faces hold "landmarks_xy" in pixels, (478, 2), (468, 2) or (68, 2); or the bare points.
        index: which face, counted from the largest.
        height, width: of the picture that the points are wanted for.

    Returns:
        (68, 2) in pixels of that picture.

    Raises:
        FaceNotFoundError: there is no such face.
        InputError: the value has another form.
    """
    scale = (1.0, 1.0)
    if isinstance(value, dict) and "frames" in value:
        faces = value["frames"][0] if len(value["frames"]) else []
        if not 0 <= index < len(faces):
            raise FaceNotFoundError(
                f"Face {index} was asked for, but the given landmarks hold {len(faces)} faces, counted from 0; "
                "choose another face_index, or detect more faces."
            )
        if value.get("image_size"):
            scale = (width / value["image_size"][1], height / value["image_size"][0])
        value = sorted(faces, key=_area, reverse=True)[index].get("landmarks_xy")
    try:
        points = torch.as_tensor(value, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"Landmarks of type {type(value).__name__} cannot be read; link ComfyUI's face landmarks or 68 points."
        ) from error
    points = points[..., :2].reshape(-1, 2)
    if len(points) in MESH_SIZES:
        points = points[list(MESH_VERTICES)]
    if len(points) != COUNT:
        raise InputError(
            f"{len(points)} landmarks were given; {COUNT} in iBUG order, or MediaPipe's 468 or 478, can be used."
        )
    return points * torch.tensor(scale)


def _area(face: dict[str, Any]) -> float:
    points = torch.as_tensor(face["landmarks_xy"], dtype=torch.float32)[..., :2]
    return float((points.amax(0) - points.amin(0)).prod())


def boxes_from_bounding_boxes(value: Any) -> list[tuple[float, float, float, float]]:
    """Boxes (x, y, width, height) in pixels, largest first, of a BOUNDING_BOX value.

    Args:
        value: one {"x", "y", "width", "height"}, a list of them, or a list of such lists, of which the first is read.

    Raises:
        FaceNotFoundError: there is no box.
        InputError: the value has another form.
    """
    while isinstance(value, list | tuple) and value and isinstance(value[0], list | tuple):
        value = value[0]
    boxes = [value] if isinstance(value, dict) else value
    try:
        found = [tuple(float(box[key]) for key in ("x", "y", "width", "height")) for box in boxes]
    except (TypeError, KeyError, ValueError) as error:
        raise InputError(
            f"Boxes of type {type(value).__name__} cannot be read; link ComfyUI's bounding boxes "
            "(x, y, width and height in pixels)."
        ) from error
    if not found:
        raise FaceNotFoundError("The given bounding boxes are an empty list, so there is no face; detect faces first.")
    return sorted(found, key=lambda box: box[2] * box[3], reverse=True)
