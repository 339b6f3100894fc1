"""Reopened mouths: what is measured lies between the lips, and closing takes the teeth away."""

import cv2
import numpy as np
import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.evaluation import reopened
from articulate.models_hub.networks.mouth_detail import fine_inner_window
from articulate.models_hub.stages.landmark_predictor import neutral_points


@pytest.fixture
def folder(tmp_path, sample_face):
    """One picture of the val split, the sample portrait at three times its size."""
    picture = (sample_face.picture[..., :3].numpy() * 255).round().astype(np.uint8)
    picture = cv2.resize(picture, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    for name in ("pictures", "photos"):
        (tmp_path / name).mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "a.png"), picture[..., ::-1])
    (tmp_path / "pictures.csv").write_text("file,split\na.png,val\n", encoding="utf-8")
    (tmp_path / "manifest.csv").write_text("id,kind,split\n", encoding="utf-8")
    return tmp_path


def test_an_open_mouth_is_measured_against_its_picture(folder):
    seen = []
    found = reopened.evaluate_reopened(folder, "val", lambda done, total: seen.append((done, total)))
    assert seen == [(1, 1)]
    assert found["reopened_pictures"] == 1
    assert 0.05 < found["reopened_mouth_sharpness"] < 5
    assert 0.005 < found["reopened_mouth_l1"] < 0.4


def test_only_what_is_between_the_lips_counts(sample_face):
    window, local, _ = reopened.mouth_window(sample_face, sample_face.picture)
    inner = fine_inner_window(local[None])[0] > 0.5
    soft = torch.from_numpy(cv2.blur(window.permute(1, 2, 0).numpy(), (5, 5))).permute(2, 0, 1)
    assert reopened.edges(soft, inner) < 0.5 * reopened.edges(window, inner)
    elsewhere = torch.where(torch.nn.functional.max_pool2d(inner.float(), 5, 1, 2) > 0, window, soft)
    assert reopened.edges(elsewhere, inner) == pytest.approx(reopened.edges(window, inner), rel=1e-4)


def test_closing_takes_the_teeth_away(sample_face):
    closed = reopened.moved(sample_face, neutral_points(sample_face), "embedded")
    window, local, _ = reopened.mouth_window(sample_face, sample_face.picture)
    inner = fine_inner_window(local[None])[0] > 0.5
    lips = reopened.mouth_window(sample_face, closed)[0]
    assert lips[:, inner[0]].mean() < window[:, inner[0]].mean() - 0.05  # lips instead of teeth


def test_a_folder_of_closed_mouths_is_refused(folder, monkeypatch):
    monkeypatch.setattr(reopened, "SHOWS", 9.0)
    with pytest.raises(InputError, match="a mouth that is open"):
        reopened.evaluate_reopened(folder, "val")
