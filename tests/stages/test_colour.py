"""Hues of painted mouths: none that the face does not have."""

import torch
from articulate.models_hub.networks.ibug68 import INNER_LIPS
from articulate.models_hub.networks.landmark_motion import inner_mouth_mask
from articulate.models_hub.stages.colour import around_mouths, hue_range, within_hues


def opened(points):
    points = points[None].clone()
    points[:, 64:68, 1] += 0.15
    return points


def painted(colour):
    return torch.tensor(colour).view(1, 3, 1, 1).expand(1, 3, 256, 256).clone()


def inside(points):
    return inner_mouth_mask(points, 256)[0, 0] > 0.99


def test_a_grey_photo_gets_a_grey_mouth(sample_face):
    grey = sample_face.crop.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    points = opened(sample_face.points)
    made = within_hues(painted([0.3, 0.6, 0.5]), hue_range(grey, sample_face.points), around_mouths(points, 256))
    mouth = made[0][:, inside(points)]
    assert len(mouth[0]) > 100
    assert (mouth.amax(0) - mouth.amin(0)).max() < 0.01  # 0.3 before; the very edge keeps a trace
    assert torch.allclose(mouth.mean(0), torch.tensor(1.4 / 3), atol=1e-4)  # as bright as it was


def test_green_is_nobodys_colour_but_teeth_and_tongues_are_kept(sample_face):
    hues = hue_range(sample_face.crop, sample_face.points)
    points = opened(sample_face.points)
    where = inside(points)
    green = within_hues(painted([0.4, 0.6, 0.4]), hues, around_mouths(points, 256))[0][:, where]
    assert (green[1] - green.mean(0)).max() < 0.06  # 0.13 before
    for kept in ([0.85, 0.83, 0.8], [0.6, 0.5, 0.45], [0.05, 0.04, 0.04]):
        assert torch.allclose(within_hues(painted(kept), hues, around_mouths(points, 256)), painted(kept), atol=0.02)


def test_nothing_changes_outside_of_the_mouth(sample_face):
    hues = hue_range(sample_face.crop, sample_face.points)
    points = opened(sample_face.points)
    made = within_hues(painted([0.1, 0.7, 0.1]), hues, around_mouths(points, 256))
    lips = points[0, list(INNER_LIPS)]
    below = round(float((lips[:, 1].max() + 1) * 128)) + 16
    assert torch.equal(made[..., below:, :], painted([0.1, 0.7, 0.1])[..., below:, :])


def test_points_beyond_the_crop_still_give_a_range(sample_face):
    low, high = hue_range(sample_face.crop, sample_face.points + 5)
    assert low.shape == high.shape == (1, 3, 1, 1)
    assert (low <= 0).all() and (high >= 0).all() and low.isfinite().all() and high.isfinite().all()
