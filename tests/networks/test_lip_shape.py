"""The face's own frame and the estimate of a closed mouth."""

import math

import pytest
import torch
from articulate.models_hub.networks.ibug68 import INNER_LIPS, LIPS, RIGID
from articulate.models_hub.networks.lip_shape import (
    MOVING,
    align_rigid,
    close_mouth,
    face_frame,
    from_face,
    opening,
    steady_face,
    to_face,
)

USUAL = torch.tensor([0.76, 0.06, 0.0, 0.03])


def drawn_face(gap=0.0, width=0.76, lift=0.0):
    """(68, 2) a simple frontal face, eye distance 1, whose mouth has a gap, a width and raised corners."""
    points = torch.zeros(68, 2)
    angle = torch.linspace(0, math.pi, 17)
    points[:17] = torch.stack([-1.15 * angle.cos(), 0.1 + 1.75 * angle.sin()], 1)
    points[17:22] = torch.stack([torch.linspace(-0.85, -0.2, 5), torch.full((5,), -0.35)], 1)
    points[22:27] = torch.stack([torch.linspace(0.2, 0.85, 5), torch.full((5,), -0.35)], 1)
    points[27:31] = torch.stack([torch.zeros(4), torch.linspace(0.0, 0.5, 4)], 1)
    points[31:36] = torch.stack([torch.linspace(-0.2, 0.2, 5), torch.full((5,), 0.62)], 1)
    eye = torch.tensor([[-0.2, 0], [-0.07, -0.07], [0.07, -0.07], [0.2, 0], [0.07, 0.07], [-0.07, 0.07]])
    points[36:42], points[42:48] = eye + torch.tensor([-0.5, 0.0]), eye + torch.tensor([0.5, 0.0])
    half, line = width / 2, 1.0
    across = torch.linspace(-1, 1, 7)
    bow = 1 - across**2
    points[48:55] = torch.stack([half * across, line - (0.1 + gap / 2) * bow], 1)
    lower = torch.linspace(1, -1, 7)[1:-1]
    points[55:60] = torch.stack([half * lower, line + (0.13 + gap / 2) * (1 - lower**2)], 1)
    inner = torch.linspace(-0.85, 0.85, 5)
    points[60:65] = torch.stack([half * inner, line - gap / 2 * (inner.abs() < 0.8)], 1)
    inner = torch.linspace(0.85, -0.85, 5)[1:-1]
    points[65:68] = torch.stack([half * inner, torch.full((3,), line + gap / 2)], 1)
    lips = list(LIPS)
    points[lips, 1] -= lift * (points[lips, 0].abs() / half) ** 2
    return points


def turned(points, angle=0.3, scale=0.2, shift=(0.1, -0.2)):
    matrix = scale * torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return points @ matrix + torch.tensor(shift)


def test_face_frame_goes_there_and_back():
    points = turned(drawn_face(gap=0.2))
    frame = face_frame(points)
    torch.testing.assert_close(from_face(to_face(points, frame), frame), points)


def test_face_frame_undoes_place_size_and_tilt():
    points = drawn_face(gap=0.2)
    moved = turned(points)
    expected = to_face(points, face_frame(points))
    torch.testing.assert_close(to_face(moved, face_frame(moved)), expected, atol=1e-5, rtol=0)


def test_steady_face_removes_head_motion_and_keeps_the_mouth():
    still = torch.stack([drawn_face(gap=0.1 + 0.1 * math.sin(t)) for t in range(12)])
    moving = torch.stack([turned(face, 0.02 * t, 0.2 + 0.01 * t, (0.03 * t, 0.0)) for t, face in enumerate(still)])
    steady = steady_face(moving)
    assert steady[:, list(RIGID)].std(0).max() < 1e-4
    torch.testing.assert_close(opening(steady), opening(still), atol=1e-3, rtol=0.01)


def test_align_rigid_is_the_identity_on_the_reference():
    face = drawn_face()
    torch.testing.assert_close(align_rigid(face[None], face)[0], face)


@pytest.mark.parametrize("gap", [0.0, 0.1, 0.4])
def test_any_mouth_is_closed(gap):
    closed = close_mouth(drawn_face(gap=gap), USUAL)
    for upper, lower in ((61, 67), (62, 66), (63, 65)):
        assert (closed[upper] - closed[lower]).norm() < 1e-5


def test_closing_keeps_the_thickness_of_the_lips_and_raises_the_chin():
    face = drawn_face(gap=0.3)
    closed = close_mouth(face, USUAL)
    for outer, inner in ((51, 62), (57, 66)):
        torch.testing.assert_close((closed[outer] - closed[inner]).norm(), (face[outer] - face[inner]).norm())
    assert closed[8, 1] < face[8, 1]
    still = [point for point in range(68) if point not in MOVING]
    assert torch.equal(closed[still], face[still])


def test_a_smile_is_eased_but_a_usual_mouth_is_left_alone():
    smile = drawn_face(gap=0.15, width=1.05, lift=0.12)
    closed = close_mouth(smile, USUAL)
    assert 0.76 < closed[54, 0] - closed[48, 0] < 0.95
    corner, middle = closed[[48, 54], 1].mean(), closed[list(INNER_LIPS)][[2, 6], 1].mean()
    assert middle - corner < 0.09
    usual = drawn_face()
    torch.testing.assert_close(close_mouth(usual, USUAL), usual, atol=0.02, rtol=0)
