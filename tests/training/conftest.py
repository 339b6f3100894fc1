"""Footage to learn from, and a device that is not the CPU."""

import contextlib

import numpy as np
import pytest
import torch
from articulate.models_hub.training import fit
from articulate.models_hub.training.footage import Footage


class Elsewhere:
    """What a training asks of Lightning Fabric, as the second of two processes: it learns and writes nothing."""

    device, world_size, global_rank, is_global_zero = torch.device("meta"), 1, 1, False
    rank_zero_first = staticmethod(contextlib.nullcontext)


@pytest.fixture
def elsewhere(meta_device, monkeypatch):
    """Lets trainings run on the meta device."""
    monkeypatch.setattr(fit, "start_fabric", lambda *_: Elsewhere)
    return Elsewhere


@pytest.fixture(scope="module")
def footage():
    """Two clips of random frames; in each the mouth opens wider from frame to frame."""
    random = np.random.default_rng(0)
    base = random.uniform(-0.4, 0.4, (68, 2)).astype(np.float32)
    base[36:42], base[42:48] = (-0.2, -0.1), (0.2, -0.1)
    points = np.repeat(base[None], 24, 0)
    points[:, 66, 1] = points[:, 62, 1] + 0.01 * np.tile(np.arange(12), 2)
    points[:, 66, 0] = points[:, 62, 0]
    frames = random.integers(0, 255, (24, 256, 256, 3), dtype=np.uint8)
    return Footage(frames, points, np.array([0, 12]), np.array([12, 12]), ["a", "b"], ["ann", "bob"])
