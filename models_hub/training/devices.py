"""Where a training runs: a CPU, a GPU or several of either, by Lightning Fabric.

What is random is drawn on the CPU, from numbers that the seed, the step and the place of the device give, and moved
afterwards; so a batch is the same on every kind of device.
"""

import copy
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import nn

from ..errors import InputError
from ..stages.ahead import made_ahead
from ..stages.inference import half_precision

T = TypeVar("T")
AHEAD = 4  # threads that make batches while a GPU learns from earlier ones


def add_device_arguments(parser: ArgumentParser) -> None:
    """Options of every training that runs on devices."""
    parser.add_argument(
        "--accelerator", default="auto", help="cpu, cuda, mps, or auto: the best one there is (default: %(default)s)"
    )
    parser.add_argument(
        "--devices", default="1", help="how many of them, or auto for all (default: %(default)s); torchrun works too"
    )


def start_fabric(accelerator: str, devices: str, precision: str = "32-true") -> Any:
    """Lightning Fabric on the devices that were asked for, launched.

    Args:
        accelerator: "auto", "cpu", "cuda" and others of Fabric's.
        devices: how many, or "auto".
        precision: as Fabric names them.

    Raises:
        InputError: Fabric is not installed, or the devices do not exist.
    """
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise InputError(
            f"Training needs the package lightning-fabric, which cannot be imported ({error}); "
            "pip install lightning-fabric."
        ) from error
    count = int(devices) if str(devices).lstrip("-").isdigit() else devices
    try:
        fabric = Fabric(accelerator=accelerator, devices=count, precision=precision)
        fabric.launch()
    except (ValueError, RuntimeError, TypeError) as error:
        raise InputError(
            f"Devices {devices!r} ({accelerator}, {precision}) cannot be used: "
            f"{str(error).splitlines()[0]}; try --devices 1 --accelerator cpu --precision 32-true."
        ) from error
    return fabric


def place(network: nn.Module, device: torch.device) -> nn.Module:
    """A network on a device, its convolutions in the memory format that is fast there."""
    if device.type == "cuda":
        return network.to(device, memory_format=torch.channels_last)
    return network.to(device)


def on_cpu(network: nn.Module) -> nn.Module:
    """A network to look at with, on the CPU: the network itself where it is there already, else a copy."""
    there = all(value.device.type == "cpu" for value in network.parameters())
    return network if there else copy.deepcopy(network).cpu()


def half(device: torch.device, wanted: bool = True) -> torch.autocast:
    """Autocast to bfloat16, where that is wanted and the device has it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted and half_precision(device))


def workers_for(device: torch.device) -> int:
    """How many threads make batches ahead: on a CPU none, which would only take time from the learning."""
    return 0 if device.type == "cpu" else AHEAD


def batches_ahead(make: Callable[[int], T], first: int, steps: int, workers: int) -> Iterator[T]:
    """The batches of the steps from `first` on, made in threads while a GPU is busy with earlier ones.

    Args:
        make: step -> batch. It must draw nothing from generators that others draw from.
        first, steps: the step to begin with, and how many there are in all.
        workers: see `workers_for`; with 0 each batch is made when it is asked for.
    """
    return made_ahead((map(make, (step,)) for step in range(first, steps)), workers)
