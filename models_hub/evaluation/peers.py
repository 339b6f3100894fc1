"""The authors' own code beside ours, with the same weights, in one run: speed, memory, and how much they differ.

Nothing of that code is part of this project: it is imported from a folder that the user fetched. What it needs and
nobody has any more (Python 2 words, calls to a GPU, packages that this part never uses) is put right in memory.
"""

import importlib
import importlib.machinery
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError

MCNET_SIZES = {
    "common": {"num_channels": 3, "num_kp": 15, "estimate_jacobian": True},
    "detector": {
        "temperature": 0.1,
        "block_expansion": 32,
        "max_features": 1024,
        "scale_factor": 0.25,
        "num_blocks": 5,
    },
    "generator": {
        "block_expansion": 64,
        "max_features": 512,
        "num_down_blocks": 3,
        "num_bottleneck_blocks": 6,
        "estimate_occlusion_map": True,
        "dense_motion_params": {"block_expansion": 64, "max_features": 1024, "num_blocks": 5, "scale_factor": 0.25},
        "mbunit": "ExpendMemoryUnit",
        "mb_spatial": 32,
        "mb_channel": 512,
    },
}
"""The published recipe (seed 01, section 1)."""

PATCHES = (
    (r"\bxrange\b", "range"),
    (r"\.cuda\(\)", ""),
    (r"\bngf/2\b", "ngf//2"),
    (r"\bcollections\.Iterable\b", "__import__('collections.abc', fromlist=['x']).Iterable"),
    (r"^from torch\.nn\._functions\.thnn import .*$", ""),
)

UNUSED = ("torchvision", "torchvision.models", "torchdiffeq", "curses", "curses.ascii")
"""Packages that the authors' modules import and that inference never touches."""


class _Patched(importlib.machinery.SourceFileLoader):
    """A module of the authors with PATCHES applied while it is read; their files stay as they are."""

    def get_code(self, fullname: str) -> Any:
        text = Path(self.path).read_text(encoding="utf-8")
        for pattern, replacement in PATCHES:
            text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
        return compile(text, self.path, "exec")


class _Finder:
    """Finds the authors' modules in their folder, before all others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        place = self.folder.joinpath(*name.split("."))
        if place.with_suffix(".py").is_file():
            file = place.with_suffix(".py")
            return importlib.util.spec_from_file_location(name, file, loader=_Patched(name, str(file)))
        if (place / "__init__.py").is_file():
            file = place / "__init__.py"
            loader = _Patched(name, str(file))
            return importlib.util.spec_from_file_location(
                name, file, loader=loader, submodule_search_locations=[str(place)]
            )
        return None


class _Nothing(ModuleType):
    """A package that is imported but not used."""

    __path__: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing(f"{self.__name__}.{name}")

    def __call__(self, *arguments: Any, **named: Any) -> "_Nothing":
        return self


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Import the authors' modules by their own names, and forget the names afterwards."""
    before, finder = dict(sys.modules), _Finder(folder)
    sys.meta_path.insert(0, finder)
    for name in UNUSED:
        sys.modules[name] = _Nothing(name)
    try:
        yield
    except ImportError as error:
        raise InputError(
            f"The code in {folder} needs the package {error.name!r}; run  pip install {error.name}  and try again."
        ) from error
    finally:
        sys.meta_path.remove(finder)
        # Only these: what else was imported meanwhile (parts of torch) must stay, for it cannot be imported twice.
        own = [name for name, module in sys.modules.items() if _lies_in(module, folder) or name in UNUSED]
        for name in own:
            del sys.modules[name]
            if name in before and name not in UNUSED:
                sys.modules[name] = before[name]
        sys.modules.update({name: before[name] for name in UNUSED if name in before})


def _lies_in(module: Any, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return bool(file) and Path(file).is_relative_to(folder)


@dataclass
class Peer:
    """One published system in the authors' code.

    Attributes:
        name: "mcnet" or "atvgnet".
        networks: theirs by the names of their files or keys, with random weights.
        run: their inference; takes (networks, inputs) and gives frames.
    """

    name: str
    networks: dict[str, nn.Module]
    run: Callable[[dict[str, nn.Module], dict[str, Tensor]], Tensor]


def load_peer(path: str | Path) -> Peer:
    """The system whose code lies in a folder, in eval mode with random weights.

    Args:
        path: a checkout of harlanhong/ICCV2023-MCNET or lelechen63/ATVGnet.

    Raises:
        InputError: it is neither, or a package that it needs is missing.
    """
    folder = Path(path).expanduser().resolve()
    if (folder / "modules" / "generator.py").is_file() and (folder / "modules" / "keypoint_detector.py").is_file():
        return _mcnet(folder)
    for place in (folder / "code", folder):
        if (place / "models.py").is_file() and (place / "convolutional_rnn").is_dir():
            return _atvgnet(place)
    raise InputError(
        f"{folder} holds neither MCNet (modules/generator.py) nor ATVGnet (code/models.py); give a checkout of "
        "harlanhong/ICCV2023-MCNET or of lelechen63/ATVGnet."
    )


def _mcnet(folder: Path) -> Peer:
    with _importing_from(folder):
        generators = importlib.import_module("modules.generator")
        detectors = importlib.import_module("modules.keypoint_detector")
        sizes = MCNET_SIZES
        generator = generators.Unet_Generator_keypoint_aware(**sizes["generator"], **sizes["common"])
        detector = detectors.KPDetector(**sizes["detector"], **sizes["common"])
    with torch.no_grad():
        generator.mbUnit.conv_kv.bias.zero_()  # left uninitialised by the authors
    networks = {"generator": generator.eval(), "kp_detector": detector.eval()}
    return Peer("mcnet", networks, _run_mcnet)


def _run_mcnet(networks: dict[str, nn.Module], inputs: dict[str, Tensor]) -> Tensor:
    """As their demo does: the source's keypoints once, then everything for each batch of frames."""
    source, detector = inputs["source"], networks["kp_detector"]
    if "keypoints" not in inputs:
        inputs["keypoints"] = detector(source)
    count = len(inputs["driving"])
    keypoints = {name: value.expand(count, *value.shape[1:]) for name, value in inputs["keypoints"].items()}
    pictures = source.expand(count, -1, -1, -1)
    return networks["generator"](pictures, kp_source=keypoints, kp_driving=detector(inputs["driving"]))["prediction"]


def _atvgnet(folder: Path) -> Peer:
    with _importing_from(folder):
        models = importlib.import_module("models")
        networks = {"at": models.AT_net().eval(), "vg": models.VG_net().eval()}
    return Peer("atvgnet", networks, _run_atvgnet)


def _run_atvgnet(networks: dict[str, nn.Module], inputs: dict[str, Tensor]) -> Tensor:
    """As their demo does, from MFCC windows to frames (T, 3, 128, 128)."""
    basis, mean = inputs["basis"], inputs["mean"]
    coefficients = networks["at"](inputs["example"], inputs["windows"])[0]
    landmarks = (coefficients * inputs["exaggeration"]) @ basis.T + mean
    example = inputs["example"] @ basis.T + mean
    return networks["vg"](inputs["image"], landmarks[None], example)[0][0]
