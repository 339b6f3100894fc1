"""Building blocks of the published MCNet that our own networks do not have (seed 01, section 2)."""

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import conv_block

THUMBNAIL_SCALE = 4
THUMBNAIL_SIGMA = (THUMBNAIL_SCALE - 1) / 2
THUMBNAIL_REACH = round(4 * THUMBNAIL_SIGMA)  # pixels on each side that the filter sees


class UpBlock(nn.Module):
    """Nearest-neighbour doubling, then convolution, batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = conv_block(inputs, outputs, bias=True)

    def forward(self, features: Tensor) -> Tensor:
        return self.conv(F.interpolate(features, scale_factor=2, mode="nearest"))  # (B, C, 2H, 2W)


class DownBlock(nn.Module):
    """Convolution, batch norm and ReLU, then the mean of 2x2 cells."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = conv_block(inputs, outputs, bias=True)

    def forward(self, features: Tensor) -> Tensor:
        return F.avg_pool2d(self.conv(features), 2)  # (B, C, H/2, W/2)


class PreactivatedBlock(nn.Module):
    """Batch norm, ReLU, convolution, twice, beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
        self.first = conv_block(channels, channels, bias=True)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.second(self.first(self.enter(features)))  # (B, C, H, W)


class PooledHourglass(nn.Module):
    """Encoder and decoder with a skip at every level, the input itself included.

    Args:
        inputs: channels that come in.
        width: channels of the decoder's last level; every level down doubles them.
        depth: levels; each halves the size.
        limit: most channels of a level.
    """

    def __init__(self, inputs: int, width: int, depth: int = 5, limit: int = 1024) -> None:
        super().__init__()
        widths = [min(limit, width << level) for level in range(depth + 1)]
        self.down = nn.ModuleList(
            DownBlock(widths[level] if level else inputs, widths[level + 1]) for level in range(depth)
        )
        self.up = nn.ModuleList(
            UpBlock(widths[level + 1] * (1 if level == depth - 1 else 2), widths[level])
            for level in reversed(range(depth))
        )
        self.outputs = widths[0] + inputs

    def forward(self, features: Tensor) -> Tensor:
        levels = [features]
        for down in self.down:
            levels.append(down(levels[-1]))
        features = levels.pop()
        for up in self.up:
            features = torch.cat([up(features), levels.pop()], dim=1)
        return features  # (B, width + inputs, H, W)


def hourglass_sizes(shapes: dict[str, tuple[int, ...]], prefix: str) -> dict[str, int]:
    """Width, depth and limit of a `PooledHourglass`, read off the shapes of its tensors."""
    depth = sum(name.startswith(f"{prefix}down.") and name.endswith("conv.0.weight") for name in shapes)
    widths = [shapes[f"{prefix}down.{level}.conv.0.weight"][0] for level in range(depth)]
    return {"width": widths[0] // 2, "depth": depth, "limit": widths[-1]}


def corner_grid(height: int, width: int, like: Tensor | None = None) -> Tensor:
    """Coordinates (height, width, 2), x and y, of which -1 and 1 are the centres of the outermost cells."""
    options = {} if like is None else {"device": like.device, "dtype": like.dtype}
    x, y = (2 * torch.arange(count, **options) / (count - 1) - 1 for count in (width, height))
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=-1)


@lru_cache(maxsize=1)
def thumbnail_filter() -> Tensor:
    """The Gaussian (13, 13) that adds up to 1."""
    place = torch.arange(-THUMBNAIL_REACH, THUMBNAIL_REACH + 1, dtype=torch.float32)
    taps = torch.exp(-place.square() / (2 * THUMBNAIL_SIGMA**2))
    taps = torch.outer(taps, taps)
    return taps / taps.sum()


def thumbnail(image: Tensor) -> Tensor:
    """The quarter-size picture that MCNet's motion networks see.

    A Gaussian of deviation 1.5 pixels (13 taps, zeros beyond the border), of which every fourth pixel is kept.

    Args:
        image: (B, 3, H, W); H and W are multiples of 4.

    Returns:
        (B, 3, H/4, W/4).
    """
    channels = image.shape[1]
    taps = thumbnail_filter().to(image).expand(channels, 1, -1, -1)
    return F.conv2d(image, taps, stride=THUMBNAIL_SCALE, padding=THUMBNAIL_REACH, groups=channels)
