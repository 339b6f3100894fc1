"""A device that is not the CPU, on every machine: torch's meta device, which has shapes and types but no numbers.

What mixes devices fails on it as it would on a GPU. Numbers that are asked of it are made up.
"""

import contextlib

import pytest
import torch
from articulate.models_hub.training import fit


class Elsewhere:
    """What a training asks of Lightning Fabric, as the second of two processes: it learns and writes nothing."""

    device, world_size, global_rank, is_global_zero = torch.device("meta"), 1, 1, False
    rank_zero_first = staticmethod(contextlib.nullcontext)


@pytest.fixture
def elsewhere(monkeypatch):
    """Lets trainings run on the meta device."""
    from torch.fx.experimental import _config

    def answer(name, made_up):
        plain = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor,
            name,
            lambda self, *rest: made_up(self) if self.device.type == "meta" else plain(self, *rest),
        )

    class Autocast(torch.autocast):
        def __new__(cls, device_type, *rest, **options):
            return contextlib.nullcontext() if device_type == "meta" else super().__new__(cls)

    for name, value in (("item", 1.0), ("__float__", 1.0), ("__bool__", True)):
        answer(name, lambda _, value=value: value)
    answer("cpu", lambda tensor: torch.zeros_like(tensor, device="cpu"))
    monkeypatch.setattr(torch, "autocast", Autocast)
    monkeypatch.setattr(_config, "meta_nonzero_assume_all_nonzero", True, raising=False)
    monkeypatch.setattr(fit, "start_fabric", lambda *_: Elsewhere)
    return Elsewhere
