"""The same convolutions with fewer multiplications, for inference on a processor.

- `WinogradConv`: 3x3 by Winograd's F(4x4, 3x3): 36 products for sixteen outputs instead of 144. The rounding
  error in float32 is about 1e-4 of the outputs' spread.
- `EnlargedConv`: nearest-neighbour doubling followed by 3x3. Four outputs share one cell and differ only by
  differences to its neighbours, so nine 1x1 products at the small size replace thirty-six; no rounding to speak of.
- `linear`: matrix products by oneDNN, which uses the wide registers that MKL leaves idle on processors
  of other makers (measured: 2.3 times faster on an AMD Zen 5).

All work on maps (B, C, H, W) in channels-last layout.
"""

import threading
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TILES = 256
"""Tiles of 4x4 outputs that are transformed at once: their transforms stay in the cache."""

HALF_WAY = 32
"""Tiles that are in memory transformed along one side alone, at once, but at least those of one picture."""

PART = 128
"""Outputs whose kernels are transformed at once where a few tiles are all there is."""

# Winograd's F(4, 3) with the points 0, 1, -1, 2, -2: weights of three taps -> six, six products -> four outputs.
KERNEL_TRANSFORM = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)


@lru_cache(maxsize=2)
def has_onednn(dtype: torch.dtype = torch.float32) -> bool:
    """Whether torch was built with oneDNN and offers its matrix product; in bfloat16 some processors do not."""
    if not torch.backends.mkldnn.is_available():
        return False
    try:
        one = torch.ones(1, 1, dtype=dtype)
        return torch.ops.mkldnn._linear_pointwise(one, one, None, "none", [], "").item() == 1
    except (AttributeError, RuntimeError):
        return False


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None, relu: bool = False) -> Tensor:
    """`inputs` (M, K) times `weight` (N, K), plus `bias` (N,), then ReLU if wanted; (M, N)."""
    plain = (
        inputs.device.type == "cpu" and not torch.is_grad_enabled() and inputs.dtype in (torch.float32, torch.bfloat16)
    )
    if plain and weight.dtype == inputs.dtype and has_onednn(inputs.dtype):
        kind = "relu" if relu else "none"
        # A slice of a wider matrix would go to oneDNN's reference code, a thousand times slower.
        return torch.ops.mkldnn._linear_pointwise(inputs.contiguous(), weight.contiguous(), bias, kind, [], "")
    product = F.linear(inputs, weight, bias)
    return F.relu(product) if relu else product


def conv_nhwc(maps: Tensor) -> Tensor:
    """Maps (B, C, H, W) as contiguous (B, H, W, C)."""
    return maps.permute(0, 2, 3, 1).contiguous()


