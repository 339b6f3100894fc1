"""Training of the mouth detail: windows of sharp mouths, blur that keeps to the lips, exact resume."""

import json
from argparse import Namespace

import numpy as np
import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.loading import load_network
from articulate.models_hub.networks.ibug68 import INNER_LIPS
from articulate.models_hub.networks.mouth_detail import fine_inner_window
from articulate.models_hub.networks.mouth_painter import COLUMNS, ROWS
from articulate.models_hub.stages.face import to_pixels
from articulate.models_hub.training import mouth_detail
from articulate.models_hub.training.mouth_detail import SharpMouths, as_painted, blurred, varied, window_of


@pytest.fixture(scope="module")
def photo(sample_face):
    """The sample picture and its landmarks in pixels."""
    picture = (sample_face.picture.numpy() * 255).round().astype(np.uint8)
    return picture, to_pixels(sample_face.points, sample_face.matrix)


@pytest.fixture(scope="module")
def mouths(photo):
    """Four mouths: that of the sample picture, opened by its landmarks alone."""
    real, local, _ = window_of(*photo)
    local = local[None].repeat(4, 1, 1)
    local[:, [65, 66, 67], 1] += torch.tensor([0.3, 0.4, 0.5, 0.6])[:, None]
    return SharpMouths(real[None].repeat(4, 1, 1, 1), local)


def test_a_window_holds_the_mouth(photo):
    picture, points = photo
    real, local, wide = window_of(picture, points)
    assert real.shape == (3, 4 * ROWS, 4 * COLUMNS) and real.min() >= 0 and real.max() <= 1
    assert local[list(INNER_LIPS)].abs().max() < 0.8
    eyes = points[36:42].mean(0) - points[42:48].mean(0)
    assert wide == pytest.approx(1.28 * float(eyes.norm()), rel=0.05)
    # A pixel of the picture is where its landmark says it is.
    corner = points[48].int()
    assert np.abs(picture[corner[1], corner[0]] / 255 - sampled(real, local[48])).max() < 0.15


def sampled(window, place):
    grid = place.view(1, 1, 1, 2)
    return torch.nn.functional.grid_sample(window[None], grid, align_corners=False)[0, :, 0, 0].numpy()


def test_blur_keeps_brightness_and_removes_edges():
    maps = torch.rand(2, 3, 40, 60, generator=torch.Generator().manual_seed(0))
    flat = torch.full((2, 3, 40, 60), 0.3)
    deviation = torch.tensor([1.0, 5.0])
    torch.testing.assert_close(blurred(flat, deviation), flat)
    made = blurred(maps, deviation)
    assert made.mean() == pytest.approx(float(maps.mean()), abs=0.01)
    energy = made.diff(dim=-1).square().mean((1, 2, 3))
    assert energy[1] < 0.3 * energy[0]


def test_lips_do_not_bleed_into_what_is_painted(mouths):
    inner = (fine_inner_window(mouths.local, 1.0) > 0.5).float()
    real = (inner * 0.2 + (1 - inner) * 0.9).expand(-1, 3, -1, -1)  # dark mouths between bright lips
    painted = as_painted(real, mouths.local, torch.full((4,), 6.0))
    deep = torch.nn.functional.avg_pool2d(inner, 2) == 1
    assert painted.shape == (4, 3, 2 * ROWS, 2 * COLUMNS)
    assert (painted[deep.expand_as(painted)] - 0.2).abs().max() < 0.02


def test_landmarks_move_with_the_picture(mouths):
    """The inner mouth is white: it must lie under its landmarks, however the mouth was turned."""
    inner = (fine_inner_window(mouths.local, 1.0) > 0.5).float()
    made = varied(SharpMouths(inner.expand(-1, 3, -1, -1), mouths.local), torch.Generator().manual_seed(3))
    there = fine_inner_window(made.local, 1.0) > 0.5
    white = made.real.mean(1, keepdim=True) > made.real.amax((1, 2, 3), keepdim=True) / 2
    overlap = (there & white).sum((1, 2, 3)) / (there | white).sum((1, 2, 3))
    assert overlap.min() > 0.85
    assert (made.local - mouths.local).abs().amax((1, 2)).min() > 0.01


