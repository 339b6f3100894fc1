"""Pictures bent by known motion: what is at a landmark goes with it, what is far from the head stays."""

import numpy as np
import pytest
import torch
from articulate.models_hub.training.stills import bend, moved_like, read_stills


@pytest.fixture(scope="module")
def picture(sample_face):
    """The sample portrait's crop (1, 3, 256, 256) and landmarks (68, 2)."""
    return sample_face.crop, sample_face.points


@pytest.fixture(scope="module")
def motion(picture):
    """A head that turns in the plane and comes nearer, with brows that rise; (3, 68, 2), from rest on."""
    points = picture[1]
    turn = torch.tensor([[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]], dtype=torch.float32)
    moved = 1.05 * points @ turn.T + torch.tensor([0.04, -0.03])
    raised = points.clone()
    raised[17:27, 1] -= 0.04
    return torch.stack([points, moved, raised])


def test_no_motion_gives_the_picture_back(picture):
    image, points = picture
    made = bend(image, points, points[None])
    assert (made - image).abs().max() < 1e-3


def test_faces_move_like_those_they_learn_from(picture, motion):
    points = picture[1]
    assert torch.allclose(moved_like(points, motion), motion[1:], atol=1e-5)
    smaller = moved_like(0.5 * points + 0.1, motion)  # a face of half the size moves half as far
    assert torch.allclose(smaller - (0.5 * points + 0.1), 0.5 * (motion[1:] - points), atol=1e-5)


def test_what_is_at_a_landmark_goes_with_it(picture, motion):
    points = picture[1]
    columns, rows = torch.meshgrid(*2 * [torch.linspace(-1, 1, 256)], indexing="xy")
    places = torch.stack([columns, rows, torch.zeros(256, 256)])[None] / 2 + 0.5  # colours say where they come from
    made = bend(places, points, motion[1:])
    for frame, driving in zip(made, motion[1:], strict=True):
        seen = torch.nn.functional.grid_sample(frame[None], driving[None, None], align_corners=False)[0, :2, 0].T
        error = (2 * seen - 1 - points).norm(dim=-1)
        assert error.mean() < 0.01 and error.max() < 0.04  # 1.3 and 5 pixels of 256


def test_the_corners_of_the_picture_stay(picture, motion):
    image, points = picture
    small = 0.5 * points  # a head that is far from them
    made = bend(image, small, 0.5 * motion[1:])
    for part in ((..., slice(0, 16), slice(0, 16)), (..., slice(-16, None), slice(-16, None))):
        assert (made[part] - image[part]).abs().max() < 2e-2


def test_stills_are_those_of_their_split(tmp_path, picture):
    from PIL import Image

    image, points = picture
    (tmp_path / "photos").mkdir()
    lines = ["id,kind,split"]
    for name, kind, split in (("a", "photo", "train"), ("b", "painting", "val"), ("c", "generated", "train")):
        lines.append(f"{name},{kind},{split}")
        pixels = (image[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        Image.fromarray(pixels).resize((512, 512)).save(tmp_path / "photos" / f"{name}.jpg")
        np.savez(tmp_path / "photos" / f"{name}.npz", points=((points[None].numpy() + 1) * 2048).astype(np.int16))
    lines.append("d,clip,train")
    (tmp_path / "manifest.csv").write_text("\n".join(lines), encoding="utf-8")
    stills = read_stills(tmp_path, "train")
    assert len(stills) == 2 and len(read_stills(tmp_path, "test")) == 0
    assert np.abs(stills.points[0] - points.numpy()).max() < 1e-3
    assert stills.take(1)[0].shape == (1, 3, 256, 256)
