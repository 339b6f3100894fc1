"""Published networks made ready for inference: the same numbers within rounding, sooner (see convolution.py)."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import fold_batch_norms
from .convolution import EnlargedConv, WinogradConv, whole_tiles
from .mcnet_blocks import PooledHourglass, PreactivatedBlock, UpBlock
from .mcnet_memory import MCNetMemory, prepare

WIDE = 128
"""Channels from which on Winograd's transforms cost less than they save."""


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
    read = _Read(network, release)
    for part in reversed([module for module in quick.modules() if isinstance(module, nn.Sequential)]):  # inner first
        fold_batch_norms(nn.ModuleList([part]))
        read.count(part)
    full = tuple(getattr(network, "full_precision", ())) if dtype != torch.float32 else ()
    robust = tuple(getattr(network, "winograd_in_half", ()))
    unread = getattr(network, "unread", ())
    _replace(quick, lambda name: torch.float32 if name.startswith((*full, *robust)) else dtype)
    for path, module in quick.named_modules():
        wanted = torch.float32 if full and path.startswith(full) else dtype
        for table in (module._parameters, module._buffers):
            for name, value in table.items():
                if value is not None and f"{path}.{name}" not in unread:
                    table[name] = _converted(value, wanted, id(value) in memo)
        read.count(module)
    for module in quick.modules():
        if isinstance(module, MCNetMemory):
            prepare(module)
    for path in getattr(network, "kernels_kept", ()) if dtype == torch.float32 else robust:
        for module in quick.get_submodule(path).modules():
            if isinstance(module, WinogradConv):
                module.keep_kernel()
    return quick.eval().requires_grad_(False)


class _Read:
    """Counts what was read of a network, and calls `release` for every 32 MB of it."""

    def __init__(self, network: nn.Module, release: Callable[[nn.Module], None] | None) -> None:
        self.network, self.release, self.bytes = network, release, 0

    def count(self, module: nn.Module) -> None:
        """All that lies directly in a module, or directly in its children, was read."""
        for part in (module, *module.children()):
            self.bytes += sum(value.nbytes for value in part._parameters.values() if value is not None)
        if self.release is not None and self.bytes > 32 * 2**20:
            self.release(self.network)
            self.bytes = 0


def _converted(value: Tensor, dtype: torch.dtype, belongs_to_network: bool) -> Tensor:
    layout = torch.channels_last if value.ndim == 4 else torch.preserve_format
    made = value.detach().to(dtype if value.is_floating_point() else value.dtype, memory_format=layout)
    if belongs_to_network and made.data_ptr() == value.data_ptr():
        made = made.clone()  # else a mapped file would stay in memory for a few tensors of it
    return nn.Parameter(made, requires_grad=False) if isinstance(value, nn.Parameter) else made


def _replace(network: nn.Module, dtype_of: Callable[[str], torch.dtype], prefix: str = "") -> None:
    for name, child in network.named_children():
        path = f"{prefix}{name}"
        new = _substitute(child, dtype_of(path))
        if new is not child:
            setattr(network, name, new)
        elif isinstance(child, PooledHourglass):
            _replace(child.up, dtype_of, f"{path}.up.")  # elsewhere too many weights for a few cells to transform
        elif not isinstance(child, MCNetMemory):
            _replace(child, dtype_of, f"{path}.")


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
