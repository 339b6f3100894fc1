"""CPNet's probability map guidance: generated frames must show their landmarks where they belong."""

import torch
from torch import Tensor, nn

from ..networks.density import density_maps
from ..networks.ibug68 import DENSITY_REGIONS

SIGMA = 1.5  # cells; what the landmark estimator's maps were trained with
EPSILON = 1e-6


def region_densities(maps: Tensor) -> Tensor:
    """Probability maps of the 68 points (B, 68, h, w), summed by region to (B, 6, h, w)."""
    return torch.stack([maps[:, list(region)].sum(1) for region in DENSITY_REGIONS], dim=1)


def density_loss(
    estimator: nn.Module, made: Tensor, points: Tensor, square: float = 1.0, divergence: float = 0.1
) -> Tensor:
    """L_den of CPNet: distance between the landmark densities seen in a generated frame and those it was driven to.

    Mean square error of the density maps and KL(P || P_made) of the probability maps they become when each region is
    brought to sum one. Gradients pass through the frozen estimator into the frame. Our reconstruction: the paper's
    abstract alone could be read (seed 03, sections 4 and 5).

    Args:
        estimator: frozen, frame (B, 3, S, S) -> probability maps (B, 68, h, w); the landmark estimator.
        made: (B, 3, S, S) generated frames in 0..1.
        points: (B, 68, 2) where the landmarks belong, in -1..1.
        square, divergence: weights of both parts.
    """
    seen = region_densities(estimator(made).clamp(min=0))
    size = tuple(seen.shape[-2:])
    wanted = density_maps(points, size, SIGMA)
    scale = size[0] * size[1] / points.shape[1]  # the mean of the sum of all maps becomes one
    error = ((seen - wanted) * scale).square().mean()
    p, q = (maps.flatten(2) + EPSILON for maps in (wanted, seen))
    p, q = p / p.sum(-1, keepdim=True), q / q.sum(-1, keepdim=True)
    kl = (p * (p.log() - q.log())).sum(-1).mean()
    return square * error + divergence * kl
