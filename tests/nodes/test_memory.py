"""Networks under a host's memory management, with a host of a few lines in ComfyUI's place."""

import sys
from types import ModuleType

import pytest
import torch
from articulate.models_hub.loading import load_network
from articulate.nodes.memory import ComfyRuntime


class Patcher:
    """Like ComfyUI's ModelPatcher."""

    def __init__(self, model, load_device, offload_device, size=0):
        self.model, self.load_device, self.offload_device = model, load_device, offload_device


@pytest.fixture
def comfy(monkeypatch):
    """The host's modules; `loaded` lists what it was asked to load, with the memory to keep free."""
    management, patcher, package = (
        ModuleType("comfy.model_management"),
        ModuleType("comfy.model_patcher"),
        ModuleType("comfy"),
    )
    management.loaded, management.dtype = [], torch.float32
    management.get_torch_device = management.unet_offload_device = lambda: torch.device("cpu")
    management.unet_dtype = lambda device, supported_dtypes: management.dtype
    management.load_models_gpu = lambda models, memory_required=0: management.loaded.append(
        (models[0], memory_required)
    )
    patcher.ModelPatcher = Patcher
    package.model_management, package.model_patcher = management, patcher
    for module in (package, management, patcher):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return management


def test_a_network_is_wrapped_once_and_asked_for_every_time(comfy):
    runtime, network = ComfyRuntime(), load_network("generator")
    first, second = runtime.load(network, 123), runtime.load(network, 456)
    assert first is second and first is not network
    assert [need for _, need in comfy.loaded] == [123, 456]
    assert comfy.loaded[0][0] is comfy.loaded[1][0] and isinstance(comfy.loaded[0][0], Patcher)
    assert not any(type(module).__name__ == "BatchNorm2d" for module in first.modules())


def test_a_small_network_keeps_its_original_where_it_is(comfy):
    runtime, network = ComfyRuntime(), load_network("landmark_predictor")
    placed = runtime.load_small(network)
    assert placed is not network and runtime.load_small(network) is placed
    units = torch.rand(3, network.layers[1].in_features)
    with torch.no_grad():
        assert torch.equal(placed(units), network(units))


@pytest.mark.parametrize(
    "chosen, used",
    [(torch.float32, torch.float32), (torch.bfloat16, torch.bfloat16), (torch.float16, torch.float16),
     (torch.float8_e4m3fn, torch.float32), (torch.float64, torch.float32)],
)  # fmt: skip
def test_precision_is_the_hosts_choice(comfy, chosen, used):
    comfy.dtype = chosen
    assert ComfyRuntime().dtype(torch.device("cpu")) is used
