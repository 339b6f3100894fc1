"""Networks under ComfyUI's memory management: it loads them, offloads them, and decides their precision."""

import copy
import threading
from weakref import WeakKeyDictionary

import torch
from torch import nn

from ..models_hub.stages.inference import Runtime, folded


class ComfyRuntime(Runtime):
    """Runs networks where and how ComfyUI wants models to run.

    Networks wait on the offload device, each inside a ModelPatcher, and are loaded before every chunk. So
    ComfyUI may take their place for another model between two chunks, and counts their memory with all the rest.
    The precision is what it gives diffusion models: its own choice for the device, or --fp32-unet, --bf16-unet
    and --fp16-unet. On a CPU that is float32 unless --bf16-unet is given.
    ComfyUI's lists of models are not made for several threads, so only one asks it at a time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._heavy: WeakKeyDictionary[nn.Module, object] = WeakKeyDictionary()
        self._small: WeakKeyDictionary[nn.Module, object] = WeakKeyDictionary()
        self._asking = threading.Lock()

    @property
    def device(self) -> torch.device:
        from comfy.model_management import get_torch_device

        return get_torch_device()

    def dtype(self, device: torch.device) -> torch.dtype:
        from comfy.model_management import unet_dtype

        chosen = unet_dtype(device=device, supported_dtypes=[torch.bfloat16, torch.float16, torch.float32])
        return chosen if chosen in (torch.bfloat16, torch.float16) else torch.float32

    def load(self, network: nn.Module, working_bytes: int = 0) -> nn.Module:
        with self._asking:
            if network not in self._heavy:
                self._heavy[network] = _patcher(folded(network))
            return _loaded(self._heavy[network], working_bytes)

    def load_small(self, network: nn.Module) -> nn.Module:
        with self._asking:
            if network not in self._small:  # the original stays on the CPU for those who read its constants
                self._small[network] = _patcher(copy.deepcopy(network))
            return _loaded(self._small[network], 0)


def _patcher(network: nn.Module) -> object:
    from comfy.model_management import get_torch_device, unet_offload_device
    from comfy.model_patcher import ModelPatcher

    offload = unet_offload_device()
    return ModelPatcher(network.to(offload), load_device=get_torch_device(), offload_device=offload)


def _loaded(patcher: object, working_bytes: int) -> nn.Module:
    from comfy.model_management import load_models_gpu

    load_models_gpu([patcher], memory_required=working_bytes)
    return patcher.model
