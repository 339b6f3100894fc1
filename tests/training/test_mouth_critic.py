"""The critic of mouth windows, what counts as coarse, and mixtures of weights."""

import torch
from articulate.models_hub.networks.mouth_painter import COLUMNS, ROWS, MouthPainter, MouthWindow, inner_window
from articulate.models_hub.training.mouth_critic import MouthCritic, coarse_distance, interpolate


def open_mouth(moving_face):
    points = moving_face[1][-1:].clone()
    points[:, [65, 66, 67], 1] += 0.15
    return MouthWindow(points).to_window(points)


def test_coarse_distance_sees_brightness_and_not_texture(moving_face):
    local = open_mouth(moving_face)
    inner = inner_window(local)
    assert inner.sum() > 100
    calm = torch.full((1, 3, 2 * ROWS, 2 * COLUMNS), 0.5)
    stripes = torch.where(torch.arange(2 * COLUMNS) % 2 == 0, 0.1, -0.1)
    brighter = coarse_distance(calm + 0.1, calm, local)
    torch.testing.assert_close(brighter, torch.tensor(0.1), atol=0.02, rtol=0)  # the soft edge counts by its share
    assert coarse_distance(calm + stripes, calm, local) < 0.1 * brighter
    assert coarse_distance(calm + (inner == 0).float(), calm, local) == 0  # not what lies outside


def test_critic_learns_what_a_real_window_is(moving_face):
    torch.manual_seed(0)
    local = open_mouth(moving_face).expand(8, -1, -1)
    bands = torch.where(torch.arange(2 * ROWS) // 6 % 2 == 0, 0.2, 0.8)  # as teeth and hollow
    real = bands[:, None].expand(8, 3, -1, 2 * COLUMNS)
    made = torch.full_like(real, 0.5)
    critic = MouthCritic()
    optimiser = torch.optim.Adam(critic.parameters(), 1e-3)
    first = critic.loss(made, real, local)
    for _ in range(30):
        optimiser.zero_grad()
        critic.loss(made, real, local).backward()
        optimiser.step()
    assert critic.loss(made, real, local) < 0.8 * first
    told = critic.judge(made, real, local)
    # Not exactly none: the spectral norm moves on with every call.
    assert critic.judge(real, real, local)["matching"] < 0.01 * told["matching"]


def test_interpolation_ends_at_both_networks():
    calm, keen = MouthPainter(8), MouthPainter(8)
    for share, wanted in ((0.0, calm), (1.0, keen)):
        made = interpolate(calm, keen, share)
        for name, value in made.state_dict().items():
            torch.testing.assert_close(value, wanted.state_dict()[name])
