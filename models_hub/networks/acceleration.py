"""Published networks made ready for inference: the same numbers within rounding, sooner (see convolution.py)."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import fold_batch_norms, fold_pairs
from .convolution import EnlargedConv, WinogradConv, whole_tiles
from .mcnet_blocks import PooledHourglass, PreactivatedBlock, UpBlock
from .mcnet_memory import MCNetMemory, prepare

WIDE = 128
"""Channels from which on Winograd's transforms cost less than they save."""

READ_AT_ONCE = 32 * 2**20
"""Bytes of a network that are read before `release` is called."""

LARGE = 32 * 2**20
"""Bytes from which on any tensor has memory of its own, which the system gets back when it is freed."""

ALIGNED = 64
"""Bytes; places of tensors are multiples of it, as everywhere in torch."""


class RowwiseConv(nn.Module):
    """A large kernel with few outputs: first along rows, for every row of the kernel, then a sum of shifted rows.

    So the library's convolution has k times as many outputs to fill its registers with.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        weight = conv.weight.detach()  # (out, in, k, k)
        self.outputs, _, self.kernel, _ = weight.shape
        rows = weight.permute(2, 0, 1, 3).flatten(0, 1)[:, :, None]  # (k out, in, 1, k)
        self.register_buffer("weight", rows.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", conv.bias.detach().clone())

    def forward(self, maps: Tensor) -> Tensor:
        reach, height = self.kernel // 2, maps.shape[-2]
        rows = F.conv2d(maps, self.weight, padding=(self.kernel - 1, reach))  # (B, k out, H + k - 1, W)
        first = self.kernel - 1 - reach
        parts = rows.unflatten(1, (self.kernel, self.outputs))
        total = self.bias.float().view(-1, 1, 1) + parts[:, 0, :, first : first + height].float()
        for row in range(1, self.kernel):
            total += parts[:, row, :, first + row : first + row + height]
        return total


class NormRelu(nn.Module):
    """An eval batch norm and the ReLU behind it, as one scale and shift for each channel."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        scale = norm.weight.detach() * torch.rsqrt(norm.running_var + norm.eps)
        self.register_buffer("scale", scale.view(-1, 1, 1))
        self.register_buffer("shift", (norm.bias.detach() - norm.running_mean * scale).view(-1, 1, 1))

    def forward(self, maps: Tensor) -> Tensor:
        return torch.addcmul(self.shift, maps, self.scale).relu_()


class WinogradBlock(nn.Module):
    """A preactivated residual block whose parts write straight into each other's padded maps."""

    def __init__(self, block: PreactivatedBlock) -> None:
        super().__init__()
        self.enter = NormRelu(block.enter[0])
        self.first = WinogradConv(block.first[0], relu=True)
        self.second = WinogradConv(block.second)

    def forward(self, features: Tensor) -> Tensor:
        _, _, height, width = features.shape
        inside = (slice(None), slice(1, height + 1), slice(1, width + 1))
        entered = whole_tiles(features)
        place = entered[inside].permute(0, 3, 1, 2)
        torch.addcmul(self.enter.shift, features, self.enter.scale, out=place).relu_()
        between = whole_tiles(features)
        self.first.of_padded(entered, between[:, 1:-1, 1:-1])
        del entered, place  # as large as all the rest
        between[:, height + 1 :] = 0  # what the last tiles made beyond the border
        between[:, :, width + 1 :] = 0
        result = self.second.of_padded(between)[:, :height, :width].permute(0, 3, 1, 2)
        result += features
        return result  # (B, C, H, W)


def accelerated(
    network: nn.Module, dtype: torch.dtype = torch.float32, release: Callable[[nn.Module], None] | None = None
) -> nn.Module:
    """A copy of an eval network for inference on a processor.

    One part after the other is brought into its faster form, so that little of it is in memory in two forms at once.

    Args:
        network: in float32 on the CPU.
        dtype: of the convolutions. In bfloat16 Winograd's transforms lose digits, so they are used only where the
            network's `winograd_in_half` says that little is lost; its `full_precision` parts stay in float32.
        release: called with the network whenever a good part of it was read; may put equal tensors in place of its
            tensors' data, such as ones mapped anew from a file (`loading.map_anew`).

    Returns:
        A network of the same class. It shares no tensor with the other but those that the network's `unread` names,
        which inference never reads. Its results are float32 where the network's are.
    """
    memo = {id(value): value for value in (*network.parameters(), *network.buffers())}  # share, do not copy
    quick = copy.deepcopy(network, memo)
    return _Acceleration(network, dtype, release).form_of(quick).eval().requires_grad_(False)


