"""Colour match: painted pixels take on the light of the photo around them."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..networks.density import cell_centres

GRID = 32  # cells on which colours are compared
REACH = 0.22  # standard deviation of the neighbourhood, in crop units
LIMIT = 0.12  # largest correction of a channel
DOUBT = 0.02  # weight of "no correction"; it wins where painted and warped never meet


def colour_offset(crop: Tensor, flow: Tensor, painted: Tensor, blend: Tensor) -> Tensor:
    """Slowly varying colours to add to painted pixels.

    Painted and warped pixels are compared where the blend takes a share of both: there both are
    meant to show the same skin. The mean difference of the neighbourhood is carried to where only
    painted pixels are shown.

    Args:
        crop: (1, 3, S, S), the source.
        flow: (n, h, w, 2) in crop units.
        painted: (n, 3, S, S).
        blend: (n, 1, S, S); 1 = warped source.

    Returns:
        (n, 3, GRID, GRID), each within +-LIMIT.
    """
    small = F.interpolate(crop, size=(GRID, GRID), mode="area")
    coarse_flow = F.interpolate(flow.permute(0, 3, 1, 2), size=(GRID, GRID), mode="area").permute(0, 2, 3, 1)
    warped = F.grid_sample(small.expand(len(flow), -1, -1, -1), coarse_flow, padding_mode="border", align_corners=False)
    weight = F.interpolate(4 * blend * (1 - blend), size=(GRID, GRID), mode="area")
    difference = (warped - F.interpolate(painted, size=(GRID, GRID), mode="area")) * weight
    centres = cell_centres(GRID, flow.device)
    near = torch.exp(-0.5 * ((centres[:, None] - centres) / REACH) ** 2)
    near = near / near.sum(1, keepdim=True)
    mean = (near @ difference @ near.T) / (near @ weight @ near.T + DOUBT)
    return mean.clamp(-LIMIT, LIMIT)
