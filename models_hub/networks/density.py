"""Landmark density maps: one unit-mass Gaussian per point, summed by region (CPNet, reconstruction).

An isotropic Gaussian factorises, so a map of H x W cells costs 68 (H + W) exponentials instead of
68 H W. Each one-dimensional factor is normalised to unit sum: a point counts 1 wherever it lies
inside the grid, at the border too. Source: seed 03, section 4; our own reconstruction, the paper's
text was not available.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .ibug68 import COUNT, DENSITY_REGIONS


def cell_centres(size: int, device: torch.device | None = None) -> Tensor:
    """Centres of `size` cells across -1..1, as (size,); the first lies half a cell inside."""
    return (torch.arange(size, device=device, dtype=torch.float32) + 0.5) * (2 / size) - 1


def cell_grid(size: int, device: torch.device | None = None) -> Tensor:
    """Centres x, y of size x size cells across -1..1, (size, size, 2)."""
    centres = cell_centres(size, device)
    return torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1)


def gaussian_factors(points: Tensor, height: int, width: int, sigma: float) -> tuple[Tensor, Tensor]:
    """Unit-sum Gaussian factors of points.

    Args:
        points: (..., P, 2), x and y in -1..1.
        height, width: cells of the grid.
        sigma: standard deviation in grid cells.

    Returns:
        Rows (..., P, height) and columns (..., P, width), each summing to one.
    """

    def factor(coordinate: Tensor, size: int) -> Tensor:
        distance = (cell_centres(size, points.device) - coordinate[..., None]) * (size / 2)
        # The softmax is the normalised Gaussian, and stays finite for points far outside.
        return torch.softmax(-0.5 * (distance / sigma) ** 2, dim=-1)

    return factor(points[..., 1], height), factor(points[..., 0], width)


def density_maps(
    points: Tensor,
    size: int | tuple[int, int],
    sigma: float = 1.5,
    regions: Sequence[Sequence[int]] = DENSITY_REGIONS,
    weights: Tensor | None = None,
) -> Tensor:
    """Sum unit-mass Gaussians of landmarks by region.

    Args:
        points: (B, 68, 2) in -1..1.
        size: cells of the map, one number or (height, width).
        sigma: standard deviation in cells.
        regions: which points each map sums; `[range(68)]` for one map, `[[i] for i in range(68)]`
            for a map per point.
        weights: (B, 68) visibility of each point; 1 everywhere if absent.

    Returns:
        (B, len(regions), height, width); each map integrates to its visible points.
    """
    height, width = (size, size) if isinstance(size, int) else size
    rows, columns = gaussian_factors(points, height, width, sigma)  # (B, 68, H), (B, 68, W)
    if weights is not None:
        rows = rows * weights[..., None]
    if len(regions) == COUNT and all(len(region) == 1 for region in regions):
        order = [region[0] for region in regions]
        return rows[:, order, :, None] * columns[:, order, None, :]
    maps = [torch.einsum("bky,bkx->byx", rows[:, list(region)], columns[:, list(region)]) for region in regions]
    return torch.stack(maps, dim=1)
