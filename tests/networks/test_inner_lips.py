"""The opening between the lips: round where mouths are, straight where a smile is, nothing where lips meet."""

import math

import pytest
import torch
from articulate.models_hub.networks.inner_lips import STEPS, curve, inner_outline
from articulate.models_hub.networks.landmark_motion import LOWER_INNER, UPPER_INNER, polygon_mask

NEAR = 0.3  # where on either side of the middle the outer two of the three landmarks of a lip lie


def mouth(upper, lower):
    """Landmarks (1, 68, 2) of a mouth from -1 to 1 whose lips are half ellipses of these heights."""
    points = torch.zeros(1, 68, 2)
    for lip, height in ((UPPER_INNER, -upper), (LOWER_INNER, lower)):
        for index, x in zip(lip, (-1.0, -NEAR, 0.0, NEAR, 1.0), strict=True):
            points[0, index] = torch.tensor([x, height * math.sqrt(1 - x * x)])
    return points


def test_a_curve_stays_on_a_circle():
    """Far better than straight lines do, and it goes through all points."""
    angle = torch.linspace(-1.2, 1.2, 5)
    points = torch.stack([angle.sin(), angle.cos()], dim=-1)[None]
    made = curve(points)
    torch.testing.assert_close(made[:, ::STEPS], points)
    inner = made[0, STEPS:-STEPS].norm(dim=-1)  # between the outermost, whose slope is a guess
    straight = (points[0, 1:-2] + points[0, 2:-1]).norm(dim=-1) / 2
    assert (inner - 1).abs().max() < 0.25 * (straight - 1).abs().max()


@pytest.mark.parametrize(("upper", "lower"), [(0.5, 0.5), (0.2, 0.7)])
def test_an_ellipse_is_found_from_three_landmarks_side_by_side(upper, lower):
    points = mouth(upper, lower)
    outline = inner_outline(points)
    assert outline.shape == (1, 12 * STEPS, 2)
    x, y = outline[0].unbind(-1)
    far = (x.square() + (y / torch.where(y < 0, upper, lower)).square()).sqrt() - 1
    assert far.abs().max() < 0.12

    def area(corners):
        return polygon_mask(corners, 256).mean() * 4

    wanted = math.pi / 2 * (upper + lower)
    diamond = area(points[:, 60:68])
    assert abs(area(outline) - wanted) < 0.08 * wanted < 0.5 * (wanted - diamond)


def test_the_straight_lip_of_a_smile_stays_straight():
    outline = inner_outline(mouth(0.0, 0.6))[0]
    assert outline[:, 1].min() > -1e-6
    assert outline[:, 1].max() > 0.59


def test_closed_lips_have_nothing_between_them():
    for bent in (0.0, 0.3, -0.3):  # the line where they meet
        assert polygon_mask(inner_outline(mouth(-bent, bent)), 64).sum() == 0
    nowhere = inner_outline(torch.zeros(1, 68, 2))
    assert torch.isfinite(nowhere).all() and nowhere.abs().max() == 0


def test_a_turned_mouth_has_a_turned_outline():
    points, angle = mouth(0.3, 0.6), 0.7
    turn = 2.5 * torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    torch.testing.assert_close(inner_outline(points @ turn.T + 0.2), inner_outline(points) @ turn.T + 0.2)