class WinogradConv(nn.Module):
    """3x3 convolution with stride 1 and zero padding 1.

    Args:
        conv: the convolution to replace.
        relu: whether a ReLU follows.
    """

    def __init__(self, conv: nn.Conv2d, relu: bool = False) -> None:
        super().__init__()
        self.relu = relu
        self.channels = conv.out_channels, conv.in_channels
        self.register_buffer("taps", kernel_taps(conv.weight.detach()))  # (9, out in)
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach().clone())
        self.register_buffer("kernel", None)  # (36, out, in) if it is kept

    def keep_kernel(self) -> None:
        """Keep the transformed kernel, which saves its transform and costs four times the memory."""
        self.kernel, self.taps = torch.mm(_both_sides(self.taps.dtype), self.taps).view(36, *self.channels), None

    def forward(self, maps: Tensor) -> Tensor:
        _, _, height, width = maps.shape
        padded = whole_tiles(maps)
        padded[:, 1 : height + 1, 1 : width + 1] = maps.permute(0, 2, 3, 1)
        return self.of_padded(padded)[:, :height, :width].permute(0, 3, 1, 2)

    def of_padded(self, padded: Tensor, target: Tensor | None = None) -> Tensor:
        """Whole tiles (B, H, W, out) of padded maps (B, H + 2, W + 2, in); H and W are multiples of four.

        Written into `target` if it is given, which may be the inside of other padded maps.
        """
        batch, height, width, _ = padded.shape
        if target is None:
            target = padded.new_empty(batch, height - 2, width - 2, self.channels[0])
        tiles = batch * (target.shape[1] // 4) * (target.shape[2] // 4)
        if self.kernel is not None:
            winograd(padded, self.kernel, target)
        elif tiles > TILES:
            winograd(padded, transformed_kernel(self.taps, *self.channels), target)
        else:  # all tiles at once, and the kernel in parts
            winograd_in_parts(padded, self.taps.view(9, *self.channels), target)
        if self.bias is not None:
            target += self.bias
        return target.relu_() if self.relu else target


def winograd(padded: Tensor, kernel: Tensor, target: Tensor) -> None:
    """Convolve padded maps (B, 4 r + 2, 4 c + 2, in) with a transformed kernel into `target` (B, 4 r, 4 c, out)."""
    batch, height, width, _ = target.shape
    rows, columns = height // 4, width // 4
    result = target.unflatten(1, (rows, 4)).unflatten(3, (columns, 4))
    pictures = max(1, TILES // (rows * columns))
    step = max(1, TILES // columns)
    for start in range(0, batch, pictures):
        for first in range(0, rows, step):
            strip = padded[start : start + pictures, 4 * first : 4 * min(first + step, rows) + 2]
            tiles = tile_transform(strip)
            products = [linear(values, weight) for values, weight in zip(tiles, kernel, strict=True)]
            output_transform(products, result[start : start + pictures, first : first + step])


def winograd_in_parts(padded: Tensor, taps: Tensor, target: Tensor) -> None:
    """The same for a few tiles, with taps (9, out, in) that are transformed for some outputs after the other."""
    _, height, width, outputs = target.shape
    result = target.unflatten(1, (height // 4, 4)).unflatten(3, (width // 4, 4))
    tiles, inputs = tile_transform(padded), taps.shape[2]
    for first in range(0, outputs, PART):
        part = slice(first, min(first + PART, outputs))
        kernel = transformed_kernel(taps[:, part].flatten(1), part.stop - first, inputs)
        products = [linear(values, weight) for values, weight in zip(tiles, kernel, strict=True)]
        output_transform(products, result[..., part])


def whole_tiles(maps: Tensor, channels: int | None = None) -> Tensor:
    """Zeros (B, 4 r + 2, 4 c + 2, C): room for maps (B, C, H, W) with a border, rounded up to tiles of four."""
    batch, own, height, width = maps.shape
    return maps.new_zeros(batch, 4 * -(-height // 4) + 2, 4 * -(-width // 4) + 2, channels or own)


def kernel_taps(weight: Tensor) -> Tensor:
    """3x3 kernels (out, in, 3, 3) as (9, out in), for `transformed_kernel`; the same memory if it can be."""
    return weight.flatten(2).permute(2, 0, 1).flatten(1)


_room = threading.local()


def transformed_kernel(taps: Tensor, outputs: int, inputs: int) -> Tensor:
    """Kernels (9, out in) in Winograd's domain, (36, out, in).

    Mostly made anew for every use, in the same place: four times as large as the kernels, all of them at once would
    cost more memory than their milliseconds are worth. So it is valid until the next call in this thread.
    """
    rooms = _room.__dict__
    size, key = 36 * outputs * inputs, str(taps.dtype)
    if key not in rooms or len(rooms[key]) < size:
        with torch.inference_mode(False):  # else it could not be written to outside of that mode later
            rooms[key] = taps.new_empty(size)
    made = torch.mm(_both_sides(taps.dtype), taps, out=rooms[key][:size].view(36, outputs * inputs))
    return made.view(36, outputs, inputs)


def _both_sides(dtype: torch.dtype) -> Tensor:
    """KERNEL_TRANSFORM along both sides, (36, 9)."""
    one_side = torch.tensor(KERNEL_TRANSFORM, dtype=dtype)
    return torch.kron(one_side, one_side)


def _combine(pieces: Sequence[Tensor], results: Sequence[Tensor]) -> None:
    """Winograd's input transform along one side: six pieces -> six results."""
    first, second, third, fourth, fifth, sixth = pieces
    even, odd = torch.sub(fifth, third, alpha=4), torch.sub(fourth, second, alpha=4)
    torch.add(even, odd, out=results[1])
    torch.sub(even, odd, out=results[2])
    torch.sub(fifth, third, out=even)
    torch.sub(fourth, second, out=odd)
    torch.add(even, odd, alpha=2, out=results[3])
    torch.sub(even, odd, alpha=2, out=results[4])
    torch.sub(fifth, third, alpha=5, out=results[0]).add_(first, alpha=4)
    torch.sub(sixth, fourth, alpha=5, out=results[5]).add_(second, alpha=4)


def tile_transform(padded: Tensor) -> Tensor:
    """Overlapping 6x6 tiles of (B, 4 r + 2, 4 c + 2, C), transformed: (36, B r c, C)."""
    batch, height, width, channels = padded.shape
    rows, columns = height // 4, width // 4
    whole = padded.new_empty(6, 6, batch, rows, columns, channels)
    both = whole.transpose(0, 1)
    pictures = max(1, HALF_WAY // (rows * columns))
    for start in range(0, batch, pictures):
        some = padded[start : start + pictures]
        half = padded.new_empty(6, len(some), rows, width, channels)
        _combine([some[:, k : k + 4 * rows - 3 : 4] for k in range(6)], half)
        across = [half[:, :, :, k : k + 4 * columns - 3 : 4] for k in range(6)]
        _combine(across, both[:, :, start : start + pictures])
    return whole.view(36, batch * rows * columns, channels)


def output_transform(products: Sequence[Tensor], target: Tensor) -> None:
    """36 products (B r c, C) -> outputs, written into `target` (B, r, 4, c, 4, C)."""
    batch, rows, _, columns, _, channels = target.shape
    halves = []
    for column in range(6):
        first, *middle, last = products[column::6]
        plus, minus = middle[0] + middle[1], middle[0].sub_(middle[1])
        more, less = middle[2] + middle[3], middle[2].sub_(middle[3])
        top = torch.add(plus, more, out=middle[1]).add_(first)
        second = torch.add(minus, less, alpha=2, out=first)
        third = plus.add_(more, alpha=4)
        halves.append((top, second, third, minus.add_(less, alpha=8).add_(last)))
    for row in range(4):
        first, *middle, last = (half[row].view(batch, rows, columns, channels) for half in halves)
        plus, minus = middle[0] + middle[1], middle[0].sub_(middle[1])
        more, less = middle[2] + middle[3], middle[2].sub_(middle[3])
        torch.add(plus, more, out=target[:, :, row, :, 0]).add_(first)
        torch.add(minus, less, alpha=2, out=target[:, :, row, :, 1])
        torch.add(plus, more, alpha=4, out=target[:, :, row, :, 2])
        torch.add(minus, less, alpha=8, out=target[:, :, row, :, 3]).add_(last)


class EnlargedConv(nn.Module):
    """Nearest-neighbour doubling, then 3x3 convolution with zero padding 1.

    With taps a, b, c along one side and cells x, the two outputs of cell i are
    (a + b + c) x_i - a (x_i - x_(i-1)) and (a + b + c) x_i + c (x_(i+1) - x_i).

    Args:
        conv: the convolution after the doubling.
        relu: whether a ReLU follows.
    """

    def __init__(self, conv: nn.Conv2d, relu: bool = False) -> None:
        super().__init__()
        self.relu = relu
        weight = conv.weight.detach()
        taps = (weight.sum(2), -weight[:, :, 0], weight[:, :, 2])  # for the cell, the one before, the one after
        parts = [part for tap in taps for part in (tap.sum(2), -tap[:, :, 0], tap[:, :, 2])]
        self.register_buffer("weight", torch.stack(parts))  # (9, out, in)
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach().clone())

    def forward(self, maps: Tensor) -> Tensor:
        batch, channels, height, width = maps.shape
        outputs = self.weight.shape[1]
        result = maps.new_empty(batch, height, 2, width, 2, outputs)
        step = max(1, 4 * TILES // width)
        for sample, target in zip(maps, result, strict=True):
            padded = maps.new_zeros(height + 2, width + 2, channels)
            padded[1:-1, 1:-1] = sample.permute(1, 2, 0)
            for first in range(0, height, step):
                self._rows(padded[first : min(first + step, height) + 2], target[first : first + step])
        return result.view(batch, 2 * height, 2 * width, outputs).permute(0, 3, 1, 2)

    def _rows(self, padded: Tensor, target: Tensor) -> None:
        """Some rows: (h + 2, w + 2, C) -> `target` (h, 2, w, 2, out)."""
        _, _, width, _, outputs = target.shape
        down = padded[1:] - padded[:-1]  # (h + 1, w + 2, C)

        def products(cells: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
            """Of cells (r, w + 2, C): the left and the right output of every cell, (r, w, out)."""
            across = cells[:, 1:] - cells[:, :-1]  # (r, w + 1, C)
            rows = len(cells)
            middle = linear(cells[:, 1:-1].reshape(rows * width, -1), weights[0]).view(rows, width, outputs)
            left = linear(across[:, :-1].reshape(rows * width, -1), weights[1]).view(rows, width, outputs)
            right = linear(across[:, 1:].reshape(rows * width, -1), weights[2]).view(rows, width, outputs)
            return left.add_(middle), right.add_(middle)

        middle, above, below = (
            products(cells, weights)
            for cells, weights in (
                (padded[1:-1], self.weight[:3]),
                (down[:-1], self.weight[3:6]),
                (down[1:], self.weight[6:]),
            )
        )
        for side in range(2):
            if self.bias is not None:
                middle[side].add_(self.bias)
            torch.add(middle[side], above[side], out=target[:, 0, :, side])
            torch.add(middle[side], below[side], out=target[:, 1, :, side])
        if self.relu:
            target.relu_()


def fetch(features: Tensor, grid: Tensor, weight: Tensor) -> Tensor:
    """Features of one picture at many places, times a weight, in one pass over memory.

    The same as bilinear `grid_sample` with zeros beyond the border and -1, 1 at the outermost centres: each place
    is the weighted sum of four cells, which is what an embedding bag computes, and fast.

    Args:
        features: (1, C, H, W).
        grid: (B, h, w, 2).
        weight: (B, 1, h, w).

    Returns:
        (B, C, h, w) in channels-last layout.
    """
    _, channels, height, width = features.shape
    batch, rows, columns, _ = grid.shape
    if features.device.type != "cpu" or torch.is_grad_enabled():
        moved = F.grid_sample(
            features.float().expand(batch, -1, -1, -1), grid, padding_mode="zeros", align_corners=True
        )
        return (moved * weight).to(features.dtype)
    places = (grid.flatten(0, 2) + 1) * (torch.tensor([width - 1, height - 1]) / 2)  # (n, 2) in cells
    low = places.floor()
    share = places - low
    cells, shares = [], []
    for side in ((0, 0), (1, 0), (0, 1), (1, 1)):  # x, y
        cell = low + torch.tensor(side)
        inside = ((cell >= 0) & (cell <= torch.tensor([width - 1, height - 1]))).all(dim=1)
        x, y = (share[:, axis] if right else 1 - share[:, axis] for axis, right in enumerate(side))
        shares.append(x * y * inside)
        column, row = cell[:, 0].clamp(0, width - 1), cell[:, 1].clamp(0, height - 1)
        cells.append(row * width + column)
    indices = torch.stack(cells, dim=1).int()
    shares = torch.stack(shares, dim=1) * weight.reshape(-1, 1)
    table = features.permute(0, 2, 3, 1).reshape(height * width, channels)
    found = F.embedding_bag(indices, table, per_sample_weights=shares.to(table.dtype), mode="sum")
    return found.view(batch, rows, columns, channels).permute(0, 3, 1, 2)
