"""Sharpness, steadiness and identity on frames whose answers are known."""

import numpy as np
import pytest
import torch
from articulate.models_hub.evaluation.appearance import alike, change, clip_ratios, likeness, sharpness
from articulate.models_hub.evaluation.intervals import by_person, geometric_mean, interval, reduction
from articulate.models_hub.networks.ibug68 import EYES, LIPS
from torch.nn import functional as F


def blurred(frames):
    return F.avg_pool2d(frames, 5, 1, 2)


@pytest.mark.parametrize("region", [LIPS, EYES])
def test_blur_costs_sharpness(moving_face, region):
    frames, points = moving_face
    assert sharpness(blurred(frames), points, region) < 0.5 * sharpness(frames, points, region)


def test_change_counts_what_moves_outside_of_the_mouth(moving_face):
    frames, points = moving_face
    always = torch.ones(len(frames) - 1, dtype=torch.bool)
    still = frames[:1].repeat(len(frames), 1, 1, 1)
    points = points[:1].repeat(len(frames), 1, 1)
    assert change(still, points, always) == 0
    flicker = still.clone()
    flicker[::2] = (flicker[::2] + 0.1).clamp(max=1)
    assert 0 < change(flicker, points, always) <= 0.01 + 1e-6
    assert change(flicker, points, torch.zeros_like(always)) == 0  # nothing is consecutive
    speaking = still.clone()
    lips = ((points[0, list(LIPS)].mean(0) + 1) * 128).int()
    speaking[::2, :, lips[1] - 3 : lips[1] + 3, lips[0] - 3 : lips[0] + 3] = 0
    assert change(speaking, points, always) == 0


def test_pose_does_not_count_but_another_face_does(moving_face):
    frames, points = moving_face
    moved = F.grid_sample(
        frames[:1],
        F.affine_grid(torch.tensor([[[1.0, 0, -0.1], [0, 1, 0.05]]]), (1, 3, 256, 256), align_corners=False),
        align_corners=False,
    )
    shifted = points[0] + torch.tensor([0.1, -0.05])
    assert likeness(moved[0], shifted, frames[0], points[0]) < 0.01
    assert likeness(1 - frames[0], points[0], frames[0], points[0]) > 0.1


def test_the_most_similar_pose_is_not_a_neighbour():
    points = np.linspace(0, 1, 40)[:, None, None] * np.ones((40, 68, 2))
    assert alike(points, 10) in (5, 15)


def test_a_clip_that_drives_itself(moving_face):
    frames, points = moving_face
    order = list(range(12)) + list(range(10, 0, -1))
    noise = torch.randn(len(order), 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 0.002
    clip = ((frames[order] + noise).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    figures = clip_ratios(clip, points[order].numpy(), np.arange(len(order)), "embedded", "embedded")
    assert set(figures) == {"mouth_sharpness", "eye_sharpness", "temporal_energy", "identity_distance"}
    assert 0.5 < figures["eye_sharpness"] < 1.5
    assert all(np.isfinite(value) and value > 0 for value in figures.values())


def test_intervals_are_over_people():
    random = np.random.default_rng(1)
    values = random.normal(1.0, 0.1, (40, 1))
    many = interval([f"p{index}" for index in range(40)], values)
    few = interval(["ann"] * 20 + ["bob"] * 20, values)
    assert many[0] < values.mean() < many[1]
    assert interval(["ann"] * 40, values)[0] == pytest.approx(values.mean())  # one person tells nothing of others
    assert few[0] >= min(values[:20].mean(), values[20:].mean()) - 1e-9
    assert geometric_mean(np.array([[0.5], [2.0]])) == pytest.approx(1)
    assert reduction(np.array([[1.0, 2.0], [1.0, 6.0]])) == pytest.approx(0.75)


def test_everybody_counts_the_same():
    people = ["ann", "bob", "ann", "ann"]
    table = by_person(people, [[1, 10], [8, 10], [2, 10], [3, 10]])
    assert table.tolist() == [[2, 10], [8, 10]]
    assert reduction(table) == pytest.approx(0.5)  # over frames it would be 0.65
