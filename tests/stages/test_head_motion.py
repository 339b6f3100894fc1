"""Blinks, brows and head motion: as often, as far and as fast as the measured table says, and off when off."""

import numpy as np
import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.loading import load_network
from articulate.models_hub.networks.ibug68 import BROWS, EYES
from articulate.models_hub.networks.lip_shape import face_frame
from articulate.models_hub.stages.head_motion import blink, blink_curve, raise_brows, sway, wander_curve
from articulate.models_hub.stages.landmark_predictor import predict_landmarks
from articulate.models_hub.stages.motion_table import STORED, Wander, motion_table, read_table
from articulate.models_hub.types import Speech

TEN_MINUTES = 15_000  # frames at 25 a second


@pytest.fixture(scope="module")
def points(sample_face):
    return sample_face.points.float()


@pytest.fixture(scope="module")
def speech():
    """Four seconds of sounds; nothing here depends on which."""
    random = torch.Generator().manual_seed(0)
    units = torch.randn(100, load_network("landmark_predictor").layers[1].in_features, generator=random)
    return Speech(units, torch.randn(100, 4, 64, generator=random), torch.full((100,), -20.0), 64_000, 16_000)


def starts(closed):
    return ((closed[1:] > 0) & (closed[:-1] == 0)).sum().item() + int(closed[0] > 0)


def test_the_table_says_how_it_was_made_and_is_plausible():
    text = STORED.read_text(encoding="utf-8")
    assert text.startswith("# ") and "articulate train head_motion" in text and "people" in text
    table = read_table(STORED)
    assert 5 < table.blink.rate < 40 and 0.1 < table.blink.seconds < 0.6 and 0.5 < table.blink.depth <= 1
    assert 0.2 < table.roll.amplitude < 5 and 0.1 < table.roll.time < 2
    assert np.mean(table.brow_profile) == pytest.approx(1, abs=0.01)


def test_all_motions_repeat_and_differ_by_seed(points):
    still = points.expand(100, -1, -1)
    for make in (lambda seed: sway(still, 25.0, 1.0, seed), lambda seed: raise_brows(still, 25.0, 1.0, seed),
                 lambda seed: blink_curve(TEN_MINUTES, 25.0, 20.0, seed)):  # fmt: skip
        assert torch.equal(make(2**64 - 1), make(2**64 - 1))
        assert not torch.equal(make(1), make(2))


def test_a_longer_speech_begins_like_a_shorter_one(points):
    for make in (lambda frames: sway(points.expand(frames, -1, -1), 25.0, 1.0, 5),
                 lambda frames: raise_brows(points.expand(frames, -1, -1), 25.0, 1.0, 5),
                 lambda frames: blink_curve(frames, 25.0, 20.0, 5)):  # fmt: skip
        torch.testing.assert_close(make(900)[:300], make(300))


def test_every_frame_rate_sees_the_same_motion(points):
    slow, fast = (sway(points.expand(4 * fps, -1, -1), float(fps), 1.0, 7) for fps in (12, 60))
    torch.testing.assert_close(fast[::5], slow, atol=1e-5, rtol=0)
    slow, fast = (raise_brows(points.expand(4 * fps, -1, -1), float(fps), 1.0, 7) for fps in (12, 60))
    torch.testing.assert_close(fast[::5], slow, atol=1e-5, rtol=0)
    often = [starts(blink_curve(600 * fps, float(fps), 15.0, 7)) for fps in (25, 60)]
    assert abs(often[0] - often[1]) <= 0.05 * often[1]  # a short gap may fall between two frames


@pytest.mark.parametrize("rate", [4.0, 15.0, motion_table().blink.rate, 40.0])
def test_blinks_come_as_often_as_asked(rate):
    closed = [blink_curve(100 * 600, 100.0, rate, seed) for seed in range(4)]
    per_minute = sum(starts(curve) for curve in closed) / 40
    assert per_minute == pytest.approx(rate, rel=0.2)  # blinks that meet count once


def test_blinks_close_as_fast_and_as_far_as_the_table_says():
    table = motion_table().blink
    closed = blink_curve(200 * 600, 200.0, 12.0, seed=0).numpy()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], closed > 0, [0]]).astype(int))).reshape(-1, 2)
    lengths = (edges[:, 1] - edges[:, 0]) / 200
    peaks = np.array([closed[first:end].argmax() for first, end in edges]) / 200
    depths = np.array([closed[first:end].max() for first, end in edges])
    assert np.median(lengths) == pytest.approx(table.seconds, rel=0.2)
    assert np.median(peaks) == pytest.approx(table.closing + table.hold / 2, rel=0.3)
    assert np.median(depths) == pytest.approx(table.depth, abs=0.03)
    assert depths.min() > 0.45 and closed.max() <= 1
    assert blink_curve(1000, 25.0, 0, seed=0).eq(0).all()


