"""Losses and steps of the warper: weights where lips are, critics that learn, an exact resume."""

import itertools

import numpy as np
import pytest
import torch
from articulate.models_hub.loading import load_network
from articulate.models_hub.networks.ibug68 import INNER_LIPS
from articulate.models_hub.networks.warper import MemoryWarper
from articulate.models_hub.training import fit
from articulate.models_hub.training.loop import Loop
from articulate.models_hub.training.pairs import PairSampler
from articulate.models_hub.training.render import WINDOW, window_corners
from articulate.models_hub.training.warper import closed_pairs, look, start_from_embedded
from articulate.models_hub.training.warper_losses import reconstruction, region_weights
from articulate.models_hub.training.warper_step import PAINTED, PAIR, RUN, Step, make_trainer, share_window


def test_errors_between_the_lips_weigh_most():
    points = torch.rand(1, 68, 2) * 0.2 - 0.5
    angle = torch.arange(8) * (2 * torch.pi / 8)
    points[:, list(INNER_LIPS)] = torch.stack([angle.cos() * 0.2, angle.sin() * 0.1], -1)
    weights = region_weights(points, 128)
    assert weights[0, 0, 64, 64] > 8
    assert weights[0, 0, 120, 120] == pytest.approx(1, abs=0.05)


def test_reconstruction_is_zero_for_equal_frames_only():
    frame, weights = torch.rand(1, 3, 32, 32), torch.ones(1, 1, 32, 32)
    assert reconstruction(frame, frame, weights) == 0
    assert reconstruction(frame + 0.1, frame, weights) == pytest.approx(0.2, abs=1e-4)  # no gradient differs


def test_windows_lie_inside_on_whole_cells():
    corners = window_corners(torch.rand(64, 68, 2) * 4 - 2, torch.Generator().manual_seed(0))
    assert corners.min() >= 0 and corners.max() <= 1 - WINDOW
    assert torch.equal(corners * 32, (corners * 32).round())


def test_a_step_with_critics_learns_and_resumes_exactly(footage, tmp_path):
    torch.manual_seed(0)
    first = make_trainer()
    sampler, random = PairSampler(footage, 0, sources=1, driven=4), torch.Generator().manual_seed(0)
    batches = [sampler(RUN) for _ in range(2)]

    def step(trainer, batch, random):
        return Step(trainer, batch, random, RUN, amp=False).take(Loop(tmp_path, trainer.parts()))

    before = {name: value.clone() for name, value in first.made.state_dict().items()}
    terms = step(first, batches[0], random)
    assert all(np.isfinite(value) for value in terms.values())
    changed = [name for name, value in first.made.state_dict().items() if not torch.equal(value, before[name])]
    assert any(name.startswith("warper") for name in changed) and any(name.startswith("gen") for name in changed)
    Loop(tmp_path, first.parts()).save()
    second = make_trainer()
    Loop(tmp_path, second.parts(), resume=True)
    again = torch.Generator()
    again.set_state(random.get_state())
    assert step(first, batches[1], random) == pytest.approx(step(second, batches[1], again), rel=1e-4)


def test_a_step_with_critics_runs_on_any_device(footage, tmp_path, elsewhere):
    trainer = make_trainer(elsewhere.device)
    loop, random = Loop(tmp_path, trainer.parts(), fabric=elsewhere), torch.Generator().manual_seed(0)
    batch = PairSampler(footage, 0, sources=2, driven=4)(RUN)
    Step(trainer, batch, random, RUN, amp=True).take(loop)
    assert all(value.grad.device == elsewhere.device for value in trainer.critics.parameters())


def test_frames_in_a_row_are_seen_through_one_window():
    corners = torch.rand(8, 2)
    shared = share_window(corners, 4, RUN).view(2, 4, 2)
    assert torch.equal(shared, corners.view(2, 4, 2)[:, :1].expand(-1, 4, -1))
    pair = share_window(corners, 4, PAIR).view(2, 4, 2)
    assert torch.equal(pair[:, 1], pair[:, 0]) and torch.equal(pair[:, 2:], corners.view(2, 4, 2)[:, 2:])


def test_critics_look_at_as_many_frames_as_follow_each_other(footage):
    trainer = make_trainer()
    sampler = PairSampler(footage, 0, sources=1, driven=4)
    steps = {run: Step(trainer, sampler(run), torch.Generator().manual_seed(0), run, amp=False) for run in (PAIR, RUN)}
    few, many = steps[PAIR].criticism(), steps[RUN].criticism()
    assert set(many) - set(few) == {"regression"}
    assert set(few) == {"frame", "frame_matching", "difference", "difference_matching", "density"}
    real = steps[RUN].driven.whole
    assert torch.equal(steps[RUN].whole(steps[RUN].real), real)  # the real windows, put back, change nothing


def test_looks_at_val_are_the_same_every_time(footage):
    pairs = closed_pairs(footage)
    assert [len(pair.driving) for pair in pairs] == [PAINTED, PAINTED]
    assert torch.equal(pairs[1].source[0] * 255, torch.from_numpy(footage.frames[12]).movedim(-1, 0).float())
    made = make_trainer().average.network
    assert look(made, pairs) == look(made, pairs) > 0


def test_training_can_start_from_the_embedded_weights():
    trainer = make_trainer()
    start_from_embedded(trainer)
    embedded = load_network("generator").state_dict()
    for made in (trainer.generator, trainer.average.network["generator"]):
        assert all(torch.equal(value, embedded[name]) for name, value in made.state_dict().items())


def test_average_follows_the_network():
    network = MemoryWarper()
    average = fit.Average(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    for step in range(60):
        average.update(network, step)
    for mine, theirs in zip(average.network.parameters(), network.parameters(), strict=True):
        assert (mine - theirs).abs().max() < 1e-3


def test_schedule_warms_up_and_comes_down():
    rates = [fit.cosine(step, 1000) for step in range(1000)]
    assert rates[0] < 0.02 and max(rates) == pytest.approx(1, abs=1e-3) and rates[-1] < 0.03
    assert all(a >= b for a, b in itertools.pairwise(rates[100:]))
