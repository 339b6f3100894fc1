"""Picture -> where faces are: a small anchor-free detector.

Each cell of a stride-8 grid says how likely a face is centred in it, how large that face is and where in
the cell its centre lies (Zhou, Wang and Kraehenbuehl, "Objects as Points", 2019), on top of a small
top-down pyramid, so that one grid serves faces from two cells to the whole picture.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import STEADY_MOMENTUM, ResidualBlock, conv_block

STRIDE = 8
"""Pixels of the picture to each cell of the answer."""

MULTIPLE = 64
"""Height and width of a picture must be multiples of this."""


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return conv_block(inputs, outputs, stride=stride, momentum=STEADY_MOMENTUM)


def _residual(channels: int) -> ResidualBlock:
    return ResidualBlock(channels, STEADY_MOMENTUM)


class FaceFinder(nn.Module):
    """Heat map, size and offset of faces.

    Args:
        widths: channels at strides 2, 4, 8, 16, 32 and 64.
        pyramid: channels of the top-down levels that end at stride 8.
    """

    def __init__(self, widths: Sequence[int] = (8, 16, 32, 48, 64, 64), pyramid: int = 48):
        super().__init__()
        half, quarter, *levels = widths
        self.stem = nn.Sequential(_convolution(3, half, 2), _convolution(half, quarter, 2))
        pairs = list(zip([quarter, *levels[:-1]], levels, strict=True))
        self.down = nn.ModuleList(nn.Sequential(_convolution(a, b, 2), _residual(b)) for a, b in pairs)
        self.lateral = nn.ModuleList(nn.Conv2d(channels, pyramid, 1) for channels in levels)
        self.up = nn.ModuleList(_convolution(pyramid, pyramid) for _ in levels[:-1])
        self.answer = nn.Conv2d(pyramid, 5, 1)
        nn.init.constant_(self.answer.bias[:1], -4.0)  # faces are rare: start at a score of 0.02

    def forward(self, picture: Tensor) -> Tensor:
        """Logit of a face, log size and offset in each cell.

        Args:
            picture: (B, 3, H, W) in 0..1; H and W are multiples of 64.

        Returns:
            (B, 5, H / 8, W / 8): score logit; log of width and height over 64 pixels; x and y of the centre
            from the middle of the cell, in cells.
        """
        features = self.stem(picture * 4 - 2)
        laterals = []
        for level, lateral in zip(self.down, self.lateral, strict=True):
            features = level(features)
            laterals.append(lateral(features))
        merged = laterals.pop()
        for lateral, up in zip(reversed(laterals), reversed(self.up), strict=True):
            merged = up(F.interpolate(merged, scale_factor=2.0, mode="nearest") + lateral)
        return self.answer(merged)

    @staticmethod
    def boxes(answer: Tensor) -> tuple[Tensor, Tensor]:
        """Every cell's score and box.

        Args:
            answer: (B, 5, h, w) as `forward` gives it.

        Returns:
            Scores (B, h, w) in 0..1 and boxes (B, h, w, 4): x, y of the upper left corner, width and height in
            pixels of the picture.
        """
        height, width = answer.shape[-2:]
        rows = torch.arange(height, device=answer.device, dtype=answer.dtype)[:, None] + 0.5
        columns = torch.arange(width, device=answer.device, dtype=answer.dtype)[None] + 0.5
        size = answer[:, 1:3].clamp(-4, 4).exp() * 64  # (B, 2, h, w)
        x = (columns + answer[:, 3]) * STRIDE - size[:, 0] / 2
        y = (rows + answer[:, 4]) * STRIDE - size[:, 1] / 2
        return answer[:, 0].sigmoid(), torch.stack([x, y, size[:, 0], size[:, 1]], dim=-1)
