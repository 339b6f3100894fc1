"""The sync critic's towers, the window they look through, and CALS's two distances."""

import math

import pytest
import torch
from articulate.models_hub.networks.sync_critic import (
    SyncCritic,
    audio_visual_distance,
    lower_faces,
    visual_visual_distance,
)


@pytest.fixture(scope="module")
def critic():
    torch.manual_seed(0)
    return SyncCritic(width=8, features=32).eval().requires_grad_(False)


def windows(seed, count=3):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, 20, 64, generator=random), torch.rand(count, 5, 32, 64, generator=random)


def test_score_is_a_probability(critic):
    score = critic(*windows(0))
    assert score.shape == (3,)
    assert (score >= 0).all() and (score <= 1 + 1e-5).all()


def test_brightness_and_contrast_of_the_picture_cancel(critic):
    _, lips = windows(0)
    torch.testing.assert_close(critic.see(lips * 0.7 + 0.1), critic.see(lips), atol=0.05, rtol=0)


def test_audio_visual_distance_is_minus_the_log_of_the_score(critic):
    mel, lips = windows(1)
    expected = -sum(math.log(score) for score in critic(mel, lips).tolist()) / 3
    assert audio_visual_distance(critic, mel, lips).item() == pytest.approx(expected, rel=1e-4)


def test_distances_teach_the_picture(critic):
    mel, lips = windows(2)
    lips.requires_grad_(True)
    audio_visual_distance(critic, mel, lips).backward()
    assert lips.grad.abs().sum() > 0


def test_visual_distance_wants_the_real_time_nearer_than_another(critic):
    (_, real), (_, other) = windows(3), windows(4)
    right = visual_visual_distance(critic, real, real, other, margin=0.0)
    wrong = visual_visual_distance(critic, other, real, other, margin=0.0)
    assert right.item() == pytest.approx(0, abs=1e-6)
    assert wrong > 0
    assert visual_visual_distance(critic, real, real, real, margin=0.2).item() == pytest.approx(0.2, abs=1e-5)


def test_the_window_follows_the_face():
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    picture = torch.nn.functional.interpolate(picture, 256, mode="bilinear")
    points = torch.zeros(1, 68, 2)
    points[:, 36:42, 0], points[:, 42:48, 0] = -0.2, 0.2
    points[:, 33, 1] = 0.2
    here = lower_faces(picture, points)
    assert here.shape == (1, 32, 64)
    moved = lower_faces(picture.roll((16, 32), (2, 3)), points + torch.tensor([32.0, 16.0]) / 128)
    torch.testing.assert_close(moved, here, atol=1e-4, rtol=0)
