"""Painted pixels take on the light of the photo around them, and no hue that its face does not have."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..networks.density import cell_centres
from ..networks.ibug68 import JAW
from ..networks.landmark_motion import inner_mouth_mask

GRID = 32  # cells on which colours are compared
REACH = 0.22  # standard deviation of the neighbourhood, in crop units
LIMIT = 0.12  # largest correction of a channel
RARE = 0.01  # share of a face's pixels on either side whose hue is left out of account
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


def hue_range(crop: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """How far the channels of a face's pixels lie from their brightness, at least and at most, and zero in between.

    Teeth, tongue and skin share the light; so a mouth painted in a black and white photo is grey, and never green
    under light that makes no skin green.

    Args:
        crop: (1, 3, S, S), the source.
        points: (68, 2), its landmarks.

    Returns:
        Lowest and highest difference of each channel to the mean of the three, (1, 3, 1, 1) each.
    """
    size = crop.shape[-1]
    inner = (points[len(JAW) :] + 1) * (size / 2)  # brows to lips
    low, high = inner.amin(0).floor().int().clamp(0, size - 2), inner.amax(0).ceil().int().clamp(2, size)
    face = crop[0, :, int(low[1]) : int(high[1]), int(low[0]) : int(high[0])].flatten(1).float()  # (3, N)
    if face.shape[1] == 0:
        face = crop[0].flatten(1).float()
    difference = face - face.mean(0)
    count = difference.shape[1]
    rare = max(1, round(RARE * count))
    lowest = difference.kthvalue(rare, dim=1).values.clamp(max=0)
    highest = difference.kthvalue(count + 1 - rare, dim=1).values.clamp(min=0)
    return lowest.view(1, 3, 1, 1), highest.view(1, 3, 1, 1)


def around_mouths(points: Tensor, size: int) -> Tensor:
    """Where hues are held within their range: between the lips and a little beyond, (n, 1, size, size) in 0..1.

    Args:
        points: (n, 68, 2) landmarks of the frames.
        size: pixels along each side of the frames.
    """
    mouth = F.max_pool2d(inner_mouth_mask(points, size // 4), 5, stride=1, padding=2)
    return F.interpolate(mouth, size=(size, size), mode="bilinear")


def within_hues(painted: Tensor, hues: tuple[Tensor, Tensor], mouth: Tensor) -> Tensor:
    """Painted frames of the same brightness, with no hue outside of a range between the lips.

    Args:
        painted: (n, 3, h, w).
        hues: from `hue_range`.
        mouth: (n, 1, h, w), from `around_mouths`.

    Returns:
        (n, 3, h, w).
    """
    brightness = painted.mean(1, keepdim=True)
    difference = torch.maximum(torch.minimum(painted - brightness, hues[1]), hues[0])
    allowed = (brightness + difference - difference.mean(1, keepdim=True)).clamp(0, 1)
    return torch.lerp(painted, allowed, mouth)
