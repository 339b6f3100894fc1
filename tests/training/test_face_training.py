"""Training material of faces, the two losses, and resuming."""

import csv
import json
from argparse import ArgumentParser
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from articulate.models_hub.errors import MediaError
from articulate.models_hub.loading import load_network
from articulate.models_hub.networks.density import density_maps
from articulate.models_hub.networks.face_finder import FaceFinder
from articulate.models_hub.networks.ibug68 import COUNT, MIRROR
from articulate.models_hub.training import finder, landmarks
from articulate.models_hub.training.face_data import box_of_points, disturb, landmark_set, rows
from articulate.models_hub.training.face_fit import learning_rate
from articulate.models_hub.training.finder_data import CANVAS, Composer
from PIL import Image

PORTRAIT = Path(__file__).parents[2] / "samples" / "portrait.jpg"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """One photo, one picture and one clip of a second in each split."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("clips", "photos", "pictures"):
        (folder / name).mkdir()
    portrait = Image.open(PORTRAIT).convert("RGB")
    angles = np.linspace(0, 2 * np.pi, COUNT, endpoint=False)
    shape = 2048 + 900 * np.stack([np.cos(angles), np.sin(angles) + 0.4], axis=1)
    manifest, pictures = [], []
    for split in ("train", "val"):
        photo, clip = f"photo_{split}", f"clip_{split}"
        portrait.crop((140, 40, 310, 210)).resize((512, 512)).save(folder / "photos" / f"{photo}.jpg")
        np.savez(folder / "photos" / f"{photo}.npz", points=shape[None].astype(np.int16))
        frame = np.asarray(portrait.crop((140, 40, 310, 210)).resize((256, 256)))
        with av.open(str(folder / "clips" / f"{clip}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 256, 256, "yuv420p"
            for _ in range(25):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
        valid = np.arange(25) < 20
        np.savez(folder / "clips" / f"{clip}.npz", points=np.repeat(shape[None], 25, 0).astype(np.int16), valid=valid)
        manifest += [dict(id=photo, kind="photo", split=split, person=photo)]
        manifest += [dict(id=clip, kind="clip", split=split, person=clip)]
        portrait.save(folder / "pictures" / f"{split}.jpg")
        pictures.append(dict(file=f"{split}.jpg", split=split, boxes="170 80 105 105"))
    for name, table in (("manifest.csv", manifest), ("pictures.csv", pictures)):
        with open(folder / name, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)
    return folder


def arguments(module, data, output, *more):
    parser = ArgumentParser()
    module.add_arguments(parser)
    fixed = ["--data", str(data), "--output", str(output), "--batch", "2", "--cache", str(data / "cache")]
    return parser.parse_args([*fixed, *more])


def test_landmark_set_skips_invalid_frames_and_other_splits(data):
    material = landmark_set(data, "train", data / "cache")
    assert material.frames.shape[1:] == (256, 256, 3)
    assert set(material.groups) == {"clip:clip_train", "photo:photo_train"}
    assert (material.groups == "clip:clip_train").sum() == len(range(0, 20, 8))
    assert material.points.shape == (len(material.frames), COUNT, 2)


def test_missing_data_is_named(tmp_path):
    with pytest.raises(MediaError, match=r"manifest\.csv does not exist"):
        rows(tmp_path, "manifest.csv")


def test_batches_depend_on_their_numbers_alone(data):
    batches = landmarks.Batches(landmark_set(data, "train", data / "cache"), batch=3)
    first, again, other = (batches(np.random.default_rng((7, step)), 64) for step in (5, 5, 6))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_augmented_points_stay_on_the_same_spot_of_the_face(data):
    material = landmark_set(data, "train", data / "cache")
    spots = np.zeros_like(np.asarray(material.frames))
    centre = np.array([0.3, -0.1])
    x, y = ((centre + 1) * 128).astype(int)
    spots[:, y - 4 : y + 4, x - 4 : x + 4] = 255
    marked = type(material)(spots, np.tile(centre.astype(np.float32), (len(spots), COUNT, 1)), material.groups)
    crops, points = landmarks.Batches(marked, batch=24)(np.random.default_rng(0), 128)
    weights = (crops.mean(dim=1) - 0.6).clamp(min=0)
    axis = (torch.arange(128) + 0.5) / 64 - 1
    mass = weights.sum(dim=(1, 2))
    seen = torch.stack([(weights.sum(dim=1) @ axis) / mass, (weights.sum(dim=2) @ axis) / mass], dim=-1)
    distance = (seen - points[:, 0]).norm(dim=-1)
    assert distance[mass > 3].median() < 0.02


def test_mirror_is_its_own_inverse():
    assert [MIRROR[MIRROR[index]] for index in range(COUNT)] == list(range(COUNT))


def test_landmark_loss_is_least_at_the_truth():
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(2, COUNT, 2, generator=generator) - 0.5
    weights = landmarks.point_weights()
    target = density_maps(points, 64, landmarks.SIGMA, [[i] for i in range(COUNT)])
    best = landmarks.landmark_loss((target + 1e-12).log(), points, weights)
    assert best[1].abs() < 1e-3
    assert best[2] < 1e-3
    moved = density_maps(points + 0.05, 64, landmarks.SIGMA, [[i] for i in range(COUNT)])
    assert landmarks.landmark_loss((moved + 1e-12).log(), points, weights)[0] > best[0] + 0.1


def test_disturbing_keeps_size_and_place():
    picture = np.full((64, 80, 3), 90, np.uint8)
    picture[20:40, 30:50] = 220
    for seed in range(12):
        result = disturb(picture, np.random.default_rng(seed))
        assert result.shape == picture.shape and result.dtype == np.uint8
        assert result[24:36, 34:46].mean() > result[45:60, 5:20].mean()


def test_composed_pictures_hold_their_boxes(data):
    composer = Composer(data, "train", landmark_set(data, "train", data / "cache"))
    generator = np.random.default_rng(3)
    counts = []
    for _ in range(40):
        picture, faces, unclear = composer.picture(generator)
        assert picture.shape == (CANVAS, CANVAS, 3)
        counts.append(len(faces))
        for box in np.concatenate([faces, unclear]):
            middle = box[:2] + box[2:] / 2
            assert (middle >= 0).all() and (middle <= CANVAS).all()
    assert min(counts) == 0 and max(counts) >= 2


def test_ideal_answer_gives_the_boxes_back():
    faces = np.array([[20.0, 30.0, 60.0, 64.0], [120.0, 90.0, 24.0, 24.0]])
    heat, values, weights, judged = finder.targets(faces, np.array([[98.0, 10.0, 40.0, 40.0]]))
    assert (heat > 0.999).sum() == 2
    assert (judged == 0).sum() == 25
    logit = torch.logit(torch.from_numpy(heat), eps=1e-6)
    scores, boxes = FaceFinder.boxes(torch.cat([logit[None], torch.from_numpy(values)])[None])
    found = boxes[0][scores[0] > 0.99]
    torch.testing.assert_close(found, torch.from_numpy(faces).float(), atol=1e-3, rtol=1e-4)
    truth = [torch.from_numpy(part)[None] for part in (heat, values, weights, judged)]
    answer = torch.cat([logit[None], torch.from_numpy(values)])[None]
    focal, place = finder.finder_loss(answer, *truth)
    assert place < 1e-5
    assert focal < finder.finder_loss(torch.zeros_like(answer), *truth)[0]


def test_box_of_points_is_a_square_around_them():
    points = np.array([[10.0, 20.0], [110.0, 90.0], [60.0, 60.0]])
    x, y, width, height = box_of_points(points)
    assert width == height > 100
    assert x < 10 and x + width > 110 and y < 20 and y + height > 90


def test_learning_rate_rises_stays_and_falls():
    rates = [learning_rate(step, 1000, 1e-3) for step in range(1001)]
    assert rates[0] < rates[99] == rates[599] == 1e-3
    assert rates[-1] == 0


@pytest.mark.parametrize(("module", "stage"), [(finder, "face_finder"), (landmarks, "landmark_estimator")])
def test_training_resumes_where_it_stopped(module, stage, data, tmp_path):
    module.run(arguments(module, data, tmp_path / "whole", "--steps", "4"))
    module.run(arguments(module, data, tmp_path / "parts", "--steps", "2"))
    module.run(arguments(module, data, tmp_path / "parts", "--steps", "4", "--resume"))
    whole, parts = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("whole", "parts"))
    assert whole["step"] == parts["step"] == 4
    for key, value in whole["average"].items():
        # Two runs differ in their learning rates' fall, by far less than they learn.
        torch.testing.assert_close(parts["average"][key].float(), value.float(), atol=5e-3, rtol=5e-2)
    assert (tmp_path / "whole" / f"{stage}.safetensors").stat().st_size > 0
    material = landmark_set(data, "train", data / "cache")
    facts = json.loads(json.dumps(module.card(arguments(module, data, tmp_path), material, FIGURES)))
    assert "3 frames of clips of 1 people, 1 photos" in facts["trained_on"]


FIGURES = {"face_found": 1.0, "boxes_a_picture": 1.0, "overlap": 0.8, "clip_error": 0.03, "photo_error": 0.04}


@pytest.mark.parametrize("module", [finder, landmarks])
def test_training_runs_on_any_device(data, tmp_path, elsewhere, module):
    module.run(arguments(module, data, tmp_path, "--steps", "2"))
    assert not list(tmp_path.glob("*.safetensors"))  # another process writes


@pytest.mark.parametrize(("module", "stage"), [(finder, "face_finder"), (landmarks, "landmark_estimator")])
def test_what_was_best_on_val_is_written(data, tmp_path, monkeypatch, module, stage):
    errors = iter([0.2, 0.3, 0.4])

    def validation(network, *_, **__):
        error = next(errors)
        return {"face_found": 1 - error, "overlap": 0.0, "boxes_a_picture": 1.0, "clip_error": error, "photo_error": 0}

    monkeypatch.setattr(module, "validation", validation)
    module.run(arguments(module, data, tmp_path / "one", "--steps", "1"))
    first = torch.load(tmp_path / "one" / "checkpoint.pt", weights_only=True)
    errors = iter([0.3, 0.4])
    module.run(arguments(module, data, tmp_path / "one", "--steps", "3", "--resume"))
    second = torch.load(tmp_path / "one" / "checkpoint.pt", weights_only=True)
    written = load_network(stage, str(tmp_path / "one" / f"{stage}.safetensors")).state_dict()
    assert any(not torch.equal(first["average"][name], second["average"][name]) for name in written)
    for name, value in written.items():
        torch.testing.assert_close(value.float(), first["kept"][name].float(), atol=2e-3, rtol=2e-3)
