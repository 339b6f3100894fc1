"""How a loaded network is made ready to run: device, precision, memory layout."""

import copy
from contextlib import AbstractContextManager
from weakref import WeakKeyDictionary

import torch
from torch import nn

from ..networks.blocks import fold_batch_norms

_ready: WeakKeyDictionary[nn.Module, dict[str, nn.Module]] = WeakKeyDictionary()


def ready(network: nn.Module, device: torch.device) -> nn.Module:
    """A copy of an eval network on `device` with folded batch norms in channels-last layout, made once."""
    copies = _ready.setdefault(network, {})
    if str(device) not in copies:
        folded = fold_batch_norms(copy.deepcopy(network)).to(device, memory_format=torch.channels_last)
        copies[str(device)] = folded.eval().requires_grad_(False)
    return copies[str(device)]


def half_precision(device: torch.device) -> bool:
    """Whether bfloat16 convolutions are native on this device, and so worth it."""
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return device.type == "cuda" and torch.cuda.is_bf16_supported()


def precision(device: torch.device) -> AbstractContextManager:
    """Autocast to bfloat16 where it is native; networks keep coordinates and blends in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=half_precision(device))
