"""MCNet's memory unit: implicit identity, conditioned memory, attention (seed 01, section 6).

The published mathematics, in an order that needs less of it. All of it is exact:
- What follows a 1x1 convolution and is linear is composed with it once: the query and the difference read the
  warped features directly (64 to 256 channels) instead of their projection (512).
- The difference's 1x1 convolution acts on the 1024 memory cells instead of on every place of the picture.
- The bank is modulated by scaling its channels; the 3x3 convolution behind then has the same kernels for
  every frame and scale, and the demodulation is one matrix product.
- Attention goes over the places in pieces; nothing of the size places x cells exists at once.

The published channels interleave the half that is kept with the half that is compensated; a converted file
has them sorted, so here only the second half comes in.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .convolution import (
    kernel_taps,
    linear,
    output_transform,
    tile_transform,
    transformed_kernel,
    whole_tiles,
    winograd,
)

SHARPNESS = 1 / 4
"""The attention's logits are multiplied by this (the published network's choice, not 1/sqrt(width))."""

MIXING_TEMPERATURE = 34.0
LEAK = 0.2
GAIN = math.sqrt(2)
PIECE = 1024
"""Places of the picture that attend at once: logits of 4 MB, which stay in the cache."""


class MCNetMemory(nn.Module):
    """One bank and one set of weights for three scales.

    Args:
        halves: channels of the compensated half at each scale, coarse to fine.
        width: channels of the bank, of keys and of values.
        size: cells along each side of the bank.
        keypoints: how many the source has.
        experts: kernels that are mixed into the convolution that makes keys and values.
        style: length of the style code's hidden layer.
        mixing: length of the hidden layer that decides the mixture.
    """

    def __init__(
        self,
        halves: tuple[int, ...] = (256, 128, 64),
        width: int = 512,
        size: int = 32,
        keypoints: int = 15,
        experts: int = 4,
        style: int = 128,
        mixing: int = 129,
    ) -> None:
        super().__init__()
        self.bank = nn.Parameter(torch.randn(width, size, size) * math.sqrt(2 / (width * size * size)))
        self.project = nn.ModuleList(nn.Linear(channels, width) for channels in halves)
        self.style = nn.Sequential(
            nn.Linear(width + 2 * keypoints, style), nn.ReLU(inplace=True), nn.Linear(style, width)
        )
        self.modulation = nn.Linear(width, width)
        self.condition = nn.Conv2d(width, width, 3, padding=1)  # its bias comes after the demodulation
        self.noise = nn.Parameter(torch.zeros(1))  # strength of random noise in the conditioned memory, when training
        self.mixing = nn.Sequential(
            nn.Linear(width, mixing, bias=False), nn.ReLU(inplace=True), nn.Linear(mixing, experts)
        )
        # Kernels (out, row, column, in): what comes out of the mixture is a kernel in channels-last layout.
        self.experts = nn.Parameter(torch.randn(experts, 2 * width, 9 * width) * math.sqrt(2 / (9 * width)))
        self.experts_bias = nn.Parameter(torch.zeros(experts, 2 * width))
        self.query = nn.Linear(width, width)
        self.difference = nn.Linear(width, width)
        self.merge = nn.ModuleList(nn.Conv2d(width, channels, 3, padding=1) for channels in halves)
        self.norm = nn.ModuleList(nn.InstanceNorm2d(channels, affine=True) for channels in halves)
        self.prepared: PreparedMemory | None = None

    def composed(self, scale: int) -> tuple[Tensor, ...]:
        """Weights and biases of query, difference and projection, all reading the warped features (c channels)."""
        project = self.project[scale]
        parts = []
        for layer, factor in ((self.query, SHARPNESS), (self.difference, 1.0)):
            parts.append(factor * (layer.weight @ project.weight))
            parts.append(factor * (layer.weight @ project.bias + layer.bias))
        return (*parts, project.weight, project.bias)

    def forward(self, warped: list[Tensor], source_values: Tensor, piece: int = PIECE) -> list[Tensor]:
        """Compensate the second half of every scale's channels.

        Args:
            warped: (B, c, s, s) at each scale, coarse to fine.
            source_values: (B, K, 2) keypoints of the source.
            piece: places that attend at once; it changes memory and speed, never the result.

        Returns:
            (B, c, s, s) at each scale.
        """
        pooled = [
            project(maps.mean((2, 3), dtype=torch.float32).to(project.weight.dtype))
            for project, maps in zip(self.project, warped, strict=True)
        ]
        pooled = torch.stack(pooled, dim=1)  # (B, scales, width)
        memory = self.conditioned(pooled, source_values)
        mixture = (self.mixing(pooled) / MIXING_TEMPERATURE).softmax(dim=-1)  # (B, scales, experts)
        results = [[] for _ in warped]
        for frame in range(len(pooled)):
            for scale, maps in enumerate(warped):
                keys, values = self.keys_values(memory[frame, scale, None], mixture[frame, scale])
                results[scale].append(self.attend(maps[frame], keys, values, scale, piece))
        return [self.norm_relu(torch.cat(maps), scale) for scale, maps in enumerate(results)]

    def conditioned(self, pooled: Tensor, source_values: Tensor) -> Tensor:
        """The bank in the light of each frame and scale, (B, scales, width, size, size)."""
        batch, scales, _ = pooled.shape
        identity = torch.cat([pooled, source_values.flatten(1)[:, None].expand(-1, scales, -1).to(pooled)], dim=-1)
        style = self.modulation(self.style(identity)).flatten(0, 1)  # (B scales, width)
        energy = self.condition.weight.square().sum((2, 3)) if self.prepared is None else self.prepared.energy
        demodulation = torch.rsqrt(linear(style.square(), energy) + 1e-8)
        if self.prepared is None:
            memory = F.conv2d(self.bank * style[:, :, None, None], self.condition.weight, padding=1)
        else:
            memory = self.prepared.modulated(style)
        memory = memory * demodulation[:, :, None, None]
        if self.training:
            memory = memory + self.noise * torch.randn_like(memory[:, :1])
        memory = GAIN * F.leaky_relu(memory + self.condition.bias[:, None, None], LEAK)
        return memory.unflatten(0, (batch, scales))

    def keys_values(self, memory: Tensor, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values, (cells, width) each, of one conditioned memory (1, width, size, size).

        `mixture` (experts,) says how much of each expert's kernel is in the convolution that makes them.
        """
        bias = mixture @ self.experts_bias
        if self.prepared is not None and self.prepared.experts is not None:
            both = self.prepared.mixed(memory, mixture, bias).relu_()
        else:
            kernel = (mixture @ self.experts.flatten(1)).view(-1, 3, 3, self.bank.shape[0]).permute(0, 3, 1, 2)
            both = F.conv2d(memory, kernel, bias, padding=1).relu_()[0].flatten(1).T
        keys, values = both.chunk(2, dim=1)
        return keys.contiguous(), values

    def attend(self, maps: Tensor, keys: Tensor, values: Tensor, scale: int, piece: int = PIECE) -> Tensor:
        """What one frame (c, s, s) finds in the memory, merged: (1, c, s, s), before the norm.

        Args:
            maps: the compensated half of one frame's features.
            keys, values: (cells, width).
            scale, piece: as for `forward`.
        """
        height, width = maps.shape[-2:]
        weights = self.composed(scale) if self.prepared is None else self.prepared.composed[scale]
        query, query_bias, direct, direct_bias, project, project_bias = weights
        # diff_conv(feat - A V) = diff_conv(feat) - A (V diff_conv'): on 1024 cells instead of all places.
        answers = linear(-self.difference.weight, values)  # (width, cells)
        places = maps.flatten(1).T.contiguous()  # (s s, c)
        whole = places.new_empty(len(places), len(values[0]))  # (s s, width), in place, for it is the largest of all
        for start in range(0, len(places), piece):
            part = places[start : start + piece]
            logits = linear(linear(part, query, query_bias, relu=True), keys)  # (piece, cells)
            missing = linear(logits.softmax(dim=-1), answers)
            missing += linear(part, direct, direct_bias)
            whole[start : start + piece] = missing.relu_() + linear(part, project, project_bias)
        whole = whole.view(1, height, width, -1).permute(0, 3, 1, 2)
        return F.conv2d(whole, self.merge[scale].weight, padding=1)  # the norm removes any bias

    def norm_relu(self, maps: Tensor, scale: int) -> Tensor:
        """Instance norm and ReLU, (B, c, s, s)."""
        return self.norm[scale](maps).relu()


