"""What every training needs: arguments, checkpoints that are whole, averages, schedules, weights files."""

import copy
import math
import os
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from ..loading import WEIGHTS_FOLDER, pin_card, save_network
from .devices import add_device_arguments, start_fabric


def add_common_arguments(parser, steps: int, output: str) -> None:
    """Arguments that all training commands share."""
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv, clips/, photos/, speech/")
    parser.add_argument("--output", type=Path, default=Path(output), help="folder for checkpoint, log and weights")
    parser.add_argument("--steps", type=int, default=steps, help="optimiser steps in all (default: %(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --output")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, order and augmentation")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")
    parser.add_argument("--install", action="store_true", help="put the weights and their card into the package, too")
    add_device_arguments(parser)


def prepare(arguments) -> None:
    """Make the output folder, set threads and seed."""
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)


def launch(arguments) -> Any:
    """The devices of a training (Lightning Fabric), everything prepared."""
    fabric = start_fabric(arguments.accelerator, arguments.devices)
    prepare(arguments)
    return fabric


def settings_of(arguments, *names: str) -> dict[str, Any]:
    """The options that must be the same when a training goes on: the seed and `names`."""
    return {name: getattr(arguments, name) for name in ("seed", *names)}


def write_weights(
    arguments, stage: str, network: nn.Module, config: dict[str, Any], card: dict[str, Any] | None = None
) -> None:
    """Write a stage's weights file into the output folder, and with --install into the package, with its card.

    Args:
        arguments: of the training.
        stage: name of the file.
        network: what comes out.
        config: keyword arguments that build it again.
        card: facts for --install.
    """
    for folder in [arguments.output, *([WEIGHTS_FOLDER] if arguments.install else [])]:
        save_network(network, folder / f"{stage}.safetensors", config, half=True)
    if arguments.install:
        pin_card(stage, card or {})


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all."""
    temporary = path.with_name(path.name + ".part")
    torch.save(state, temporary)
    os.replace(temporary, path)


def load_checkpoint(path: Path, option: str = "--resume") -> dict[str, Any]:
    """Read a checkpoint of this project, which an option asks for.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    if not path.is_file():
        raise InputError(
            f"{option} found no checkpoint at {path}; start without {option}, or name the place where an earlier "
            "training wrote its checkpoint.pt."
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise InputError(
            f"{path} cannot be read as a checkpoint: it was cut short or is another kind of file. Give {option} the "
            "checkpoint.pt of a training of this project."
        ) from error


class Average:
    """Exponential moving average of a network's weights; buffers are copied."""

    def __init__(self, network: nn.Module, decay: float = 0.998) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards `network`; faster at the start, where the average is still old."""
        decay = min(self.decay, (step + 1) / (step + 10))
        for mine, theirs in zip(self.network.parameters(), network.parameters(), strict=True):
            mine.lerp_(theirs, 1 - decay)
        for mine, theirs in zip(self.network.buffers(), network.buffers(), strict=True):
            mine.copy_(theirs)


def cosine(step: int, steps: int, warmup: int = 100, flat: float = 0.0, floor: float = 0.02) -> float:
    """Factor of the learning rate: warm-up, flat until a share of the steps, then half a cosine down to `floor`."""
    if step < warmup:
        return (step + 1) / warmup
    start = max(warmup, flat * steps)
    progress = min(1.0, max(0.0, (step - start) / max(1, steps - start)))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
