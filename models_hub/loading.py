"""Weights file -> network.

A weights file is safetensors. Its metadata names the architecture and its sizes,
`{"architecture": "...", "config": "<json>"}`; `save_network` writes both. The embedded defaults lie
in `weights/` and are pinned by `cards.toml` (bytes and sha256).
"""

import hashlib
import json
import os
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from .errors import WeightsError

EMBEDDED = "embedded"
WEIGHTS_FOLDER = Path(__file__).parent / "weights"


def _architectures() -> dict[str, type[nn.Module]]:
    from .networks.audio_to_lip import AudioToLip
    from .networks.critics import DifferenceCritic, FrameCritic
    from .networks.face_finder import FaceFinder
    from .networks.generator import FrameGenerator
    from .networks.landmark_estimator import LandmarkEstimator
    from .networks.landmark_predictor import LandmarkPredictor
    from .networks.sync_critic import SyncCritic
    from .networks.warper import MemoryWarper

    classes = (
        AudioToLip,
        DifferenceCritic,
        FaceFinder,
        FrameCritic,
        FrameGenerator,
        LandmarkEstimator,
        LandmarkPredictor,
        MemoryWarper,
        SyncCritic,
    )
    return {cls.__name__: cls for cls in classes}


def cards() -> dict[str, dict[str, Any]]:
    """The table of known weights, by name (see cards.toml); read anew when the file has changed."""
    return _read_cards(_cards_file().stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _read_cards(_modified: int) -> dict[str, dict[str, Any]]:
    return tomllib.loads(_cards_file().read_text(encoding="utf-8"))


def weights_path(stage: str, weights: str = EMBEDDED) -> Path:
    """Where the weights of a stage lie.

    Args:
        stage: name of the stage, which is the name of its embedded file ("warper", "generator", ...).
        weights: "embedded", or the path of a safetensors file.

    Raises:
        WeightsError: there is no such file.
    """
    path = WEIGHTS_FOLDER / f"{stage}.safetensors" if weights == EMBEDDED else Path(weights).expanduser()
    if not path.is_file():
        cure = "clone or install the project again" if weights == EMBEDDED else f'use "{EMBEDDED}" or an existing file'
        raise WeightsError(f"The weights of stage {stage!r} were looked for at {path}, where there is no file; {cure}.")
    return path


def load_network(stage: str, weights: str = EMBEDDED) -> nn.Module:
    """The network of a stage, in eval mode on the CPU, ready to use; loaded once per file version.

    Args:
        stage, weights: as for `weights_path`.

    Raises:
        WeightsError: the file is missing, cut short, altered, or of another architecture.
    """
    path = weights_path(stage, weights)
    state = path.stat()
    return _load(path, stage if weights == EMBEDDED else None, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=32)
def _load(path: Path, card: str | None, size: int, _modified: int) -> nn.Module:
    if card is not None:
        _verify(path, card, size)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} cannot be read as safetensors ({error}); it is cut short or not a weights file. Fetch it again."
        ) from error
    name = metadata.get("architecture", "")
    known = _architectures()
    if name not in known:
        raise WeightsError(
            f"{path} says its architecture is {name or 'nothing'!r}; known are {', '.join(sorted(known))}. "
            "Choose a weights file made for this stage."
        )
    network = known[name](**json.loads(metadata.get("config", "{}")))
    expected = network.state_dict()
    wrong = [key for key in expected if key not in tensors or tensors[key].shape != expected[key].shape]
    surplus = [key for key in tensors if key not in expected]
    if wrong or surplus:
        raise WeightsError(
            f"{path} does not fit {name}: missing or misshapen {wrong[:4]}, unknown {surplus[:4]}. "
            "It was made by another version; choose matching weights."
        )
    broken = [key for key, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise WeightsError(f"{path} holds values that are not finite, first in {broken[0]!r}. Fetch or train it again.")
    network.load_state_dict({key: value.to(expected[key].dtype) for key, value in tensors.items()})
    return network.eval().requires_grad_(False)


def _verify(path: Path, card: str, size: int) -> None:
    pinned = cards().get(card)
    if pinned is None:
        raise WeightsError(f"{path} has no entry [{card}] in cards.toml, so it cannot be trusted. Add its card.")
    if size != pinned["bytes"] or sha256(path) != pinned["sha256"]:
        raise WeightsError(
            f"{path} has {size} bytes and is not the file that its card describes ({pinned['bytes']} bytes, sha256 "
            f"{pinned['sha256'][:12]}...): it is cut short or was altered. Restore it (git checkout) or fetch it again."
        )


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    temporary = path.with_name(path.name + ".part")
    try:
        save_file(tensors, temporary, metadata=header)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def pin_card(stage: str, facts: dict[str, Any]) -> None:
    """Write bytes, sha256 and `facts` of an embedded file into cards.toml, keeping the other cards."""
    path = WEIGHTS_FOLDER / f"{stage}.safetensors"
    table = dict(tomllib.loads(_cards_file().read_text(encoding="utf-8"))) if _cards_file().exists() else {}
    table[stage] = {**table.get(stage, {}), **facts, "bytes": path.stat().st_size, "sha256": sha256(path)}
    lines = ["# Every embedded weights file. Written by the training commands (loading.pin_card).", ""]
    for name in sorted(table):
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table[name].items()]
        lines.append("")
    temporary = _cards_file().with_suffix(".part")
    temporary.write_text("\n".join(lines), encoding="utf-8")
    os.replace(temporary, _cards_file())


def _cards_file() -> Path:
    return Path(__file__).parent / "cards.toml"
