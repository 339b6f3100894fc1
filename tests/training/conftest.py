"""Trainings on a device that is not the CPU."""

import contextlib

import pytest
import torch
from articulate.models_hub.training import fit


class Elsewhere:
    """What a training asks of Lightning Fabric, as the second of two processes: it learns and writes nothing."""

    device, world_size, global_rank, is_global_zero = torch.device("meta"), 1, 1, False
    rank_zero_first = staticmethod(contextlib.nullcontext)


@pytest.fixture
def elsewhere(meta_device, monkeypatch):
    """Lets trainings run on the meta device."""
    monkeypatch.setattr(fit, "start_fabric", lambda *_: Elsewhere)
    return Elsewhere
