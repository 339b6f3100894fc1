"""What the sync critic learns from: true windows of one moment, false ones far enough away."""

from argparse import ArgumentParser

import numpy as np
import pytest
import torch
from articulate.models_hub.networks.sync_critic import SyncCritic
from articulate.models_hub.training import sync_critic
from articulate.models_hub.training.sync_critic import Groups, Lips, shifted, sync_loss, validation


def clip(frames=60, person="a"):
    """Frame t is grey level t, and its four mel frames hold the value t."""
    crops = torch.arange(frames, dtype=torch.uint8)[:, None, None].expand(frames, 32, 64).contiguous()
    mel = torch.arange(frames).repeat_interleave(4)[:, None].expand(-1, 64).float()
    return Lips(person, crops, mel)


def test_windows_are_centred_on_the_same_moment():
    mel, lips = clip().windows(np.array([10, 30]), np.array([10, 30]))
    assert mel.shape == (2, 20, 64) and lips.shape == (2, 5, 32, 64)
    assert mel.mean((1, 2)).tolist() == [10, 30]
    torch.testing.assert_close(lips[:, 2, 0, 0] * 255, torch.tensor([10.0, 30.0]))


def test_moments_of_a_clip_lie_apart_and_keep_their_sound():
    mel, lips = Groups([clip(), clip(90, "b")], np.random.default_rng(0))(4, 9)
    assert mel.shape == (36, 20, 64) and lips.shape == (36, 5, 32, 64)
    moments = mel.mean((1, 2))
    torch.testing.assert_close(lips[:, 2, 0, 0] * 255, moments)
    for of_clip in moments.view(4, 9).sort(dim=1).values:
        assert of_clip.diff().min() >= 4


@pytest.mark.parametrize("length", [12, 40, 200])
def test_a_false_moment_lies_inside_the_clip_and_elsewhere(length):
    places = np.arange(2, length - 2)
    other = shifted(places, length, np.random.default_rng(0))
    assert other.min() >= 2 and other.max() <= length - 3
    assert (np.abs(other - places) >= 4).mean() > (0.3 if length == 12 else 0.9)


def test_the_loss_prefers_true_pairs():
    vectors = torch.eye(6).repeat(2, 1)
    loss, right = sync_loss(vectors, vectors, 6)
    wrong_loss, wrong = sync_loss(vectors, vectors.roll(1, 0), 6)
    assert right == 1 and wrong == 0 and loss < wrong_loss


def test_an_untrained_critic_is_near_chance():
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    clips = [Lips("a", torch.randint(0, 255, (120, 32, 64), generator=random).byte(),
                  torch.randn(480, 64, generator=random)) for _ in range(3)]  # fmt: skip
    figures = validation(SyncCritic(width=8).eval(), clips)
    assert figures["window_accuracy"] == pytest.approx(0.5, abs=0.15)
    assert 0 <= figures["second_accuracy"] <= 1


def test_training_runs_on_any_device(tmp_path, monkeypatch, elsewhere):
    monkeypatch.setattr(sync_critic, "read_lips", lambda *_: [clip(), clip(90, "b")])
    parser = ArgumentParser()
    sync_critic.add_arguments(parser)
    sync_critic.run(parser.parse_args(["--data", str(tmp_path), "--output", str(tmp_path / "out"), "--steps", "2"]))
    assert not list(tmp_path.rglob("*.safetensors"))  # another process writes
