"""Critics: patch scores, exact zero for no change, gradients for the generator, landmarks that must be right."""

import pytest
import torch
from articulate.models_hub.loading import load_network
from articulate.models_hub.losses.adversarial import (
    clip_decision_loss,
    feature_matching_loss,
    hinge_critic_loss,
    landmark_regression_loss,
)
from articulate.models_hub.networks.difference_critic import DifferenceCritic
from articulate.models_hub.networks.frame_critic import FrameCritic, MultiScaleFrameCritic
from articulate.models_hub.networks.regression_critic import RegressionCritic


def test_the_change_between_equal_frames_is_exactly_zero(moving_face):
    frames, _ = moving_face
    assert DifferenceCritic.difference(frames, frames.clone()).abs().max() == 0
    assert DifferenceCritic.difference(frames[:1], frames[3:4]).abs().max() > 0


def test_equal_frames_are_judged_without_their_content():
    critic = DifferenceCritic().eval()
    none = torch.zeros(1, 6, 64, 64)
    first = critic.judge(torch.rand(1, 3, 64, 64), torch.zeros(1, 3, 64, 64), none)[0]
    for content in (torch.rand(1, 3, 64, 64), torch.ones(1, 3, 64, 64)):
        same = critic.judge(content, content, none)[0]
        still = critic.judge(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64), none)[0]
        torch.testing.assert_close(same, still, atol=0, rtol=0)
    assert not torch.equal(first, still)


def test_frame_critic_sees_frame_and_landmarks():
    critic = FrameCritic().eval()
    frame = torch.rand(2, 3, 128, 128, requires_grad=True)
    density = torch.rand(2, 6, 128, 128, requires_grad=True)
    score, features = critic.judge(frame, density)
    assert score.shape == (2, 1, 16, 16)
    assert [feature.shape[1] for feature in features] == [32, 64, 128]
    score.sum().backward()
    assert frame.grad.abs().sum() > 0 and density.grad.abs().sum() > 0


def test_the_embedded_critics_still_load():
    assert type(load_network("frame_critic")) is FrameCritic
    assert type(load_network("difference_critic")) is DifferenceCritic


def test_multi_scale_critic_judges_every_scale(moving_face):
    frames, points = moving_face
    critic = MultiScaleFrameCritic((8, 16), scales=3)
    scores, features = critic.judge(frames[:2, :, ::2, ::2], points[:2])
    assert [score.shape[-1] for score in scores] == [32, 16, 8]
    assert len(features) == 6


def test_keypoints_are_marked_where_they_are():
    critic = MultiScaleFrameCritic((8,), scales=1)
    points = torch.zeros(1, 68, 2)
    points[..., 0] = 0.5
    marks = critic.gaussians(points, (64, 64))
    assert marks.shape == (1, 15, 64, 64)
    peak = marks[0, 0].argmax().item()
    assert abs(peak // 64 - 31.5) <= 0.5 and abs(peak % 64 - 47.5) <= 0.5


def learn(critic, step, steps=30):
    optimiser = torch.optim.Adam(critic.parameters(), 2e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        step().backward()
        optimiser.step()


def test_multi_scale_critic_learns_to_tell_blurred_frames_and_to_push_them(moving_face):
    torch.manual_seed(0)
    frames, points = (part[:4] for part in moving_face)
    real = frames[:, :, 128:224, 80:176]
    made = torch.nn.functional.avg_pool2d(real, 7, 1, 3).requires_grad_(True)
    critic = MultiScaleFrameCritic((8, 16), scales=2)

    def step():
        pairs = zip(critic.judge(real, points)[0], critic.judge(made.detach(), points)[0], strict=True)
        return sum(hinge_critic_loss(*pair) for pair in pairs)

    learn(critic, step)
    theirs, wanted = critic.judge(real, points)
    scores, features = critic.judge(made, points)
    assert all(ours.mean() < real.mean() for ours, real in zip(scores, theirs, strict=True))
    matching = feature_matching_loss(features, wanted)
    matching.backward()
    nearer = critic.judge(made - 0.01 * made.grad.sign(), points)[1]
    assert feature_matching_loss(nearer, wanted) < matching


def test_regression_critic_starts_from_the_example_and_takes_any_length(moving_face):
    frames, points = moving_face
    critic = RegressionCritic((4, 4, 8, 8), features=16)
    with torch.no_grad():
        critic.regress.weight.zero_()
        critic.regress.bias.zero_()
    for length in (1, 5):
        regressed, decision = critic.judge(frames[None, :length], points[:1])
        assert decision.shape == (1,)
        torch.testing.assert_close(regressed, points[None, :1].expand(1, length, -1, -1))


def test_regression_critic_learns_landmarks_and_decides_clips(moving_face):
    torch.manual_seed(0)
    frames, points = (part[None, :6] for part in moving_face)
    frozen = frames[:, :1].expand(-1, 6, -1, -1, -1)  # a clip whose mouth does not follow the landmarks
    critic = RegressionCritic((4, 8, 8, 16), features=32)

    def terms():
        regressed, decision = critic.judge(frames, points[:, 0])
        made, made_decision = critic.judge(frozen, points[:, 0])
        return (
            clip_decision_loss(decision, True) + clip_decision_loss(made_decision, False),
            landmark_regression_loss(regressed, points),
            landmark_regression_loss(made, points),
        )

    decision_before, real_before, _ = (value.item() for value in terms())
    learn(critic, lambda: sum(terms()[:2]))
    decision, real, made = (value.item() for value in terms())
    assert decision < decision_before and real < 0.5 * real_before
    assert made > real  # it reads the frames: still lips are not where the landmarks are


@pytest.mark.parametrize("network", [RegressionCritic, MultiScaleFrameCritic])
def test_critics_teach_the_frame(network, moving_face):
    frames, points = moving_face
    made = frames[:2].clone().requires_grad_(True)
    critic = network((4, 4, 8, 8))
    if network is RegressionCritic:
        score = critic.judge(made[None], points[:1])[1]
    else:
        score = critic.judge(made, points[:2])[0][0]
    score.sum().backward()
    assert made.grad.abs().sum() > 0