def test_a_blink_brings_upper_lids_to_lower_ones_and_moves_nothing_else(points):
    still = points.expand(2, -1, -1)
    moved = blink(still, torch.tensor([0.0, 1.0]))
    assert torch.equal(moved[0], points)
    assert torch.equal(moved[1, [37, 38, 43, 44]], points[[41, 40, 47, 46]])
    others = [point for point in range(68) if point not in EYES]
    assert torch.equal(moved[:, others], still[:, others])


def test_sway_is_slight_smooth_and_rigid(points):
    still = points.expand(500, -1, -1)
    moved = sway(still, 25.0, 1.0, seed=0)
    unit = face_frame(points)[2][1]
    torch.testing.assert_close(moved[0], points, atol=1e-5, rtol=0)  # the video begins with the portrait
    assert 0.05 < (moved - still).norm(dim=-1).max() / unit < 0.5
    assert moved.diff(dim=0).norm(dim=-1).max() / unit < 0.06  # in a frame
    sizes = (moved[:, 36] - moved[:, 45]).norm(dim=-1) / (still[:, 36] - still[:, 45]).norm(dim=-1)
    ratios = (moved[:, 8] - moved[:, 27]).norm(dim=-1) / (still[:, 8] - still[:, 27]).norm(dim=-1)
    torch.testing.assert_close(sizes, ratios)


def test_a_wander_has_its_amplitude_and_its_memory():
    wander = Wander(0.3, 0.4)
    curves = torch.stack([wander_curve(TEN_MINUTES, 25.0, wander, np.random.default_rng(seed)) for seed in range(20)])
    later = curves[:, 250:].double()
    assert curves[:, 0].abs().max() < 1e-6
    assert later.square().mean().sqrt().item() == pytest.approx(0.3, rel=0.1)
    for seconds in (0.2, 0.4, 0.8, 1.6):
        lag = round(25 * seconds)
        alike = (later[:, lag:] * later[:, :-lag]).mean().item() / later.square().mean().item()
        assert alike == pytest.approx((1 + seconds / 0.4) * np.exp(-seconds / 0.4), abs=0.06)


def test_the_head_moves_as_far_as_the_table_says(points):
    table, (_, axes, scale) = motion_table(), face_frame(points)
    moved = torch.stack([sway(points.expand(5000, -1, -1), 25.0, 1.0, seed) for seed in range(4)])
    across = moved[..., 45, :] - moved[..., 36, :]
    before = points[45] - points[36]
    turned = torch.rad2deg(torch.atan2(across[..., 1], across[..., 0]) - torch.atan2(before[1], before[0]))
    assert turned.std().item() == pytest.approx(table.roll.amplitude, rel=0.2)
    grown = 100 * torch.log(across.norm(dim=-1) / before.norm())
    assert grown.std().item() == pytest.approx(table.size.amplitude, rel=0.2)
    tip = ((moved - points)[..., 30, :] @ axes.T / scale[1]).flatten(0, 1)  # close to what the head turns about
    assert tip[:, 0].std().item() == pytest.approx(table.x.amplitude, rel=0.2)
    assert tip[:, 1].std().item() == pytest.approx(table.y.amplitude, rel=0.2)


def test_brows_alone_move_along_the_face(points):
    still = points.expand(TEN_MINUTES, -1, -1)
    moved = raise_brows(still, 25.0, 2.0, seed=1)
    others = [point for point in range(68) if point not in BROWS]
    assert torch.equal(moved[:, others], still[:, others])
    _, axes, scale = face_frame(points)
    shift = (moved - still)[:, list(BROWS)] @ axes.T / scale[1]
    assert shift[..., 0].abs().max() < 1e-5
    assert shift[..., 1].mean(1).std().item() == pytest.approx(2 * motion_table().brow.amplitude, rel=0.2)
    assert moved.diff(dim=0).abs().max() < 0.1 * scale[1]


def test_off_is_exactly_off(speech, sample_face):
    settings = {"blink": False, "head_motion": 0.0}
    plain = predict_landmarks(speech, sample_face, **settings).points
    assert torch.equal(plain, predict_landmarks(speech, sample_face, **settings, brows=0.0, seed=9).points)
    raised = predict_landmarks(speech, sample_face, **settings, brows=1.0, seed=9).points
    others = [point for point in range(68) if point not in BROWS]
    assert torch.equal(plain[:, others], raised[:, others]) and not torch.equal(plain, raised)


def test_blinks_and_head_do_not_depend_on_brows(speech, sample_face):
    both = [predict_landmarks(speech, sample_face, head_motion=1.0, seed=4, brows=brows).points for brows in (0.0, 3.0)]
    others = [point for point in range(68) if point not in BROWS]
    torch.testing.assert_close(both[0][:, others], both[1][:, others], atol=1e-6, rtol=0)


@pytest.mark.parametrize("brows", [-0.1, 5.1, float("nan")])
def test_brows_out_of_range_get_a_sentence(speech, sample_face, brows):
    with pytest.raises(InputError, match="brows is"):
        predict_landmarks(speech, sample_face, brows=brows)
