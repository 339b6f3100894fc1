"""Critics: patch scores, exact zero for no change, gradients for the generator."""

import torch
from articulate.models_hub.networks.critics import DifferenceCritic, FrameCritic


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
