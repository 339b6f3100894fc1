"""Sharpness at the picture's own size: blur costs it, the photo has all of it, moving skin keeps most of it."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.evaluation import native
from articulate.models_hub.stages import compose
from articulate.models_hub.types import Landmarks


@pytest.fixture(scope="module")
def large_face(sample_face):
    """The sample face in a picture of twice its size, with the texture that enlarging cannot give it."""
    picture = cv2.resize(sample_face.picture[..., :3].numpy(), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    random = np.random.default_rng(0)
    grain = cv2.GaussianBlur(random.normal(0, 0.08, picture.shape[:2]).astype(np.float32), (0, 0), 0.6)
    picture = torch.from_numpy((picture + grain[..., None]).clip(0, 1))
    return replace(sample_face, picture=picture, matrix=2 * sample_face.matrix)


def test_blur_costs_energy(large_face):
    boxes = native.cheek_boxes(large_face)
    blurred = torch.from_numpy(cv2.blur(large_face.picture.numpy(), (3, 3)))
    assert native.energy(blurred, boxes) < 0.5 * native.energy(large_face.picture, boxes)
    elsewhere = large_face.picture.clone()
    elsewhere[:40] = 0
    assert native.energy(elsewhere, boxes) == native.energy(large_face.picture, boxes)


def moving(face):
    """The head goes right and down by 0 to 3.5 pixels of the picture, in steps of half a pixel."""
    shift = torch.arange(8)[:, None, None] * 0.5 / float(face.matrix[0, 0])
    return Landmarks(face.points + shift * torch.tensor([1.0, 0.7]), torch.ones(8, dtype=torch.bool))


def test_moving_skin_keeps_its_texture(large_face, monkeypatch):
    monkeypatch.setattr(native, "STRIDE", 1)
    kept = native.cheek_sharpness(large_face, moving(large_face))
    assert 0.85 < kept < 1.15
    monkeypatch.setattr(compose, "MOST_PIXELS", 0)  # moved without being doubled
    assert native.cheek_sharpness(large_face, moving(large_face)) < kept - 0.1


def test_a_folder_without_large_pictures_is_refused(tmp_path, monkeypatch):
    (tmp_path / "pictures.csv").write_text("file,split,width,height\nsmall.jpg,val,256,256\n")
    monkeypatch.setattr(native, "voice", lambda data, split: None)
    with pytest.raises(InputError, match="1024"):
        native.evaluate_native(tmp_path, "val")
