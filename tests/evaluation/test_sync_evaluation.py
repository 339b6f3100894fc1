"""The sync critic's figures: perfect for a critic that knows, chance for one that does not."""

import numpy as np
import pytest
import torch
from articulate.models_hub.evaluation import sync
from articulate.models_hub.training.sync_critic import Lips


class Knows(torch.nn.Module):
    """Sound and lips of frame t are both the number t."""

    def hear(self, mel):
        return torch.nn.functional.one_hot(mel[:, 10, 0].long(), 256).float()

    def see(self, lips):
        return torch.nn.functional.one_hot((lips[:, 2, 0, 0] * 255).round().long(), 256).float()


class Guesses(Knows):
    def hear(self, mel):
        return torch.rand(len(mel), 256, generator=torch.Generator().manual_seed(len(mel)))


@pytest.mark.parametrize("late", [0, 1, 5])
def test_figures_follow_what_the_critic_knows(monkeypatch, late):
    numbers = torch.arange(100)
    crops = (numbers - late).clamp(0)[:, None, None].expand(100, 32, 64).byte()
    clip = Lips("ann", crops, numbers.repeat_interleave(4)[:, None].expand(400, 64).float())
    monkeypatch.setattr(sync, "read_lips", lambda data, split: [clip])
    monkeypatch.setattr(sync, "load_network", lambda stage, weights: Knows())
    figures = sync.evaluate_sync(None, "val")
    assert figures["sync_offset_within_one"] == figures["sync_offset_within_one_second"] == (late <= 1)
    assert (figures["sync_shift_accuracy"] == 1) == (late == 0)
    monkeypatch.setattr(sync, "load_network", lambda stage, weights: Guesses())
    figures = sync.evaluate_sync(None, "val")
    assert all(np.isfinite(value).all() for value in figures.values()) and figures["sync_shift_accuracy_second"] < 0.95
    windows = sync.sync_windows(None, "val")
    assert set(windows) == set(sync.WINDOWS)
    assert all(0 <= right <= 1 and 0 <= near <= 1 and count > 0 for right, near, count in windows.values())
    monkeypatch.setattr(sync, "load_network", lambda stage, weights: Knows())
    for right, near, _ in sync.sync_windows(None, "val").values():
        assert near == (late <= 1) and (right == 1) == (late == 0)


def test_intervals_are_of_people(monkeypatch):
    """Ann's sound is five frames late, Bob's is not: a figure may be anything from none to all."""
    numbers = torch.arange(100)
    mel = numbers.repeat_interleave(4)[:, None].expand(400, 64).float()
    clips = []
    for person, late in (("ann", 5), ("bob", 0)):
        crops = (numbers - late).clamp(0)[:, None, None].expand(100, 32, 64).byte()
        clips.append(Lips(person, crops, mel))
    monkeypatch.setattr(sync, "read_lips", lambda data, split: clips)
    monkeypatch.setattr(sync, "load_network", lambda stage, weights: Knows())
    figures = sync.evaluate_sync(None, "val")
    assert figures["sync_offset_within_one"] == 0.5
    assert figures["sync_offset_within_one_interval"] == figures["sync_offset_within_one_second_interval"] == [0, 1]
    monkeypatch.setattr(sync, "read_lips", lambda data, split: [clips[1], clips[1]])
    assert sync.evaluate_sync(None, "val")["sync_offset_within_one_interval"] == [1, 1]
