"""Weights file -> network.

A weights file is safetensors; nothing is unpickled. Which network it holds, and of what sizes, is read off the names
and shapes of its tensors (architectures.py); its header may add `{"architecture": "...", "config": "<json>"}`, and
`save_network` writes both. Where the file of a stage lies is decided in finding.py, what is pinned in cards.toml.

A file is looked at in this order, so that a bad one costs nothing: its header, the shapes that a network of those
sizes would have, and only then the tensors. Float32 tensors are mapped from the file, not copied.
"""

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from . import files, finding, references
from .architectures import (
    IMPOSSIBLE,
    Architecture,
    Sizes,
    architecture_of,
    build,
    differences,
    known,
    listed,
    numbers_in,
    recognise,
)
from .cards import EMBEDDED, WEIGHTS_FOLDER, card_for, cards, pin_card
from .errors import WeightsError
from .files import sha256
from .header import Header, read_header

__all__ = [
    "EMBEDDED",
    "WEIGHTS_FOLDER",
    "architecture_of",
    "cards",
    "inspect_weights",
    "load_network",
    "map_anew",
    "pin_card",
    "read_weights",
    "save_network",
    "sha256",
    "weights_path",
]


def weights_path(stage: str, weights: str = EMBEDDED, progress: finding.Progress | None = None) -> Path:
    """Where the weights of a stage lie; fetched from the Hub if they are there alone.

    Args:
        stage: name of the stage, which is the name of its embedded file ("warper", "generator", ...).
        weights: "embedded", the name of a card, `owner/name@revision:file` of the Hub, or the path of a file.
        progress: told the bytes of a download.

    Raises:
        WeightsError: there is no such file, or it is not the pinned one.
    """
    if card_for(stage, weights) is not None or references.is_reference(weights):
        return finding.find(stage, weights, progress=progress)
    path = Path(weights).expanduser()
    if not path.is_file():
        raise WeightsError(
            f"The weights of stage {stage!r} were looked for at {path}, where is no file; use {EMBEDDED!r}, an "
            f"existing file, or {references.FORM}."
        )
    return path


def load_network(stage: str, weights: str = EMBEDDED) -> nn.Module:
    """The network of a stage, in eval mode on the CPU in float32, ready to use; loaded once per file version.

    Args:
        stage, weights: as for `weights_path`.

    Raises:
        WeightsError: the file is missing, cut short, altered, or of another architecture.
    """
    path = weights_path(stage, weights)
    return _load(path, stage, files.version(path))


@lru_cache(maxsize=32)
def _load(path: Path, stage: str, version: tuple[int, int, int]) -> nn.Module:
    architecture, _, header, network = _inspected(path, stage)
    wanted = {name for each in known().values() for name in each.stages}
    if stage in wanted and stage not in architecture.stages:
        raise WeightsError(
            f"{path} holds a {architecture.name}, which is for stage {' or '.join(architecture.stages)}, not for "
            f"{stage!r}. Choose weights made for this stage."
        )
    # Hosts run nodes in inference mode; a network made there could never be trained.
    with torch.inference_mode(False), torch.no_grad():
        types = {name: value.dtype for name, value in network.state_dict().items()}
        tensors = _tensors(path, header)
        if not files.recall(path).get("finite"):
            _refuse_unfinite(path, tensors)
            files.remember(path, finite=True)
            tensors = _tensors(path, header)  # mapped anew: what was read to look at it leaves memory
        tensors = {name: value.to(types[name]) for name, value in tensors.items()}
        network.load_state_dict(tensors, strict=False, assign=True)  # what is missing was checked
    network.origin = path, version
    return network.eval().requires_grad_(False)


def map_anew(network: nn.Module) -> None:
    """Map a loaded network's tensors from its file anew, so that what was read of them leaves memory until it is used.

    For networks that nobody changes, once another form of them does the work. Nothing happens to networks that came
    from no file, or whose file has changed or gone.
    """
    origin = getattr(network, "origin", None)
    try:
        if origin is None or files.version(origin[0]) != origin[1]:
            return
        own = network.state_dict()
        fresh = _tensors(origin[0], read_header(origin[0]))
    except (WeightsError, OSError):
        return
    if all(name in own and own[name].dtype == value.dtype for name, value in fresh.items()):
        with torch.inference_mode(False), torch.no_grad():
            for name, value in (*network.named_parameters(), *network.named_buffers()):
                if name in fresh:
                    value.data = fresh[name]  # in place: who else holds the tensor lets go of the old mapping too


def read_weights(path: Path) -> None:
    """Read a whole file anew, whatever is remembered about it.

    Raises:
        WeightsError: it is no usable weights file.
    """
    _, _, header = inspect_weights(path)
    _refuse_unfinite(path, _tensors(path, header))


def inspect_weights(path: Path, stage: str | None = None) -> tuple[Architecture, Sizes, Header]:
    """What a file holds, by its header alone: architecture, sizes, and the header.

    Raises:
        WeightsError: it is cut short, no safetensors file, of no known architecture, or lacks or adds a tensor.
    """
    return _inspected(path, stage)[:3]


def _inspected(path: Path, stage: str | None) -> tuple[Architecture, Sizes, Header, nn.Module]:
    """The same, and the network that is to be filled."""
    header = read_header(path)
    architecture, sizes = recognise(header.shapes, header.metadata, stage, str(path))
    try:
        network = build(architecture, sizes, numbers_in(header.shapes))
    except IMPOSSIBLE as error:
        raise WeightsError(
            f"{path} would be a {architecture.name} of sizes {str(sizes)[:200]}, which cannot be ({str(error)[:200]}). "
            "Choose another file."
        ) from error
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    wrong = differences(expected, header.shapes, architecture.optional)
    if wrong:
        raise WeightsError(
            f"{path} does not fit {architecture.name}: {listed(wrong)}. It was made by another version or is damaged; "
            "choose matching weights, or fetch it again."
        )
    return architecture, sizes, header, network


def _tensors(path: Path, header: Header) -> dict[str, torch.Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            # Without `data` each is a view whose base would stay, and with it the mapping, when `map_anew` puts another
            # tensor's data in its place.
            return {name: file.get_tensor(name).data for name in header.shapes}
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise WeightsError(
            f"{path} cannot be read as safetensors ({error}); it is cut short or not a weights file. Fetch it again."
        ) from error


def _refuse_unfinite(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    for name, value in tensors.items():
        # The extremes show it too, for among them is what is not a number, and they need no further large tensors.
        if value.is_floating_point() and value.numel() and not torch.stack(value.aminmax()).isfinite().all():
            raise WeightsError(f"{path} holds values that are not finite, first in {name!r}. Fetch or train it again.")


def save_network(network: nn.Module, path: Path, config: dict[str, Any], half: bool = False, **metadata: str) -> None:
    """Write weights whole or not at all: to a temporary file beside `path`, then renamed.

    Args:
        network: what to save; its class name becomes the architecture.
        path: the safetensors file to write.
        config: keyword arguments that build the same network again.
        half: store floating point values as float16 (they are loaded as float32).
        metadata: further facts, kept in the file's header.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        key: (value.half() if half and value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in network.state_dict().items()
    }
    header = {"architecture": type(network).__name__, "config": json.dumps(config), **metadata}
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        save_file(tensors, temporary, metadata=header)
        os.chmod(temporary, 0o644)  # others may read what they could read before; safetensors keeps it to the writer
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
