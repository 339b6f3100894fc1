"""What a fit looks at while it runs: held-back frames, made from a learned one."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ..evaluation.reenactment import region_box
from .batches import pictures, reference_frame
from .material import Take
from .render import render

WATCHED = 10
"""Held-back frames that are looked at."""


@torch.no_grad()
def mouth_error(networks: Any, learned: list[Take], held: list[Take], device: torch.device | str = "cpu") -> float:
    """Mouth-region L1 (0..1) on held-back frames, driven from the learned frame with the most closed mouth."""
    take, index = reference_frame(learned)
    errors = []
    for other, target in watched_frames(held):
        made = drive_frame(networks, take, index, other.points[target], device)
        rows, columns = region_box(other.points[target], made.shape[-1])
        real = pictures(other, [target])[0]
        errors.append(float((made - real).abs()[:, rows, columns].mean()))
    return sum(errors) / len(errors)


def watched_frames(takes: list[Take], count: int = WATCHED) -> list[tuple[Take, int]]:
    """Some frames spread evenly over takes."""
    every = [(take, index) for take in takes for index in range(len(take))]
    places = torch.linspace(0, len(every) - 1, min(count, len(every))).round().long()
    return [every[int(place)] for place in places]


def unadapted(networks: nn.ModuleDict) -> nn.ModuleDict:
    """A copy whose adapters do nothing."""
    plain = copy.deepcopy(networks)
    for name, value in plain.named_parameters():
        if name.endswith(".up") and "parametrizations" in name:
            value.data.zero_()
    return plain


@torch.no_grad()
def drive_frame(networks: Any, take: Take, index: int, points: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """One whole frame (3, 256, 256) of a take's frame driven to points (68, 2)."""
    source = pictures(take, [index]).to(device)
    one, corner = torch.zeros(1, dtype=torch.long, device=device), torch.zeros(1, 2)
    known = take.points[index : index + 1].to(device)
    rendered = render(networks, source, known, points[None].to(device), one, corner, 1.0)
    return rendered.made[0].float().cpu()
