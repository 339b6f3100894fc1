"""Building blocks that the picture networks share: convolutions, hourglass, warping, folding."""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STEADY_MOMENTUM = 0.03
"""Batch norm momentum slower than usual, so that the statistics fit averaged weights."""


def conv_block(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, momentum: float = 0.1, bias: bool = False
) -> nn.Sequential:
    """Convolution, batch norm, ReLU; the norm folds into the convolution for inference."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=bias),
        nn.BatchNorm2d(outputs, momentum=momentum),
        nn.ReLU(inplace=True),
    )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside the identity.

    Args:
        channels: of input and output.
        momentum: of the batch norms.
        relu: whether the sum goes through a ReLU.
    """

    def __init__(self, channels: int, momentum: float = 0.1, relu: bool = True) -> None:
        super().__init__()
        self.relu = relu
        self.first = conv_block(channels, channels, momentum=momentum)
        convolution = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.second = nn.Sequential(convolution, nn.BatchNorm2d(channels, momentum=momentum))

    def forward(self, features: Tensor) -> Tensor:
        total = features + self.second(self.first(features))  # (B, C, H, W)
        return F.relu(total) if self.relu else total


class Hourglass(nn.Module):
    """Encoder and decoder with a skip at every level (MCNet's hourglass, made slim).

    Args:
        inputs: channels that come in.
        widths: channels of each level, fine to coarse; every level halves the size.
    """

    def __init__(self, inputs: int, widths: tuple[int, ...] = (32, 64, 128, 128)) -> None:
        super().__init__()
        self.entry = conv_block(inputs, widths[0])
        self.down = nn.ModuleList(conv_block(a, b, stride=2) for a, b in itertools.pairwise(widths))
        self.up = nn.ModuleList(conv_block(a + b, b) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.outputs = widths[0]

    def forward(self, features: Tensor) -> Tensor:
        levels = [self.entry(features)]
        for down in self.down:
            levels.append(down(levels[-1]))
        features = levels.pop()
        for up in self.up:
            skip = levels.pop()
            features = up(join(resize(features, skip.shape[-2:]), skip))
        return features  # (B, widths[0], H, W)


def join(*maps: Tensor) -> Tensor:
    """Maps (B, C, H, W) of different channels as one, in channels-last layout.

    Each is brought into that layout before: of mixed layouts torch makes one of the other kind, which the convolution
    after it turns around at a multiple of the cost.
    """
    return torch.cat([part.contiguous(memory_format=torch.channels_last) for part in maps], dim=1)


def resize(features: Tensor, size: tuple[int, int] | torch.Size, align_corners: bool = False) -> Tensor:
    """Bilinear resize to (height, width); a no-op where it fits already."""
    if features.shape[-2:] == tuple(size):
        return features
    return F.interpolate(features, size=tuple(size), mode="bilinear", align_corners=align_corners)


def unchanged(maps: Tensor) -> Tensor:
    """The same maps: for where a part of them may be cut out, or something may be done to them."""
    return maps


def warp(features: Tensor, flow: Tensor, mode: str = "bilinear", cut: Callable[[Tensor], Tensor] = unchanged) -> Tensor:
    """Fetch each place from where the flow says; beyond the border the edge repeats.

    Args:
        features: (B, C, H, W).
        flow: (B, h, w, 2), x and y in -1..1 of the source; resized to the features' size.
        mode: "bilinear", or "bicubic", which keeps pictures sharper and overshoots at hard edges.
        cut: takes the wanted part out of maps (B, C, H, W).

    Returns:
        (B, C, H, W), or the part of it that is wanted.
    """
    grid = cut(resize(flow.permute(0, 3, 1, 2), features.shape[-2:])).permute(0, 2, 3, 1)
    return sample(features, grid, mode=mode)


def sample(
    features: Tensor, grid: Tensor, padding: str = "border", align_corners: bool = False, mode: str = "bilinear"
) -> Tensor:
    """Fetch features (B, C, H, W) at a grid (B, h, w, 2) in -1..1, as (B, C, h, w).

    Always in float32: half precision cannot tell neighbouring pixels apart.

    Args:
        features, grid: see above.
        padding: what lies beyond the border, "border" (the edge repeats) or "zeros".
        align_corners: whether -1 and 1 are the centres of the outermost pixels, or else their outer edges.
        mode: of interpolation.
    """
    moved = F.grid_sample(features.float(), grid.float(), mode, padding, align_corners)
    return moved.to(features.dtype)


def cut_windows(tensor: Tensor, corners: Tensor, fraction: float) -> Tensor:
    """Cut one square out of every map, the same part of the picture at any resolution.

    Args:
        tensor: (B, C, H, W).
        corners: (B, 2) top and left as fractions of the side, whole cells at this resolution.
        fraction: side of the square as a fraction of the whole.

    Returns:
        (B, C, fraction H, fraction W).
    """
    height, width = round(tensor.shape[-2] * fraction), round(tensor.shape[-1] * fraction)
    cuts = []
    for image, (top, left) in zip(tensor, corners.tolist(), strict=True):
        y, x = round(top * tensor.shape[-2]), round(left * tensor.shape[-1])
        cuts.append(image[:, y : y + height, x : x + width])
    return torch.stack(cuts)


def fold_batch_norms(network: nn.Module, copy: Callable[[Tensor], Tensor] = torch.clone) -> nn.Module:
    """Fold every batch norm into the convolution before it, in place; for inference only.

    Args:
        network: in eval mode.
        copy: as for `fold_pairs`.
    """
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential):
            fold_pairs(module, copy)
    return network


@torch.no_grad()
def fold_pairs(sequence: nn.Sequential, copy: Callable[[Tensor], Tensor] = torch.clone) -> None:
    """Fold the batch norms that lie directly in a sequence into the convolutions before them, in place.

    Args:
        sequence: in eval mode.
        copy: makes the room of the folded weights, from the convolution's; those stay as they are.
    """
    for index, (before, norm) in enumerate(itertools.pairwise(list(sequence))):
        if isinstance(before, nn.Conv2d | nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d):
            scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
            shape = (1, -1, 1, 1) if isinstance(before, nn.ConvTranspose2d) else (-1, 1, 1, 1)
            own = 0 if before.bias is None else before.bias
            trained = before.weight.requires_grad
            before.bias = nn.Parameter((own - norm.running_mean) * scale + norm.bias, trained)
            before.weight = nn.Parameter(copy(before.weight.detach()).mul_(scale.view(shape)), trained)
            sequence[index + 1] = nn.Identity()
