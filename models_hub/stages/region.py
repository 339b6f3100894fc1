"""Which part of the picture a talking face may change: the moving head, faded out on all sides.

The region is the convex hull of the source's and the driving landmarks, raised to the top of the hair
and grown by a margin. A hull grown by a margin is an intersection of half-planes, so its distance is the
largest of a few projections: smooth in time, and cheap. Inside the crop's border it always reaches zero.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..networks.density import cell_centres
from ..networks.ibug68 import BROWS, JAW
from ..types import Face

DIRECTIONS = 32  # half-planes of the hull
GRID = 64  # cells that the distance is evaluated on
MARGIN = 0.12  # of the hull around the head, in crop units
HAIR = 0.55  # top of the head above the brows, in heights from chin to brows
DEFAULT_FEATHER = 0.12


def head_outline(points: Tensor) -> Tensor:
    """Landmarks completed by the top of the head, which the 68 points do not cover.

    Args:
        points: (n, 68, 2) in crop units.

    Returns:
        (n, 68 + 10, 2); the new points are the brows, raised by about half the face's height.
    """
    brows = points[:, list(BROWS)]
    chin = points[:, JAW[8], None]
    return torch.cat([points, brows + HAIR * (brows.mean(1, keepdim=True) - chin)], dim=1)


def motion_region(source: Tensor, driving: Tensor, size: int, feather: float = DEFAULT_FEATHER) -> Tensor:
    """How much of the motion and of the painted pixels is used, place by place.

    Args:
        source: (68, 2) landmarks of the source.
        driving: (n, 68, 2) landmarks of the frames.
        size: cells along each side of the result.
        feather: width of the fade as a share of the crop's side. Where the head moves far, the fade
            widens with the motion, so that the picture is never folded.

    Returns:
        (n, 1, size, size); 1 on the head, exactly 0 at the crop's border and beyond the fade.
    """
    angles = torch.arange(DIRECTIONS, device=driving.device) * (2 * math.pi / DIRECTIONS)
    normals = torch.stack([angles.cos(), angles.sin()])  # (2, D)
    outline = torch.cat([head_outline(driving), head_outline(source[None]).expand(len(driving), -1, -1)], dim=1)
    reach = (outline @ normals).amax(1)  # (n, D), how far the hull extends in each direction
    centres = cell_centres(GRID, driving.device)
    along = centres[:, None, None] * normals[1] + centres[:, None] * normals[0]  # (GRID, GRID, D)
    distance = (along - reach[:, None, None]).amax(-1) - MARGIN  # (n, GRID, GRID), positive outside
    motion = (driving - source).norm(dim=-1).amax(1)[:, None, None]
    inside = smooth_step(1 - distance / (2 * feather + 1.5 * motion))
    border = 1 - torch.maximum(centres.abs()[:, None], centres.abs())  # distance to the crop's edge
    region = (inside * smooth_step((border - 4 / GRID) / (2 * feather)))[:, None]
    if size != GRID:
        region = F.interpolate(region, size=(size, size), mode="bilinear", align_corners=False)
    return region


def smooth_step(x: Tensor) -> Tensor:
    """0 below 0, 1 above 1, and a cubic between that starts and ends level."""
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)


def face_mask(face: Face, driving: Tensor | None = None, feather: float = DEFAULT_FEATHER) -> Tensor:
    """The region in the picture: what composing a video of this face may change, and how strongly.

    Args:
        face: the source.
        driving: (n, 68, 2) landmarks of the frames; None means a face that stays where it is.
        feather: as for `motion_region`.

    Returns:
        (H, W) in 0..1, the most that any of the frames uses; 0 where no pixel is ever touched.
    """
    driving = face.points[None] if driving is None else driving
    size = face.crop.shape[-1]
    most = [motion_region(face.points, part, size, feather).amax(0) for part in driving.split(64)]
    region = torch.stack(most).amax(0)[0]
    return torch.from_numpy(onto_picture(region.cpu().numpy(), face.matrix, Box(0, 0, *face.picture.shape[:2])))


@dataclass(frozen=True)
class Box:
    """A rectangle of whole picture pixels; `bottom` and `right` lie just outside."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def empty(self) -> bool:
        """Whether no pixel lies inside."""
        return self.bottom <= self.top or self.right <= self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def cut_to(self, other: "Box") -> "Box":
        """The part inside `other`."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        return Box(top, left, min(self.bottom, other.bottom), min(self.right, other.right))

    def within(self, other: "Box") -> "Box":
        """The same pixels, counted from the corner of `other`."""
        return Box(self.top - other.top, self.left - other.left, self.bottom - other.top, self.right - other.left)


def picture_box(
    face: Face, rectangle: tuple[float, float, float, float] = (-1.0, -1.0, 1.0, 1.0), matrix: Tensor | None = None
) -> Box:
    """The pixels around a rectangle (x0, y0, x1, y1) in crop units, cut to the picture.

    Args:
        face: its picture and its crop.
        rectangle: see above.
        matrix: (2, 3), the way of the rectangle's units to the picture, if they are not the crop's.
    """
    x0, y0, x1, y1 = rectangle
    corners = torch.tensor([[x0, y0, 1], [x1, y0, 1], [x0, y1, 1], [x1, y1, 1]], dtype=torch.float64)
    x, y = ((face.matrix if matrix is None else matrix).double().cpu() @ corners.T).unbind()
    height, width = face.picture.shape[:2]
    left, right = int(x.min().floor().clamp(0, width)), int(x.max().ceil().clamp(0, width))
    top, bottom = int(y.min().floor().clamp(0, height)), int(y.max().ceil().clamp(0, height))
    return Box(top, left, bottom, right)


def onto_picture(
    field: np.ndarray, matrix: Tensor, box: Box, cubic: bool = False, out: np.ndarray | None = None
) -> np.ndarray:
    """Resample a field over the crop, or over a part of it, to the pixels of a part of the picture.

    Args:
        field: (h, w) or (h, w, C) float32.
        matrix: (2, 3), the way of its places, -1..1 along both sides, to the picture; the crop's own is in `Face`.
        box: the part of the picture.
        cubic: sharper interpolation; the field is continued beyond its border, otherwise it is 0 there.
        out: memory for the result.

    Returns:
        (box height, box width) or (..., C) float32.
    """
    import cv2

    affine = matrix.double().cpu().numpy()
    half = np.array([field.shape[1] / 2, field.shape[0] / 2])
    inverse = np.linalg.inv(affine[:, :2]) * half[:, None]
    corner = np.array([box.left + 0.5, box.top + 0.5])  # centre of the first pixel
    offset = inverse @ (corner - affine[:, 2]) + half - 0.5
    return cv2.warpAffine(
        field,
        np.column_stack([inverse, offset]),
        (box.right - box.left, box.bottom - box.top),
        dst=out,
        flags=cv2.WARP_INVERSE_MAP | (cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR),
        borderMode=cv2.BORDER_REPLICATE if cubic else cv2.BORDER_CONSTANT,
    )