class _Acceleration:
    """The way of one network into its faster form.

    Args:
        network, dtype, release: as for `accelerated`.
    """

    def __init__(
        self, network: nn.Module, dtype: torch.dtype, release: Callable[[nn.Module], None] | None = None
    ) -> None:
        self.network, self.dtype, self.release, self.bytes_read = network, dtype, release, 0
        half = dtype != torch.float32
        self.full = tuple(getattr(network, "full_precision", ())) if half else ()
        self.robust = tuple(getattr(network, "winograd_in_half", ()))
        self.kernels_kept = self.robust if half else tuple(getattr(network, "kernels_kept", ()))
        self.unread = tuple(getattr(network, "unread", ()))
        self.memory = OneMemory(sum(value.nbytes + ALIGNED for value in (*network.parameters(), *network.buffers())))
        self.folding = OneMemory(max(map(_bytes_folded, network.modules()), default=0))

    def form_of(self, module: nn.Module, path: str = "", substitutes: bool = True) -> nn.Module:
        """The faster form of one part, which may be the part itself, changed.

        Args:
            module: a part whose tensors may be the network's.
            path: its name in the network.
            substitutes: whether other modules may take the place of it and of its parts.
        """
        unused = self.folding.free
        if isinstance(module, nn.Sequential):
            fold_pairs(module, self._folding_copy)
        elif isinstance(module, PreactivatedBlock | UpBlock):  # substituted as a whole
            fold_batch_norms(module, self._folding_copy)
        exact = path.startswith((*self.full, *self.robust))
        new = _substitute(module, torch.float32 if exact else self.dtype) if substitutes else module
        substitutes = substitutes and new is module and not isinstance(module, MCNetMemory)
        if isinstance(new, WinogradConv) and path.startswith(self.kernels_kept):
            new.keep_kernel()
        for name, child in new.named_children():
            # In an hourglass all but the way up has too many weights for a few cells to transform.
            within = substitutes and (name == "up" or not isinstance(new, PooledHourglass))
            setattr(new, name, self.form_of(child, f"{path}.{name}" if path else name, within))
        self._keep_tensors(new, path)
        if isinstance(new, MCNetMemory):
            prepare(new)
        self.folding.free = unused  # what was folded here has been copied
        return new

    def _folding_copy(self, weight: Tensor) -> Tensor:
        return self.folding.copy(weight.flatten(1), weight.dtype).view_as(weight)

    def _keep_tensors(self, module: nn.Module, path: str) -> None:
        """Bring what lies directly in a module into its type and layout, in memory of its own."""
        wanted = torch.float32 if self.full and path.startswith(self.full) else self.dtype
        for name, value in (*module._parameters.items(), *module._buffers.items()):
            if value is None or f"{path}.{name}" in self.unread:
                continue
            made = self.memory.copy(value.detach(), wanted if value.is_floating_point() else value.dtype)
            # Set as an attribute, for an LSTM has a list of its weights beside.
            setattr(module, name, nn.Parameter(made, requires_grad=False) if isinstance(value, nn.Parameter) else made)
            self.bytes_read += value.nbytes
        if self.release is not None and self.bytes_read > READ_AT_ONCE:
            self.release(self.network)
            self.bytes_read = 0


def _bytes_folded(module: nn.Module) -> int:
    """What the convolutions that lie directly in a sequence need while batch norms are folded into them."""
    if not isinstance(module, nn.Sequential):
        return 0
    return sum(part.weight.nbytes + ALIGNED for part in module if isinstance(part, nn.Conv2d | nn.ConvTranspose2d))


class OneMemory:
    """Copies of tensors side by side in one piece of memory.

    Tensors that stay would else lie among others that are freed soon, and the memory between them would be of little
    use to anything later: the process would keep it (measured: up to 150 MB for ATVGnet's 300).

    Args:
        size: bytes, at most. What is never written to takes none of the machine's memory.
    """

    def __init__(self, size: int) -> None:
        self.free = torch.empty(size, dtype=torch.uint8)

    def copy(self, value: Tensor, dtype: torch.dtype) -> Tensor:
        """A copy of a tensor, of some type, in channels-last layout; elsewhere if it is large or no room is left."""
        layout = torch.channels_last if value.ndim == 4 else torch.contiguous_format
        size = value.numel() * dtype.itemsize
        if size > min(LARGE, len(self.free)):
            return torch.empty_like(value, dtype=dtype, memory_format=layout).copy_(value)
        piece, self.free = self.free[:size].view(dtype), self.free[-(-size // ALIGNED) * ALIGNED :]
        if value.ndim != 4:
            return piece.view(value.shape).copy_(value)
        outputs, inputs, height, width = value.shape
        return piece.view(outputs, height, width, inputs).permute(0, 3, 1, 2).copy_(value)


def _substitute(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    if isinstance(module, PreactivatedBlock) and _suits_winograd(module.second) and dtype == torch.float32:
        return WinogradBlock(module)
    if isinstance(module, UpBlock):
        return EnlargedConv(module.conv[0], relu=True)
    if isinstance(module, nn.Sequential) and [type(part) for part in module] == [nn.BatchNorm2d, nn.ReLU]:
        return NormRelu(module[0])
    if isinstance(module, nn.Conv2d) and module.stride == (1, 1) and module.groups == 1 and module.dilation == (1, 1):
        if module.kernel_size == (7, 7) and module.out_channels <= 4 and module.padding == (3, 3):
            return RowwiseConv(module)
        if _suits_winograd(module) and dtype == torch.float32:
            return WinogradConv(module)
    return module


def _suits_winograd(conv: nn.Conv2d) -> bool:
    same = conv.kernel_size == (3, 3) and conv.padding == (1, 1)
    return same and min(conv.in_channels, conv.out_channels) >= WIDE
