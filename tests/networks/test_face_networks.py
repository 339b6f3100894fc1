"""The face finder's and the landmark estimator's answers, whatever the weights."""

import pytest
import torch
from articulate.models_hub.networks.density import density_maps
from articulate.models_hub.networks.face_finder import STRIDE, FaceFinder
from articulate.models_hub.networks.ibug68 import COUNT
from articulate.models_hub.networks.landmark_estimator import LandmarkEstimator


@pytest.fixture(scope="module")
def estimator() -> LandmarkEstimator:
    torch.manual_seed(0)
    return LandmarkEstimator().eval()


@pytest.mark.parametrize("size", [96, 128, 256])
def test_maps_are_probabilities_at_every_size(estimator, size):
    maps = estimator(torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1)))
    assert maps.shape == (2, COUNT, 64, 64)
    assert (maps >= 0).all()
    torch.testing.assert_close(maps.sum(dim=(2, 3)), torch.ones(2, COUNT))


def test_expected_value_of_density_maps_is_the_landmark():
    points = torch.rand(3, COUNT, 2, generator=torch.Generator().manual_seed(2)) * 1.5 - 0.75
    maps = density_maps(points, 64, sigma=1.5, regions=[[i] for i in range(COUNT)])
    torch.testing.assert_close(LandmarkEstimator.points(maps), points, atol=1e-4, rtol=0)


def test_points_are_differentiable_in_the_picture(estimator):
    crop = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(3), requires_grad=True)
    estimator.points(estimator(crop)).square().sum().backward()
    assert crop.grad.isfinite().all()
    assert crop.grad.abs().sum() > 0


def test_finder_answers_one_cell_for_each_stride():
    torch.manual_seed(0)
    network = FaceFinder().eval()
    with torch.no_grad():
        scores, boxes = network.boxes(network(torch.rand(1, 3, 128, 192)))
    assert scores.shape == (1, 128 // STRIDE, 192 // STRIDE)
    assert boxes.shape == (1, 128 // STRIDE, 192 // STRIDE, 4)
    assert scores.max() < 0.5, "faces are rare before anything was learned"


def test_cell_of_zeros_is_a_64_pixel_box_around_its_middle():
    _, boxes = FaceFinder.boxes(torch.zeros(1, 5, 4, 4))
    assert boxes[0, 1, 2].tolist() == [2.5 * STRIDE - 32, 1.5 * STRIDE - 32, 64, 64]