class PreparedMemory:
    """What of a memory depends on its weights alone, made once for inference."""

    def __init__(self, memory: MCNetMemory) -> None:
        self.composed = [
            tuple(part.contiguous() for part in memory.composed(scale)) for scale in range(len(memory.project))
        ]
        weight = memory.condition.weight
        self.energy = weight.square().sum((2, 3))
        self.taps = kernel_taps(weight).contiguous()
        self.experts: Tensor | None = None
        if weight.dtype == torch.float32:  # in half precision the transform loses too many digits
            kernels = memory.experts.unflatten(2, (9, -1))  # (experts, out, 9, in)
            self.experts = kernels.transpose(1, 2).flatten(1).contiguous()  # (experts, 9 out in)
        self.size = memory.bank.shape[-1]
        self.tiles = tile_transform(F.pad(memory.bank.permute(1, 2, 0), (0, 0, 1, 1, 1, 1))[None])  # (36, tiles, width)

    def mixed(self, memory: Tensor, mixture: Tensor, bias: Tensor) -> Tensor:
        """A memory (1, width, size, size) convolved with a mixture of the experts: (cells, out)."""
        taps = (mixture @ self.experts).view(9, -1)
        padded = whole_tiles(memory)
        padded[:, 1:-1, 1:-1] = memory.permute(0, 2, 3, 1)
        result = memory.new_empty(1, self.size, self.size, len(bias))
        winograd(padded, transformed_kernel(taps, len(bias), memory.shape[1]), result)
        return result.view(-1, len(bias)).add_(bias)

    def modulated(self, style: Tensor) -> Tensor:
        """The bank with its channels scaled by style (N, width), convolved: (N, width, size, size)."""
        count, width = style.shape
        cells = self.size // 4
        kernel = transformed_kernel(self.taps, len(self.energy), width)
        products = [
            linear((tiles * style[:, None]).flatten(0, 1), kernel)
            for tiles, kernel in zip(self.tiles, kernel, strict=True)
        ]
        result = style.new_empty(count, cells, 4, cells, 4, width)
        output_transform(products, result)
        return result.view(count, self.size, self.size, width).permute(0, 3, 1, 2)


def prepare(memory: MCNetMemory) -> None:
    """Make a memory ready for inference on a processor, in place."""
    memory.prepared = PreparedMemory(memory)
    if memory.prepared.experts is not None:
        memory.experts = nn.Parameter(memory.experts.new_empty(0), requires_grad=False)  # 75 MB that are kept already
