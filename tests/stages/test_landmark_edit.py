import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.networks.ibug68 import BROWS, EYES, LIPS, NOSE
from articulate.models_hub.stages.landmark_edit import Edit, edit_landmarks, time_weight
from articulate.models_hub.types import Landmarks
from articulate.nodes.landmark_editor import ArticulateEditLandmarks


@pytest.fixture
def landmarks() -> Landmarks:
    """Two seconds of an upright face whose mouth is open."""
    points = torch.zeros(68, 2)
    angle = torch.linspace(0.9, -0.9, 17) + torch.pi / 2
    points[:17] = torch.stack([angle.cos() * 0.6, angle.sin() * 0.7], dim=-1)
    points[17:27] = torch.stack([torch.linspace(-0.5, 0.5, 10), torch.full((10,), -0.35)], dim=-1)
    points[27:36, 1] = torch.linspace(-0.2, 0.15, 9)
    for first, middle in ((36, -0.25), (42, 0.25)):
        x = torch.tensor([-0.1, -0.04, 0.04, 0.1, 0.04, -0.04]) + middle
        points[first : first + 6] = torch.stack([x, torch.tensor([0, -0.03, -0.03, 0, 0.03, 0.03]) - 0.2], dim=-1)
    outer = torch.linspace(torch.pi, -torch.pi, 13)[:12]
    points[48:60] = torch.stack([outer.cos() * 0.2, 0.4 - outer.sin() * 0.09], dim=-1)
    inner = torch.linspace(torch.pi, -torch.pi, 9)[:8]
    points[60:68] = torch.stack([inner.cos() * 0.15, 0.4 - inner.sin() * 0.05], dim=-1)
    return Landmarks(points.expand(50, -1, -1).clone(), torch.ones(50, dtype=torch.bool), 25.0)


def gap(points):
    return points[:, 66, 1] - points[:, 62, 1]


def test_no_change_changes_nothing(landmarks):
    assert torch.allclose(edit_landmarks(landmarks, Edit()).points, landmarks.points, atol=1e-6)


@pytest.mark.parametrize("opening", [0.0, 0.5, 2.0])
def test_the_gap_between_the_lips_is_multiplied(landmarks, opening):
    edited = edit_landmarks(landmarks, Edit(opening=opening)).points
    assert torch.allclose(gap(edited), opening * gap(landmarks.points), atol=1e-5)
    chin = edited[:, 8, 1] - landmarks.points[:, 8, 1]
    assert bool((chin * (opening - 1) > 0).all())
    assert torch.allclose(edited[:, list(NOSE)], landmarks.points[:, list(NOSE)], atol=1e-6)


def test_each_change_moves_its_own_points_alone(landmarks):
    for edit, region in ((Edit(width=1.2), LIPS), (Edit(smile=0.1), LIPS), (Edit(eyes=0.5), EYES),
                         (Edit(brows=0.2), BROWS)):  # fmt: skip
        moved = (edit_landmarks(landmarks, edit).points - landmarks.points).norm(dim=-1)[0] > 1e-6
        assert moved.any() and set(moved.nonzero().flatten().tolist()) <= set(region)
    smile = edit_landmarks(landmarks, Edit(smile=0.1)).points
    assert bool((smile[:, [48, 54], 1] < landmarks.points[:, [48, 54], 1]).all())  # y grows downwards
    wide = edit_landmarks(landmarks, Edit(width=1.2)).points
    assert torch.allclose(
        wide[:, 54, 0] - wide[:, 48, 0], 1.2 * (landmarks.points[:, 54, 0] - landmarks.points[:, 48, 0])
    )


def test_a_turned_face_is_edited_like_an_upright_one(landmarks):
    turn = torch.tensor([[0.8, 0.6], [-0.6, 0.8]])
    turned = landmarks.with_points(landmarks.points @ turn)
    edit = Edit(opening=1.5, width=1.1, smile=0.1, eyes=0.7, brows=0.1)
    expected = edit_landmarks(landmarks, edit).points @ turn
    assert torch.allclose(edit_landmarks(turned, edit).points, expected, atol=1e-4)


def test_outside_of_its_time_nothing_is_touched(landmarks):
    edited = edit_landmarks(landmarks, Edit(opening=2.0), start=0.8, end=1.2, fade=0.2).points
    same = (edited == landmarks.points).flatten(1).all(1)
    assert same[:15].all() and same[35:].all() and not same[20:30].any()
    full = gap(edited)[20:30]
    assert torch.allclose(full, 2 * gap(landmarks.points)[20:30], atol=1e-5)
    assert bool((gap(edited)[16:20].diff() > 0).all())
    weight = time_weight(50, 25.0, 0.0, 0.0, 0.0)
    assert bool((weight == 1).all())


def test_impossible_changes_are_refused(landmarks):
    with pytest.raises(InputError, match="opening is 9"):
        Edit(opening=9)
    with pytest.raises(InputError, match="before it starts"):
        edit_landmarks(landmarks, Edit(), start=2.0, end=1.0)
    with pytest.raises(InputError, match="0 or more"):
        edit_landmarks(landmarks, Edit(), fade=float("nan"))


def test_the_node_checks_times_that_it_can_see():
    assert ArticulateEditLandmarks.validate_inputs(start=1.0, end=0.0) is True
    assert ArticulateEditLandmarks.validate_inputs(start=None, end=1.0) is True
    assert "exchange" in ArticulateEditLandmarks.validate_inputs(start=2.0, end=1.0)
    assert "0 or more" in ArticulateEditLandmarks.validate_inputs(start=-1.0, end=0.0)
    assert "0 or more" in ArticulateEditLandmarks.validate_inputs(start=None, end=-1.0)
