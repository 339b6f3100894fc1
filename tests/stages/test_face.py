"""From a picture to a face: found, cut out, and the way back."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from articulate.models_hub.errors import FaceNotFoundError, InputError
from articulate.models_hub.stages.face import (
    crop_matrix,
    cut_crop,
    estimate_landmarks,
    find_faces,
    locate_face,
    to_crop,
    to_pixels,
)
from articulate.models_hub.stages.face_detection import overlap
from PIL import Image
from torch import Tensor

PORTRAIT = Path(__file__).parents[2] / "samples" / "portrait.jpg"
KNOWN_BOX = (170.0, 80.0, 105.0, 105.0)  # where the astronaut's face is


@pytest.fixture(scope="module")
def portrait() -> Tensor:
    return torch.from_numpy(np.asarray(Image.open(PORTRAIT).convert("RGB")).copy()).float() / 255


@pytest.fixture(scope="module")
def face(portrait):
    return locate_face(portrait)


def resized(picture: Tensor, height: int, width: int) -> Tensor:
    image = picture.movedim(-1, 0)[None]
    return F.interpolate(image, (height, width), mode="bilinear", antialias=True)[0].movedim(0, -1).clamp(0, 1)


def pixels(face) -> Tensor:
    return to_pixels(face.points, face.matrix)


def eye_distance(points: Tensor) -> float:
    return float((points[36:42].mean(dim=0) - points[42:48].mean(dim=0)).norm())


def test_finds_the_known_face(portrait):
    found = find_faces(portrait)
    assert overlap(found[0].box, KNOWN_BOX) > 0.4
    assert 0.35 <= found[0].score <= 1


def test_landmarks_lie_where_they_should(face):
    points = pixels(face)
    assert points.shape == (68, 2)
    left_eye, right_eye = points[36:42].mean(dim=0), points[42:48].mean(dim=0)
    nose, mouth, chin = points[30], points[48:68].mean(dim=0), points[8]
    assert left_eye[0] < nose[0] < right_eye[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < mouth[1] < chin[1]
    x, y, width, height = KNOWN_BOX
    assert (
        (points > torch.tensor([x - 15, y - 15])) & (points < torch.tensor([x + width + 15, y + height + 35]))
    ).all()


def test_crop_is_framed_like_the_training_clips(face):
    assert face.crop.shape == (1, 3, 256, 256)
    low, high = face.points.amin(dim=0), face.points.amax(dim=0)
    torch.testing.assert_close((low + high) / 2, torch.tensor([0.0, 0.2]), atol=1e-4, rtol=0)
    assert float((high - low).max()) == pytest.approx(0.94, abs=1e-4)
    assert face.crop.min() >= 0 and face.crop.max() <= 1
    assert face.picture.shape == (512, 512, 3)


def test_crop_and_picture_are_the_same_place(face):
    ramp = torch.stack(torch.meshgrid(torch.arange(512) + 0.5, torch.arange(512) + 0.5, indexing="xy"), dim=-1)
    picture = torch.cat([ramp, torch.zeros(512, 512, 1)], dim=-1)
    crop = cut_crop(picture, face.matrix)
    centres = (torch.arange(256) + 0.5) / 128 - 1
    grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1)
    expected = to_pixels(grid, face.matrix).clamp(0.5, 511.5)
    torch.testing.assert_close(crop[0, :2].movedim(0, -1), expected, atol=2e-2, rtol=0)
    torch.testing.assert_close(to_crop(to_pixels(face.points, face.matrix), face.matrix), face.points)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_size_of_the_picture_changes_nothing(portrait, face, scale):
    size = round(512 * scale)
    other = locate_face(resized(portrait, size, size))
    distance = (pixels(other) / scale - pixels(face)).norm(dim=-1).mean()
    assert distance < 0.04 * eye_distance(pixels(face))


@pytest.mark.parametrize("channels", ["grey", "alpha", "batch", "bytes"])
def test_every_kind_of_picture_gives_the_same_face(portrait, face, channels):
    if channels == "grey":
        picture = (portrait @ torch.tensor([0.299, 0.587, 0.114]))[..., None]
    elif channels == "alpha":
        picture = torch.cat([portrait, torch.ones(512, 512, 1)], dim=-1)
    elif channels == "batch":
        picture = portrait[None]
    else:
        picture = (portrait * 255).round().to(torch.uint8)
    other = locate_face(picture)
    assert other.picture.shape == (512, 512, 3)
    distance = (pixels(other) - pixels(face)).norm(dim=-1).mean()
    assert distance < (0.05 if channels == "grey" else 0.005) * eye_distance(pixels(face))


def test_landmarks_move_with_the_crop(portrait, face):
    for shift in ([0.06, 0.0], [0.0, -0.05], [-0.04, 0.04]):
        centre = to_pixels(torch.tensor(shift), face.matrix)
        moved = torch.cat([face.matrix[:, :2] * 1.05, centre[:, None]], dim=1)
        points = to_pixels(estimate_landmarks(cut_crop(portrait, moved))[0], moved)
        assert (points - pixels(face)).norm(dim=-1).mean() < 0.06 * eye_distance(pixels(face))


def test_picture_of_64_pixels(portrait, face):
    small = resized(portrait[60:220, 140:300], 64, 64)
    other = locate_face(small)
    expected = (pixels(face) - torch.tensor([140.0, 60.0])) * 64 / 160
    assert (pixels(other) - expected).norm(dim=-1).mean() < 0.12 * eye_distance(expected)


def test_picture_of_4096_pixels(portrait, face):
    other = locate_face(resized(portrait, 4096, 4096))
    assert other.picture.shape == (4096, 4096, 3)
    assert (pixels(other) / 8 - pixels(face)).norm(dim=-1).mean() < 0.04 * eye_distance(pixels(face))


def test_two_faces_are_two_boxes_and_the_index_picks(portrait):
    head = portrait[40:240, 110:310]
    picture = torch.full((260, 520, 3), 0.4)
    picture[20:220, 20:220] = head
    picture[60:210, 330:480] = resized(head, 150, 150)
    found = find_faces(picture)
    assert len(found) == 2
    assert found[0].box[2] > found[1].box[2]
    assert pixels(locate_face(picture, index=0))[30, 0] < 260 < pixels(locate_face(picture, index=1))[30, 0]
    with pytest.raises(FaceNotFoundError, match="2 faces were found"):
        locate_face(picture, index=2)


def test_pictures_without_a_face_give_none():
    generator = torch.Generator().manual_seed(4)
    ramp = torch.linspace(0, 1, 300)[:, None, None].expand(300, 400, 3)
    stripes = (torch.arange(400) // 20 % 2).float()[None, :, None].expand(300, 400, 3)
    for picture in (torch.rand(300, 400, 3, generator=generator), ramp, stripes, torch.zeros(300, 400, 3)):
        assert find_faces(picture.contiguous()) == []
        with pytest.raises(FaceNotFoundError, match="400 x 300 pixels"):
            locate_face(picture)


def test_border_of_the_picture_is_continued(portrait):
    points = torch.rand(68, 2, generator=torch.Generator().manual_seed(5)) * 60 + torch.tensor([-10.0, 20.0])
    crop = cut_crop(portrait, crop_matrix(points))
    assert crop.isfinite().all()
    assert (crop[..., 0] - crop[..., 8]).abs().max() < 1e-4, "left of the picture every column is its first"


def test_given_points_and_boxes_replace_the_search(portrait, face):
    from_points = locate_face(portrait, points=pixels(face))
    torch.testing.assert_close(pixels(from_points), pixels(face), atol=1e-3, rtol=1e-4)
    assert from_points.score == 1
    from_boxes = locate_face(portrait, boxes=[face.box])
    torch.testing.assert_close(pixels(from_boxes), pixels(face), atol=1e-2, rtol=1e-3)


def test_transparent_parts_lie_over_grey(portrait):
    picture = torch.cat([portrait, torch.zeros(512, 512, 1)], dim=-1)
    with pytest.raises(FaceNotFoundError):
        locate_face(picture)


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (torch.full((128, 128, 3), float("nan")), "NaN"),
        (torch.rand(3, 128, 128), "channels last"),
        (torch.rand(2, 128, 128, 3), "2 pictures"),
        (torch.rand(20, 128, 3), "128 x 20 pixels"),
        (torch.rand(128, 128, 3) * 255, "divide bytes by 255"),
    ],
)
def test_unusable_pictures_are_named(picture, words):
    with pytest.raises(InputError, match=words):
        locate_face(picture)


def test_insightface_boxes_become_squares_over_the_same_face(portrait, face, tmp_path, monkeypatch):
    class FaceAnalysis:
        """What insightface's class of this name would answer."""

        def __init__(self, name, allowed_modules):
            assert name == str(tmp_path) and allowed_modules == ["detection"]

        def prepare(self, ctx_id):
            assert ctx_id < 0

        def get(self, picture):
            assert picture.shape == (512, 512, 3) and picture.dtype == np.uint8
            small = SimpleNamespace(bbox=np.array([300.0, 300.0, 330.0, 340.0]), det_score=0.6)
            return [small, SimpleNamespace(bbox=np.array([176.0, 50.0, 264.0, 178.0]), det_score=0.9)]

    monkeypatch.setitem(sys.modules, "insightface", SimpleNamespace(app=SimpleNamespace(FaceAnalysis=FaceAnalysis)))
    monkeypatch.setitem(sys.modules, "insightface.app", SimpleNamespace(FaceAnalysis=FaceAnalysis))
    (tmp_path / "detector.onnx").touch()
    found = locate_face(portrait, detector="insightface", model_folder=tmp_path)
    assert found.score == pytest.approx(0.9)
    assert overlap(found.box, KNOWN_BOX) > 0.5
    assert (pixels(found) - pixels(face)).norm(dim=-1).mean() < 0.03 * eye_distance(pixels(face))


def test_unusable_choices_are_named(portrait, tmp_path):
    with pytest.raises(InputError, match="'haar'"):
        locate_face(portrait, detector="haar")
    with pytest.raises(InputError, match="no onnx"):
        locate_face(portrait, detector="insightface", model_folder=tmp_path)
    with pytest.raises(InputError, match="68 finite"):
        locate_face(portrait, points=torch.zeros(5, 2))
    with pytest.raises(InputError, match="outside the picture"):
        locate_face(portrait, points=torch.rand(68, 2) * 50 + 900)
    with pytest.raises(InputError, match="width, height"):
        locate_face(portrait, boxes=[(1.0, 2.0, 0.0, 5.0)])
    with pytest.raises(FaceNotFoundError, match="at least 24"):
        locate_face(portrait, boxes=[(100.0, 100.0, 12.0, 12.0)])
    with pytest.raises(InputError, match="square crops"):
        estimate_landmarks(torch.rand(1, 3, 256, 200))
