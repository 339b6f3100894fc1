"""Low-rank adapters: a trained network and a small change of it, W + up down (LoRA, Hu et al. 2021).

`adapt` puts adapters into a network for training. A `Personal` network is what is stored: the network as it was, the
adapters, and codes of the face they were tuned to. For that face the change is merged into plain weights; for other
faces the network is, bit for bit, the one it was.
"""

import copy
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from .generator import FrameGenerator
from .warper import MemoryWarper

SMALLEST = 64  # weights with fewer numbers are left as they are
REFERENCES, CODE = 16, 32  # face codes that are kept, and their length
SHUT, OPEN = 0.85, 0.93
"""Likeness to the tuned face below which the change does nothing, and above which it is whole. Faces of 15 unseen
people are at most 0.84 alike; nine tenths of a person's later frames at least 0.89."""


class LowRank(nn.Module):
    """A change of one weight.

    Args:
        shape: of the weight; the first dimension is kept, the others count as one.
        rank: of the change.
    """

    def __init__(self, shape: tuple[int, ...], rank: int) -> None:
        super().__init__()
        inputs = math.prod(shape[1:])
        rank = min(rank, shape[0], inputs)
        self.down = nn.Parameter(torch.randn(rank, inputs) / inputs**0.5)
        self.up = nn.Parameter(torch.zeros(shape[0], rank))

    def change(self, weight: Tensor) -> Tensor:
        """What is added to a weight."""
        return (self.up @ self.down).view_as(weight)

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.change(weight)


def adaptable(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The convolutions and linear layers that can be adapted, with their names; condensers are new and learn whole."""
    for name, module in network.named_modules():
        if "condense_" in name or not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        if module.weight.numel() > SMALLEST:
            yield name, module


def adapt(network: nn.Module, rank: int, prefixes: tuple[str, ...] = ("",)) -> list[nn.Parameter]:
    """Put adapters into a network, in place; it computes what it did before.

    Args:
        network: whose own weights are frozen.
        rank: of every change.
        prefixes: names of the parts that get adapters.

    Returns:
        The adapters' parameters.
    """
    network.requires_grad_(False)
    trained = []
    for name, module in list(adaptable(network)):
        if name.startswith(prefixes):
            adapter = LowRank(tuple(module.weight.shape), rank)
            parametrize.register_parametrization(module, "weight", adapter)
            trained += list(adapter.parameters())
    return trained


class Personal:
    """What makes a network personal; mixed into a network's class. See `personal_class`."""

    base: type[nn.Module]

    def add_adapters(self, rank: int) -> None:
        """Make place for the adapters of all layers, and for the face codes."""
        layers = list(adaptable(self))
        self.rank = rank
        self.adapters = nn.ModuleDict(
            {name.replace(".", "-"): LowRank(tuple(module.weight.shape), rank) for name, module in layers}
        )
        self.register_buffer("references", torch.zeros(REFERENCES, CODE))
        self._merged: dict[float, nn.Module] = {}

    def likeness(self, code: Tensor) -> float:
        """Largest cosine of a face code (32,) with the tuned face's."""
        return float((self.references @ code).max())

    def for_face(self, code: Tensor) -> nn.Module:
        """The plain network for a face: changed for the tuned one, as it was for others, between in between."""
        share = min(1.0, max(0.0, (self.likeness(code) - SHUT) / (OPEN - SHUT)))
        share = round(20 * share) / 20  # few different networks, so that they can be kept
        if share not in self._merged:
            self._merged[share] = self.merged(share)
        return self._merged[share]

    @torch.no_grad()
    def merged(self, share: float) -> nn.Module:
        """The plain network with a share of the change in its weights."""
        plain = self.base(**self.sizes)
        plain.load_state_dict({key: value for key, value in self.state_dict().items() if key in plain.state_dict()})
        for name, module in adaptable(plain):
            if share:
                module.weight += share * self.adapters[name.replace(".", "-")].change(module.weight)
        for name, value in plain.named_parameters():
            if name.endswith(".strength"):  # of condensers, which are of the person too
                value *= share
        return plain.eval().requires_grad_(False)

    def __deepcopy__(self, memo: dict) -> nn.Module:
        copied = type(self)(rank=self.rank, **self.sizes)
        copied.load_state_dict(copy.deepcopy(self.state_dict(), memo))
        return copied.train(self.training)


class PersonalGenerator(Personal, FrameGenerator):
    """A frame generator tuned to a person.

    Args:
        rank: of the adapters.
        sizes: as for `FrameGenerator`.
    """

    base = FrameGenerator

    def __init__(self, rank: int = 8, **sizes) -> None:
        super().__init__(**sizes)
        self.sizes = sizes
        self.add_adapters(rank)


class PersonalWarper(Personal, MemoryWarper):
    """A warper tuned to a person.

    Args:
        rank: of the adapters.
        sizes: as for `MemoryWarper`.
    """

    base = MemoryWarper

    def __init__(self, rank: int = 8, **sizes) -> None:
        super().__init__(**sizes)
        self.sizes = sizes
        self.add_adapters(rank)


def personal(network: nn.Module, tuned: nn.Module, references: Tensor, sizes: dict, rank: int) -> nn.Module:
    """The personal network behind a training.

    Args:
        network: as it was before.
        tuned: the same with adapters from `adapt` in it (in some layers, or none); its condensers are taken over.
        references: (n, 32) face codes, n up to 16.
        sizes: keyword arguments of the network's class.
        rank: of the adapters.
    """
    kind = PersonalGenerator if isinstance(network, FrameGenerator) else PersonalWarper
    made = kind(rank=rank, **sizes)
    state = made.state_dict()
    state |= {key: value for key, value in network.state_dict().items() if key in state}
    state |= {key: value for key, value in tuned.state_dict().items() if "condense" in key and key in state}
    made.load_state_dict(state)
    layers = dict(tuned.named_modules())
    with torch.no_grad():
        for name, adapter in made.adapters.items():
            trained = layers[name.replace("-", ".")]
            if parametrize.is_parametrized(trained, "weight"):
                adapter.load_state_dict(trained.parametrizations.weight[0].state_dict())
            else:
                adapter.down.zero_()
        rows = references[:REFERENCES]
        made.references.copy_(rows[torch.arange(REFERENCES) % len(rows)])
    return made.eval().requires_grad_(False)