def arguments(folder, **changes):
    usual = {"data": folder, "output": folder, "steps": 4, "resume": False, "seed": 0, "threads": 0, "install": False}
    options = {"batch": 2, "rate": 1e-3, "generator": "embedded", "accelerator": "cpu", "devices": "1"}
    return Namespace(**usual | options | changes)


def test_a_stopped_training_goes_on_exactly(mouths, tmp_path, monkeypatch):
    monkeypatch.setattr(mouth_detail, "sharp_mouths", lambda data, split: mouths)
    monkeypatch.setattr(mouth_detail, "LOOK_EVERY", 2)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    mouth_detail.run(arguments(whole))

    class Stopped(Exception):
        pass

    original = mouth_detail.Trainer.step

    def step(self, number, loop):
        if number == 2:
            raise Stopped
        return original(self, number, loop)

    monkeypatch.setattr(mouth_detail.Trainer, "step", step)
    with pytest.raises(Stopped):
        mouth_detail.run(arguments(stopped))
    monkeypatch.setattr(mouth_detail.Trainer, "step", original)
    mouth_detail.run(arguments(stopped, resume=True))
    files = [
        load_network("generator", str(folder / "generator.safetensors")).state_dict() for folder in (whole, stopped)
    ]
    before = load_network("generator").state_dict()
    for name, value in files[0].items():
        torch.testing.assert_close(value, files[1][name])
        if not name.startswith("detail."):
            torch.testing.assert_close(value, before[name], atol=1e-3, rtol=1e-3)
    assert json.loads(torch.load(whole / "checkpoint.pt", weights_only=True)["state"])["step"] == 4


def test_blurred_mouths_come_nearer_to_what_they_were(mouths, tmp_path, monkeypatch):
    monkeypatch.setattr(mouth_detail, "sharp_mouths", lambda data, split: mouths)
    mouth_detail.run(arguments(tmp_path, steps=30, batch=4))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert max(line.get("val_blurred_mouth_l1_reduction", -1.0) for line in lines) > 0.03


def test_pictures_of_closed_mouths_are_refused(tmp_path):
    (tmp_path / "manifest.csv").write_text("id,kind,split\n", encoding="utf-8")
    (tmp_path / "pictures.csv").write_text("file,split,boxes\n", encoding="utf-8")
    with pytest.raises(InputError, match="not one shows a mouth that is open"):
        mouth_detail.sharp_mouths(tmp_path, "train")


def test_mouths_of_photos_and_pictures_are_found(tmp_path, photo, sample_face):
    import cv2

    picture, points = photo
    enlarged = cv2.resize(picture, None, fx=2.5, fy=2.5, interpolation=cv2.INTER_CUBIC)
    for folder in ("photos", "pictures"):
        (tmp_path / folder).mkdir()
        assert cv2.imwrite(str(tmp_path / folder / "a.jpg"), enlarged[..., ::-1])
    side = enlarged.shape[0]
    marks = np.zeros((1, 70, 2), np.int16)
    marks[0, :68] = (points.numpy() * 2.5 / side * 4096).round()
    np.savez(tmp_path / "photos" / "a.npz", points=marks)
    (tmp_path / "manifest.csv").write_text("id,kind,split\na,photo,train\n", encoding="utf-8")
    (tmp_path / "pictures.csv").write_text("file,split,boxes\na.jpg,train,1 2 3 4\n", encoding="utf-8")
    found = mouth_detail.sharp_mouths(tmp_path, "train")
    assert len(found) == 2
    assert (found.real[0] - found.real[1]).abs().mean() < 0.1  # given landmarks and found ones agree
