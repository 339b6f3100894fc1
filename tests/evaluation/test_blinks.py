"""The figure of blinks: 0 for eyes that stay open, about 1 for eyes that close."""

import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.evaluation import blinks
from articulate.models_hub.stages import generator


def test_a_portrait_that_blinks_is_told_from_one_that_does_not(sample_face, monkeypatch):
    assert blinks.blink_cover(sample_face) > 0.6
    monkeypatch.setattr(generator, "eyelids", lambda *_: None)
    assert abs(blinks.blink_cover(sample_face)) < 0.3


def test_irises_and_skin_lie_apart(sample_face):
    irises, skin = blinks.eye_parts(sample_face.points, 256)
    assert irises.any() and skin.any() and not (irises & skin).any()
    rows = torch.arange(256)[:, None].expand(256, 256)
    assert rows[skin].float().mean() < rows[irises].float().mean() - 5


def test_no_photo_is_said(tmp_path):
    (tmp_path / "manifest.csv").write_text("id,kind,split\nclip,clip,val\n", encoding="utf-8")
    with pytest.raises(InputError, match="No val photo"):
        blinks.evaluate_blinks(tmp_path, "val")
