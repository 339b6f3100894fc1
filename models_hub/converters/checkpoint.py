"""Reading checkpoints safely, and renaming what is in them."""

import hashlib
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch
from torch import Tensor, nn

from ..errors import WeightsError

State = dict[str, Tensor]

Renames = tuple[tuple[str, str], ...]
"""Regular expressions and what takes their place, in order."""


def read_checkpoint(path: str | Path) -> tuple[dict[str, Any], str]:
    """What a PyTorch checkpoint holds, on the CPU, and the sha256 of the file.

    Only tensors and plain containers are unpickled (`weights_only=True`): a checkpoint cannot run code.

    Raises:
        WeightsError: the file is missing, damaged, or holds more than tensors.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise WeightsError(f"The checkpoint {path} does not exist; give the file as its authors offer it for download.")
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds more than tensors, and unpickling that could run any code, so it was not read "
            f"({_first_line(error)}). Get the checkpoint from its authors."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError, BadZipFile) as error:
        raise WeightsError(
            f"{path} cannot be read as a PyTorch checkpoint ({_first_line(error)}); it may be cut short. "
            "Fetch it again."
        ) from error
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not a table of tensors; choose a checkpoint.")
    return dict(content), digest


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def plain_state(content: Any, what: str) -> State:
    """The tensors of one network without the `module.` that parallel training puts into their names.

    Raises:
        WeightsError: it is no table of tensors, or a value is not finite.
    """
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{what} is no table of tensors; choose the checkpoint that its authors published.")
    state = {}
    for name, value in content.items():
        if not isinstance(value, Tensor):
            raise WeightsError(f"{what} holds {name!r}, which is no tensor; choose a checkpoint of weights.")
        if value.is_floating_point():
            if not value.isfinite().all():
                raise WeightsError(f"{what}: {name} holds values that are not finite. Fetch the checkpoint again.")
            value = value.float()
        state[str(name).replace("module.", "")] = value
    return state


def rename(state: State, renames: Renames) -> State:
    """The same tensors under other names."""
    renamed = {}
    for name, value in state.items():
        for pattern, replacement in renames:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed


def take(state: State, name: str, what: str) -> Tensor:
    """Remove a tensor from a state.

    Raises:
        WeightsError: there is none of this name.
    """
    if name not in state:
        raise WeightsError(f"{what} has no tensor {name!r}; it is another network or another version of it.")
    return state.pop(name)


def fill_network(network: nn.Module, state: State, what: str) -> nn.Module:
    """Load a converted state completely; batch norms' counters may be missing.

    Raises:
        WeightsError: something is missing, left over, or of another shape.
    """
    expected = network.state_dict()
    for name in expected:
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, torch.zeros((), dtype=torch.int64))
    missing = [name for name in expected if name not in state]
    surplus = [name for name in state if name not in expected]
    misshapen = [
        f"{name} is {list(state[name].shape)} where {list(expected[name].shape)} belongs"
        for name in expected
        if name in state and state[name].shape != expected[name].shape
    ]
    if missing or surplus or misshapen:
        raise WeightsError(
            f"{what} does not fit: missing {missing[:4]}, unknown {surplus[:4]}, misshapen {misshapen[:4]}. "
            "It is another network or another version of it."
        )
    network.load_state_dict(state)
    return network.eval()
