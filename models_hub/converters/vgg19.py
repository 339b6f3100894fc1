"""Published VGG-19 weights -> the convolutions that the perceptual loss looks through.

`timm/vgg19.tv_in1k` on the Hub (model.safetensors, BSD-3-Clause) and torchvision's `vgg19-dcbb9e9d.pth` name them
alike.
"""

import re
from pathlib import Path

import torch
from safetensors import safe_open

from ..errors import WeightsError
from ..files import known_sha256
from ..header import read_header
from ..loading import save_network
from ..networks.vgg19 import Vgg19
from .checkpoint import State, fill_network, plain_state, read_checkpoint

LAST = 28
"""Number of the last convolution that is needed, relu5_1's."""


def convert_vgg19(path: str | Path, output: str | Path) -> Path:
    """Keep the convolutions up to relu5_1.

    Args:
        path: the published file, .safetensors or .pth.
        output: the safetensors file to write.

    Raises:
        WeightsError: it is not VGG-19.
    """
    path, output = Path(path).expanduser(), Path(output).expanduser()
    if path.suffix == ".safetensors":
        read_header(path)
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys() if _is_wanted(name)}  # noqa: SIM118
        digest = known_sha256(path)
    else:
        content, digest = read_checkpoint(path)
        state = {name: value for name, value in content.items() if _is_wanted(name)}
    if not state:
        raise WeightsError(f"{path} has no tensors features.N; it is not VGG-19 as timm or torchvision publish it.")
    save_network(_filled(plain_state(state, str(path)), path), output, {}, source_file=path.name, source_sha256=digest)
    return output


def _filled(state: State, path: Path) -> torch.nn.Module:
    return fill_network(Vgg19(), state, str(path))


def _is_wanted(name: str) -> bool:
    match = re.fullmatch(r"features\.(\d+)\.(weight|bias)", name)
    return match is not None and int(match[1]) <= LAST
