"""The square crop of a face: where it lies in the picture, and how it is sampled.

Crop units and pixels are tied by a (2, 3) matrix: pixels = matrix @ (x, y, 1), with pixel centres at whole
numbers plus one half. The crop is upright, so the matrix holds one scale and a shift.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..networks.density import cell_grid
from ..types import CROP_SIZE

Box = tuple[float, float, float, float]
"""x, y of the upper left corner, width, height, in pixels."""

FRAME_SIZE = 0.94
"""Larger side of the square around the 68 points, in crop units (half sides of the crop): median of the clips."""

FRAME_CENTRE = (0.0, 0.2)
"""Where the middle of that square lies in the crop."""

BOX_SCALE = 1.079
BOX_SHIFT = (0.011, -0.037)
"""Side of a face box, and its centre's shift, in sides of the square around the 68 points: medians over the training
pictures that come with both boxes and points."""


def crop_matrix(points: Tensor) -> Tensor:
    """The upright square crop that frames a face as in the training clips.

    Args:
        points: (68, 2) in pixels of the picture.

    Returns:
        (2, 3) float; pixels = matrix @ (x, y, 1) for x, y in crop units.

    Raises:
        InputError: the points span no area.
    """
    low, high = points.amin(dim=0), points.amax(dim=0)
    side = (high - low).max()
    if not side > 1:
        raise InputError(f"The landmarks span {float(side):.2g} pixels, so no crop can be made; give points in pixels.")
    unit = side / FRAME_SIZE
    return _square((low + high) / 2, unit)


def _square(middle: Tensor, unit: Tensor) -> Tensor:
    """Crop whose FRAME_CENTRE lies at `middle` (2,) pixels, with `unit` pixels to a crop unit."""
    centre = middle - torch.tensor(FRAME_CENTRE, dtype=middle.dtype) * unit
    return torch.cat([torch.eye(2, dtype=middle.dtype) * unit, centre[:, None]], dim=1)


def box_matrix(box: Box) -> Tensor:
    """The crop for a box, before any landmark is known."""
    x, y, width, height = box
    side = max(width, height) / BOX_SCALE
    middle = torch.tensor([x + width / 2 - BOX_SHIFT[0] * side, y + height / 2 - BOX_SHIFT[1] * side])
    return _square(middle, torch.tensor(side / FRAME_SIZE))


def to_pixels(points: Tensor, matrix: Tensor) -> Tensor:
    """Points (..., 2) in crop units -> pixels of the picture, by the crop's matrix (2, 3)."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def to_crop(points: Tensor, matrix: Tensor) -> Tensor:
    """Points (..., 2) in pixels of the picture -> crop units."""
    return (points - matrix[:, 2]) @ torch.linalg.inv(matrix[:, :2]).T


def cut_crop(picture: Tensor, matrix: Tensor, size: int = CROP_SIZE) -> Tensor:
    """Sample a crop.

    Args:
        picture: (H, W, 3) in 0..1.
        matrix: (2, 3), crop units to pixels.
        size: pixels along each side of the crop.

    Returns:
        (1, 3, size, size).
    """
    corners = to_pixels(torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]]), matrix)
    density = float(torch.linalg.det(matrix[:, :2]).abs().sqrt()) * 2 / size  # picture pixels to a crop pixel
    margin = 2 * max(1.0, density)
    limits = torch.tensor([picture.shape[1], picture.shape[0]])
    start = torch.minimum((corners.amin(dim=0) - margin).floor().long().clamp(min=0), limits - 1)
    stop = torch.minimum((corners.amax(dim=0) + margin).ceil().long(), limits).clamp(min=1)
    stop = torch.maximum(stop, start + 1)
    image = picture[start[1] : stop[1], start[0] : stop[0]].movedim(-1, 0)[None]
    matrix = torch.cat([matrix[:, :2], matrix[:, 2:] - start[:, None]], dim=1)
    while density >= 2:
        image = F.pad(image, (0, image.shape[-1] % 2, 0, image.shape[-2] % 2), mode="replicate")
        image, matrix, density = F.avg_pool2d(image, 2), matrix / 2, density / 2
    # Between one and two pixels to each of the crop's: two samples a side and their mean.
    factor = 2 if density > 1 else 1
    grid = cell_grid(size * factor)
    pixels = to_pixels(grid, matrix)
    places = pixels / torch.tensor([image.shape[-1], image.shape[-2]]) * 2 - 1
    crop = F.grid_sample(image, places[None], mode="bilinear", padding_mode="border", align_corners=False)
    return F.avg_pool2d(crop, factor) if factor > 1 else crop
