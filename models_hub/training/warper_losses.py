"""Losses of warper and generator, each a function of frames and landmarks."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..networks.blocks import resize
from ..networks.density import density_maps
from ..networks.ibug68 import EYES, LIPS
from ..networks.landmark_motion import inner_mouth_mask

INNER_MOUTH, LIP, EYE = 8.0, 4.0, 1.5  # what an error there weighs, beside 1 elsewhere (trial, point 3)


def region_weights(points: Tensor, size: int, inner: float = INNER_MOUTH) -> Tensor:
    """Weight of every pixel's error, (B, 1, size, size).

    Args:
        points: (B, 68, 2) in -1..1.
        size: pixels along each side.
        inner: additional weight inside the inner lips.
    """
    cells = min(size, 128)  # finer than that nobody sees
    scale = 2 * torch.pi * (cells / 32) ** 2  # brings a unit-mass Gaussian to peak height one
    near = (scale * density_maps(points, cells, cells / 32, (EYES, LIPS))).clamp(max=1)
    weights = 1 + EYE * near[:, :1] + LIP * near[:, 1:] + inner * inner_mouth_mask(points, cells)
    return resize(weights, (size, size))


def reconstruction(made: Tensor, real: Tensor, weights: Tensor) -> Tensor:
    """Weighted L1 of colours and of gradients on three scales, a scalar.

    Args:
        made, real: (B, 3, H, W) in 0..1.
        weights: (B, 1, H, W).
    """
    total = made.new_zeros(())
    for scale, share in ((1, 1.0), (2, 0.5), (4, 0.5)):
        a, b, w = (F.avg_pool2d(x, scale) if scale > 1 else x for x in (made, real, weights))
        error = a - b
        across = (error[..., 1:] - error[..., :-1]).abs() * w[..., 1:]
        along = (error[..., 1:, :] - error[..., :-1, :]).abs() * w[..., 1:, :]
        total = total + share * ((error.abs() * w).mean() + across.mean() + along.mean())
    return total
