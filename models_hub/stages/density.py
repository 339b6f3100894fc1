"""ART_LANDMARKS -> ART_DENSITY: which landmarks each density map sums, and pictures of the maps."""

import colorsys
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from ..networks.ibug68 import COUNT, DENSITY_REGIONS
from ..types import Density, Landmarks

MODES = ("region", "point", "sum")
SMALLEST_SIGMA, LARGEST_SIGMA = 0.3, 16.0


def build_density(landmarks: Landmarks, mode: str = "region", sigma: float = 1.5, size: int = 64) -> Density:
    """Density maps of landmarks, drawn when they are needed (CPNet, our reconstruction).

    Args:
        landmarks: the points over time.
        mode: "region" sums the points of the jaw, brows, nose, eyes, outer and inner lips, which is what the
            embedded warper has learned; "point" gives 68 maps of one point; "sum" gives one map of all.
        sigma: standard deviation of each point's Gaussian in cells, 0.3 to 16.
        size: cells along each side, 8 to 512.

    Raises:
        InputError: an argument is outside its range, or there is no frame.
    """
    if not len(landmarks):
        raise InputError("The landmarks hold no frame, so there is no density to draw; give a longer sound or video.")
    if landmarks.points.shape[1:] != (COUNT, 2):
        raise InputError(
            f"Landmarks of shape {tuple(landmarks.points.shape)} were given; expected is (frames, {COUNT}, 2)."
        )
    if mode not in MODES:
        raise InputError(f"Density maps know the modes {', '.join(MODES)}, not {mode!r}; choose one of them.")
    if not (math.isfinite(sigma) and SMALLEST_SIGMA <= sigma <= LARGEST_SIGMA):
        raise InputError(
            f"A sigma of {sigma:g} cells is outside {SMALLEST_SIGMA:g} to {LARGEST_SIGMA:g}; "
            "1.5 is what the embedded warper has learned."
        )
    if not 8 <= size <= 512:
        raise InputError(f"Maps of {size} cells a side cannot be used; 8 to 512 can, and 64 suits a crop of 256.")
    if mode == "point":
        regions = tuple((point,) for point in range(COUNT))
    elif mode == "sum":
        regions = (tuple(range(COUNT)),)
    else:
        regions = tuple(tuple(region) for region in DENSITY_REGIONS)
    return Density(landmarks, regions, float(sigma), size)


def density_preview(density: Density, frame: int, size: int = 256) -> Tensor:
    """The maps of one frame as a picture, each in a colour of its own on black.

    Args:
        density: the maps.
        frame: number of the frame, counted from 0.
        size: pixels along each side.

    Returns:
        (size, size, 3) in 0..1; the peak of a single point has 63 % of the full brightness.

    Raises:
        InputError: there is no such frame.
    """
    if not 0 <= frame < len(density):
        raise InputError(
            f"Frame {frame} was asked for, but the density has {len(density)}, counted from 0; "
            f"choose one up to {len(density) - 1}."
        )
    maps = density.maps(frame, frame + 1)  # (1, K, s, s)
    peak = 1 / (2 * math.pi * max(density.sigma, 0.5) ** 2)
    maps = F.interpolate(maps / peak, size=(size, size), mode="bilinear", align_corners=False)[0]
    maps = 1 - torch.exp(-maps)  # crowded points stay apart
    count = len(maps)
    hues = [colorsys.hsv_to_rgb(k / count, 0.75 if count > 1 else 0.0, 1.0) for k in range(count)]
    return torch.einsum("kyx,kc->yxc", maps, torch.tensor(hues)).clamp(0, 1)
