"""Mouth detail: painted mouths made sharp at twice the painter's resolution.

Where a painter does not know whose teeth these are, it answers with the mean of all that could be there: a glow in the
right place, in the right light, above a shade. What that stands for is no riddle: teeth, lips and hollow have edges. So
this network learned from sharp photos to undo blur of unknown strength between the lips. It adds no knowledge, it
commits itself to the nearest mouth that could be one. Our own.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import join, sample
from .mouth_painter import COLUMNS, PLACES, ROWS, MouthWindow, block, inner_window, place_maps

SOFT = 2.0  # fine pixels over which paint gives way to the lips


def fine_inner_window(local: Tensor, soft: float = SOFT) -> Tensor:
    """`inner_window` at twice the painter's resolution, (B, 1, 4 ROWS, 4 COLUMNS)."""
    return inner_window(local, soft, 4)


def fine_places(local: Tensor, fine_inner: Tensor) -> Tensor:
    """`place_maps` at twice the cells, (B, 5, 2 ROWS, 2 COLUMNS); `fine_inner`: as of `fine_inner_window`."""
    return place_maps(local, 2, F.avg_pool2d(fine_inner, 2))


class MouthDetail(nn.Module):
    """A few convolutions at the painter's resolution, whose answer is four pixels to each of the painter's.

    Args:
        width: channels, a multiple of 8.
    """

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(block(3 + 12 + PLACES, width), block(width, width), block(width, width))
        self.paint = nn.Conv2d(width, 12, 3, padding=1)
        nn.init.zeros_(self.paint.weight)  # at the start nothing is changed
        nn.init.zeros_(self.paint.bias)

    def forward(self, painted: Tensor, lips: Tensor, places: Tensor) -> Tensor:
        """Sharper colours.

        Args:
            painted: (B, 3, 2 ROWS, 2 COLUMNS), colours in 0..1.
            lips: (B, 3, 4 ROWS, 4 COLUMNS) in 0..1, what is around the inner mouth, and black between the lips.
            places: (B, 5, 2 ROWS, 2 COLUMNS), from `fine_places`.

        Returns:
            (B, 3, 4 ROWS, 4 COLUMNS) in 0..1.
        """
        seen = join(painted, F.pixel_unshuffle(lips, 2), places)
        change = F.pixel_shuffle(self.paint(self.layers(seen)).float(), 2)
        return (finer(painted) + change).clamp(0, 1)

    def windows(
        self, source: Tensor, driving_points: Tensor, flow: Tensor, painted: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What the painter painted, sharper and between crisper lips.

        Args:
            source: (B, 3, S, S) in 0..1.
            driving_points: (B, 68, 2) in -1..1.
            flow: (B, h, w, 2) from driving to source.
            painted, weight: (B, 3, 2 ROWS, 2 COLUMNS) and (B, 1, 2 ROWS, 2 COLUMNS), from the painter.

        Returns:
            Colours (B, 3, 4 ROWS, 4 COLUMNS) and their weight (B, 1, 4 ROWS, 4 COLUMNS).
        """
        with torch.no_grad(), torch.autocast(source.device.type, enabled=False):
            window = MouthWindow(driving_points)
            local = window.to_window(driving_points.float())
            inner, fine_inner = inner_window(local), fine_inner_window(local)
            places = fine_places(local, fine_inner)
            there = sample(flow.permute(0, 3, 1, 2), window.grid(4 * ROWS, 4 * COLUMNS)).permute(0, 2, 3, 1)
            lips = sample(source, there) * (1 - fine_inner)
        # How much of the paint is used, whatever the lips' edge, and a little beyond it.
        used = F.avg_pool2d(weight, 5, 1, 2) / F.avg_pool2d(inner, 5, 1, 2).clamp(min=1e-3)
        used = F.interpolate(used, scale_factor=2, mode="bilinear").clamp(0, 1)
        return self(painted, lips, places), fine_inner * used


def finer(maps: Tensor) -> Tensor:
    """Maps at twice their size."""
    return F.interpolate(maps, scale_factor=2, mode="bicubic", align_corners=False)
