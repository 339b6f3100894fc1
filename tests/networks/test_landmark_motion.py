"""Region motions: exact where the motion is affine, identity where nothing moves."""

import pytest
import torch
from articulate.models_hub.networks.landmark_motion import (
    KEYPOINTS,
    LandmarkMotion,
    inner_mouth_mask,
    mouth_coordinates,
    polygon_area,
    polygon_mask,
)


def face(batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 68, 2, generator=torch.Generator().manual_seed(3)) - 0.5


def test_equal_landmarks_give_the_identity():
    source, driving, jacobian = LandmarkMotion()(face(), face())
    torch.testing.assert_close(source, driving)
    torch.testing.assert_close(jacobian, torch.eye(2).expand(2, KEYPOINTS, 2, 2), atol=1e-4, rtol=0)


def test_an_affine_motion_is_recovered_without_ridge():
    matrix = torch.tensor([[1.1, 0.2], [-0.1, 0.9]])
    driving = face()
    source = driving @ matrix.T + torch.tensor([0.1, -0.2])
    _, _, jacobian = LandmarkMotion(ridge=1e-5, head_ridge=1e-6)(source, driving)
    # The two-point regions leave one direction open; it is taken from the head, which has it right.
    torch.testing.assert_close(jacobian, matrix.expand_as(jacobian), atol=1e-2, rtol=0)


def test_motions_follow_a_common_shift():
    source, driving = face(), face().flip(0)
    value_a, _, jacobian_a = LandmarkMotion()(source, driving)
    value_b, _, jacobian_b = LandmarkMotion()(source + 0.3, driving - 0.2)
    torch.testing.assert_close(value_a + 0.3, value_b)
    torch.testing.assert_close(jacobian_a, jacobian_b, atol=1e-4, rtol=1e-4)


def test_collinear_regions_stay_finite():
    flat = face()
    flat[:, 60:, 1] = flat[:, 60:61, 1]
    _, _, jacobian = LandmarkMotion()(face(), flat)
    assert jacobian.isfinite().all()
    assert jacobian.abs().max() < 50


def test_polygon_area():
    square = torch.tensor([[[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]])
    mask = polygon_mask(square, 64, soft=0.01)
    assert abs(float(mask.mean()) - 0.25) < 0.01
    torch.testing.assert_close(polygon_area(square), torch.ones(1))
    assert polygon_area(square.flip(1)) == 0  # turned inside out


def test_polygons_are_drawn_wherever_they_lie():
    corners = torch.tensor([[-0.31, -0.27], [0.23, -0.33], [0.13, 0.29], [-0.17, 0.11]])
    middle = polygon_mask(corners[None], 32)
    for cells in (-9, 5, 40):
        moved = polygon_mask(corners[None] + cells * 2 / 32, 32)
        wanted = torch.zeros_like(middle)
        if abs(cells) < 32:
            here, there = slice(max(cells, 0), 32 + min(cells, 0)), slice(max(-cells, 0), 32 - max(cells, 0))
            wanted[..., here, here] = middle[..., there, there]
        assert torch.allclose(moved, wanted, atol=1e-5)
    both = polygon_mask(torch.stack([corners, corners + 0.5]), 32)
    assert torch.allclose(both[:1], middle, atol=1e-6) and both[1].max() == 1
    assert (polygon_mask(9 * corners[None], (8, 16)) == 1).all()  # the frame lies inside
    for nowhere in (float("inf"), float("nan"), 1e38):
        assert polygon_mask(torch.full((1, 4, 2), nowhere), 16).nan_to_num().sum() == 0


def test_a_closed_mouth_shows_nothing_inside():
    points = face(1)
    points[:, 60:, 1] = 0.3
    points[:, 60:, 0] = torch.tensor([-0.2, -0.1, 0.0, 0.1, 0.2, 0.1, 0.0, -0.1])
    assert inner_mouth_mask(points, 128).max() < 0.05
    points[:, 65:, 1] = 0.4
    opened = inner_mouth_mask(points, 128)
    assert opened.max() == 1
    assert abs(float(opened.sum()) - 0.5 * 0.1 * (0.4 + 0.2) * 64 * 64) < 60


def test_mouth_coordinates_measure_from_either_lip():
    points = torch.full((1, 68, 2), -0.9)
    points[0, 36:42], points[0, 42:48] = torch.tensor([-0.2, -0.4]), torch.tensor([0.2, -0.4])
    across = torch.tensor([-0.2, -0.1, 0.0, 0.1, 0.2, 0.1, 0.0, -0.1])
    down = torch.tensor([0.0, -0.1, -0.1, -0.1, 0.0, 0.1, 0.1, 0.1])
    points[0, 60:] = torch.stack([across, down], -1)
    along, below, above = mouth_coordinates(points, 128)[0]
    # Cell 64 lies half a cell right of and below the middle; a cell is 1/64 wide.
    assert along[64, 64] == pytest.approx(2 * (0.5 / 64) / 0.4, abs=1e-4)
    assert below[64, 64] == pytest.approx((0.1 + 0.5 / 64) * 4 / 0.4, abs=1e-4)
    assert above[64, 64] == pytest.approx((0.1 - 0.5 / 64) * 4 / 0.4, abs=1e-4)
    inside = inner_mouth_mask(points, 128)[0, 0] > 0
    assert inside.any() and below[inside].min() > 0 and above[inside].min() > 0
