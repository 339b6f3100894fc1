"""How a loaded network is made ready to run: device, precision, memory layout.

Stages ask the `Runtime` in use for their networks. Scripts have the plain one below; a host with a memory
management of its own puts another in its place with `use_runtime`.
"""

import copy
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from ..errors import InputError
from ..networks.blocks import fold_batch_norms

_ready: WeakKeyDictionary[nn.Module, dict[str, nn.Module]] = WeakKeyDictionary()
_preparing = threading.Lock()


def ready(network: nn.Module, device: torch.device) -> nn.Module:
    """A copy of an eval network on `device` with folded batch norms in channels-last layout, made once."""
    with _preparing:
        copies = _ready.setdefault(network, {})
        if str(device) not in copies:
            copies[str(device)] = folded(network).to(device)
        return copies[str(device)]


def folded(network: nn.Module) -> nn.Module:
    """A copy of an eval network with folded batch norms in channels-last layout, where the network is."""
    copied = fold_batch_norms(copy.deepcopy(network)).to(memory_format=torch.channels_last)
    return copied.eval().requires_grad_(False)


def half_precision(device: torch.device) -> bool:
    """Whether bfloat16 convolutions are native on this device, and so worth it."""
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return device.type == "cuda" and torch.cuda.is_bf16_supported()


class Runtime:
    """Where networks run, and in which precision.

    Args:
        device: where the heavy networks run.
        dtype: of their convolutions; None means bfloat16 where it is native, else float32.
    """

    def __init__(self, device: torch.device | str = "cpu", dtype: torch.dtype | None = None) -> None:
        self._device, self._dtype = torch.device(device), dtype

    @property
    def device(self) -> torch.device:
        """Where the heavy networks run."""
        return self._device

    def dtype(self, device: torch.device) -> torch.dtype:
        """The precision of convolutions on a device."""
        return self._dtype or (torch.bfloat16 if half_precision(device) else torch.float32)

    def load(self, network: nn.Module, working_bytes: int = 0) -> nn.Module:
        """The network on `device`, ready to run (see `ready`). Ask anew for every chunk: a host may move it away.

        Args:
            network: from `load_network`.
            working_bytes: memory that a chunk needs besides the weights.
        """
        return ready(network, self.device)

    def load_small(self, network: nn.Module) -> nn.Module:
        """A network of a few megabytes, as it is, on `device`; its results are exact in any runtime of a device."""
        return network if self.device.type == "cpu" else _moved(network, self.device)


PRECISIONS = {"auto": None, "float32": torch.float32, "bfloat16": torch.bfloat16}
"""Types of the heavy networks' convolutions."""


def runtime_on(device: str = "auto", precision: str = "auto") -> Runtime:
    """The runtime of a script on a device that exists.

    Args:
        device: "cpu", "cuda", "cuda:1", "mps", ..., or "auto": a CUDA GPU where torch sees one, else the CPU.
        precision: one of `PRECISIONS`.

    Raises:
        InputError: the device is not there, or the precision is not known.
    """
    if precision not in PRECISIONS:
        raise InputError(f"The precision {precision!r} is not known; choose one of {', '.join(PRECISIONS)}.")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"The device {device!r} cannot be used here ({str(error).splitlines()[0]}); choose auto, or cpu."
        ) from error
    return Runtime(device, PRECISIONS[precision])


def _moved(network: nn.Module, device: torch.device) -> nn.Module:
    key = f"as it is, {device}"
    with _preparing:
        copies = _ready.setdefault(network, {})
        if key not in copies:
            copies[key] = copy.deepcopy(network).to(device)
        return copies[key]


_current = Runtime()


def runtime() -> Runtime:
    """The runtime in use."""
    return _current


def use_runtime(new: Runtime) -> None:
    """Let all networks run there from now on."""
    global _current
    _current = new


@contextmanager
def using_runtime(new: Runtime) -> Iterator[None]:
    """`use_runtime` inside a `with` block."""
    before = _current
    use_runtime(new)
    try:
        yield
    finally:
        use_runtime(before)


def precision(device: torch.device) -> AbstractContextManager:
    """Autocast to the runtime's precision; networks keep coordinates and blends in float32."""
    dtype = _current.dtype(device)
    return torch.autocast(device.type, torch.bfloat16 if dtype == torch.float32 else dtype,
                          enabled=dtype != torch.float32)  # fmt: skip


class Placed:
    """A small network that runs wherever the runtime wants it; what goes in and comes out is on the CPU.

    Everything but calling it is the network's own.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def __call__(self, *inputs: torch.Tensor) -> Any:
        """The network's results for inputs on the CPU."""
        where = _current.device
        results = _current.load_small(self._network)(*(value.to(where) for value in inputs))
        if isinstance(results, torch.Tensor):
            return results.cpu()
        return type(results)(value.cpu() for value in results) if isinstance(results, tuple | list) else results

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)
