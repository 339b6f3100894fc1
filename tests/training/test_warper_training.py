"""Footage and losses of the warper: pairs that teach, flips that keep landmarks, weights where lips are."""

import itertools

import numpy as np
import pytest
import torch
from articulate.models_hub.loading import load_network
from articulate.models_hub.networks.ibug68 import INNER_LIPS, MIRROR
from articulate.models_hub.networks.warper import MemoryWarper
from articulate.models_hub.training import fit
from articulate.models_hub.training.footage import Footage, PairSampler, augment
from articulate.models_hub.training.loop import Loop
from articulate.models_hub.training.warper import (
    PAINTED,
    WINDOW,
    closed_pairs,
    critic_step,
    generator_step,
    look,
    make_trainer,
    start_from_embedded,
    window_corners,
)
from articulate.models_hub.training.warper_losses import reconstruction, region_weights


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


def test_sources_and_driven_frames_are_of_one_clip(footage):
    sampler = PairSampler(footage, seed=1)
    for _ in range(40):
        chosen = sampler._indices(True, sampler.random)
        assert len(chosen) == 5
        assert len({index // 12 for index in chosen}) == 1
        assert chosen[2] - chosen[1] == 1  # neighbours, for the difference critic


def test_most_pairs_open_or_close_the_mouth(footage):
    sampler = PairSampler(footage, seed=2)
    draws = [sampler._indices(False, sampler.random) for _ in range(200)]
    change = [abs(sampler.opening[a] - sampler.opening[b]) for a, b, *_ in draws]
    assert np.mean(change) > 0.4 * np.ptp(sampler.opening)


def test_the_same_seed_gives_the_same_batch(footage):
    a, b = PairSampler(footage, 3)(), PairSampler(footage, 3)()
    assert torch.equal(a.driving, b.driving) and torch.equal(a.source_points, b.source_points)


@pytest.mark.parametrize("seed", range(6))
def test_augmentation_moves_picture_and_landmarks_together(seed):
    points = torch.rand(1, 68, 2, generator=torch.Generator().manual_seed(seed)) - 0.5
    image = torch.zeros(1, 3, 256, 256)
    x, y = ((points[0, 8] + 1) * 128).int().tolist()
    image[..., y - 3 : y + 4, x - 3 : x + 4] = 1
    made, moved = augment(image, points, np.random.default_rng(seed))
    lit = (made[0, 0] - made[0, 0].median()).clamp(min=0)
    rows, columns = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
    centre = torch.stack([(lit * columns).sum(), (lit * rows).sum()]) / lit.sum()
    candidates = (moved[0, [8, MIRROR[8]]] + 1) * 128 - 0.5
    assert (candidates - centre).norm(dim=1).min() < 1.5


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
    batches = [sampler(neighbours=True) for _ in range(2)]

    def step(trainer, batch, random):
        loop = Loop(tmp_path, trainer.parts())
        result = generator_step(trainer, batch, random, critics=True, amp=False, loop=loop)
        return result["terms"] | {"critics": critic_step(trainer, result["judged"], loop)}

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
    batch = PairSampler(footage, 0, sources=2, driven=4)(neighbours=True)
    result = generator_step(trainer, batch, random, critics=True, amp=True, loop=loop)
    critic_step(trainer, result["judged"], loop)
    assert all(value.grad.device == elsewhere.device for value in trainer.critics.parameters())


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
