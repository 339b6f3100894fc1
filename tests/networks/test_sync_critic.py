"""The sync critic's towers, and the window they look through."""

import pytest
import torch
from articulate.models_hub.networks.sync_critic import SyncCritic, lower_faces


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
