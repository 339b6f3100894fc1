"""Figures of talking videos, on a clip made of the sample face."""

import csv
from pathlib import Path

import articulate
import numpy as np
import pytest
import torch
from articulate.models_hub.evaluation import talking
from articulate.models_hub.media import write_video
from articulate.models_hub.media.sound import read_audio
from articulate.models_hub.types import Landmarks


@pytest.fixture(scope="module")
def data(tmp_path_factory, moving_face):
    """A folder with one clip of 2.5 s: the sample face, and the sample speech."""
    import soundfile

    folder = tmp_path_factory.mktemp("data")
    (folder / "clips").mkdir()
    frames, points = moving_face
    order = (list(range(12)) + list(range(10, 0, -1))) * 3
    order = order[:62]
    write_video(folder / "clips" / "ann_0.mp4", iter([frames[order].permute(0, 2, 3, 1)]), 25)
    marks = np.concatenate([points[order].numpy(), np.zeros((62, 2, 2))], 1)
    np.savez(
        folder / "clips" / "ann_0.npz", points=((marks + 1) * 2048).round().astype(np.int16), valid=np.ones(62, bool)
    )
    sound, rate = read_audio(Path(articulate.__file__).parent / "samples" / "speech.flac")
    soundfile.write(folder / "clips" / "ann_0.flac", sound[0, : int(2.48 * rate)].numpy(), rate)
    row = {"id": "ann_0", "kind": "clip", "split": "val", "person": "ann", "sync": "ok", "audio": "yes",
           "av_lag_frames": "0", "frames": "62"}  # fmt: skip
    with open(folder / "manifest.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    return folder


def test_a_portrait_speaks_and_is_silent(data):
    figures = talking.evaluate_talking(data, "val")
    assert figures["talking_clips"] == 1
    assert figures["silence_opening"] < 0.05
    assert figures["still_psnr"] > 45
    assert figures["talking_sync_within_one"] in (0.0, 1.0)
    assert figures["talking_sync_within_one_interval"] == [figures["talking_sync_within_one"]] * 2  # of one person
    assert figures["whispered_correlation_interval"] == pytest.approx([figures["whispered_correlation"]] * 2)
    assert 0 <= figures["hiss_opening"] < 0.5


def test_the_portrait_is_the_frame_with_the_most_closed_mouth(data, moving_face):
    face = talking.portrait(data, "ann_0")
    x, y = face.points[30]
    placed = face.matrix @ torch.tensor([x, y, 1.0])
    assert torch.allclose(placed, (face.points[30] + 1) * 128)
    assert face.crop.shape == (1, 3, 256, 256)


def test_flicker_is_seen(sample_face):
    marks = Landmarks(sample_face.points[None].repeat(6, 1, 1), torch.ones(6, dtype=torch.bool))
    steady = talking.still_psnr(sample_face, marks)
    jittered = marks.points + 0.03 * torch.randn(6, 68, 2, generator=torch.Generator().manual_seed(0))
    assert talking.still_psnr(sample_face, marks.with_points(jittered)) < min(45, steady - 5)
