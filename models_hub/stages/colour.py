"""Colour match: painted pixels take on the light of the photo around them."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..networks.density import cell_centres
from ..networks.landmark_motion import inner_mouth_mask

GRID = 32  # cells on which colours are compared
REACH = 0.22  # standard deviation of the neighbourhood, in crop units
LIMIT = 0.12  # largest correction of a channel
DOUBT = 0.02  # weight of "no correction"; it wins where painted and warped never meet


def colour_offset(crop: Tensor, flow: Tensor, painted: Tensor, blend: Tensor, points: Tensor) -> Tensor:
    """Slowly varying colours to add to painted pixels.

    Painted and warped pixels are compared where the blend takes a share of both, most of it painted:
    there both are meant to show the same skin. Not so between the lips, where the warped source shows
    stretched lips or teeth: that place only receives. The mean difference of the neighbourhood is carried to where only
    painted pixels are shown.

    Args:
        crop: (1, 3, S, S), the source.
        flow: (n, h, w, 2) in crop units.
        painted: (n, 3, S, S).
        blend: (n, 1, S, S); 1 = warped source.
        points: (n, 68, 2) landmarks of the frames.

    Returns:
        (n, 3, GRID, GRID), each within +-LIMIT.
    """
    small = F.interpolate(crop, size=(GRID, GRID), mode="area")
    coarse_flow = F.interpolate(flow.permute(0, 3, 1, 2), size=(GRID, GRID), mode="area").permute(0, 2, 3, 1)
    warped = F.grid_sample(small.expand(len(flow), -1, -1, -1), coarse_flow, padding_mode="border", align_corners=False)
    painting = 1 - blend
    # At most 1. Where next to nothing is painted, the painted colours were never put to the test.
    weight = F.interpolate(6.75 * blend * painting * painting, size=(GRID, GRID), mode="area")
    weight = weight * (1 - F.max_pool2d(inner_mouth_mask(points, GRID), 3, stride=1, padding=1))
    difference = (warped - F.interpolate(painted, size=(GRID, GRID), mode="area")) * weight
    centres = cell_centres(GRID, flow.device)
    near = torch.exp(-0.5 * ((centres[:, None] - centres) / REACH) ** 2)
    near = near / near.sum(1, keepdim=True)
    mean = (near @ difference @ near.T) / (near @ weight @ near.T + DOUBT)
    return mean.clamp(-LIMIT, LIMIT)
