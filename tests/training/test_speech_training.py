"""Speech training on a made-up data folder: it runs, resumes, and what it learns from is on one timeline."""

import csv
import json
from argparse import ArgumentParser

import numpy as np
import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.loading import load_network
from articulate.models_hub.networks.audio_to_lip import MARGIN, STEP
from articulate.models_hub.networks.lip_shape import LIP_SLICE
from articulate.models_hub.training import (
    audio_to_lip,
    motion,
    predictor,
    speech_augmentation,
    speech_data,
    speech_teacher,
    voices,
)
from articulate.models_hub.training.phones import CLASSES, UNKNOWN, Utterance, frame_classes, phone_class

FRAMES = 60


def face(gap):
    """(68, 2) in -1..1, eye distance 0.4; the lower lip and chin drop with the gap."""
    points = np.zeros((68, 2))
    angle = np.linspace(0, np.pi, 17)
    points[:17] = np.stack([-0.46 * np.cos(angle), 0.05 + 0.7 * np.sin(angle)], 1)
    points[17:27] = np.stack([np.linspace(-0.35, 0.35, 10), np.full(10, -0.15)], 1)
    points[27:36] = np.stack([np.linspace(-0.05, 0.05, 9), np.linspace(0, 0.25, 9)], 1)
    circle = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    points[36:42] = np.stack([-0.2 + 0.06 * np.cos(circle), 0.02 * np.sin(circle)], 1)
    points[42:48] = points[36:42] + np.array([0.4, 0])
    points[48:68] = np.stack([0.15 * np.cos(np.linspace(0, 2 * np.pi, 20)), np.full(20, 0.4)], 1)
    points[[61, 62, 63, 65, 66, 67], 1] = [0.4, 0.4, 0.4, 0.4 + gap, 0.4 + gap, 0.4 + gap]
    return points


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two train clips and one val clip of noise bursts whose mouth opens with them, and one recording."""
    import soundfile

    folder = tmp_path_factory.mktemp("data")
    (folder / "clips").mkdir()
    (folder / "speech").mkdir()
    random = np.random.default_rng(0)
    rows = []
    for name, split, lag in (("a", "train", 0), ("b", "train", 2), ("c", "val", 0)):
        envelope = np.clip(np.sin(np.arange(FRAMES) / 3), 0, 1)
        sound = np.repeat(np.roll(envelope, -lag), 640) * 0.1 * random.standard_normal(FRAMES * 640)
        soundfile.write(str(folder / "clips" / f"{name}.flac"), sound, 16_000)
        points = np.stack([face(0.1 * value) for value in envelope])
        iris = np.zeros((FRAMES, 2, 2))
        coded = ((np.concatenate([points, iris], 1) + 1) * 2048).astype(np.int16)
        np.savez(folder / "clips" / f"{name}.npz", points=coded, valid=np.ones(FRAMES, bool))
        rows.append({"id": name, "kind": "clip", "split": split, "person": name, "audio": "yes", "sync": "ok",
                     "av_lag_frames": str(lag)})  # fmt: skip
    soundfile.write(str(folder / "speech" / "d.flac"), 0.1 * random.standard_normal(32_000), 16_000)
    with open(folder / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return folder


def arguments(module, data, output, *more):
    parser = ArgumentParser()
    module.add_arguments(parser)
    return parser.parse_args(["--data", str(data), "--output", str(output), *map(str, more)])


def test_lag_is_corrected_so_that_sound_and_mouth_move_together(data):
    for clip in speech_data.talking_clips(data, "train"):
        assert len(clip.mel) == STEP * len(clip.motion)
        gap = clip.motion[:, LIP_SLICE][:, 18, 1]
        level = clip.mel.view(-1, STEP * 64).mean(1)
        assert np.corrcoef(gap, level)[0, 1] > 0.6


def test_a_closed_mouth_is_no_motion(data):
    clip = speech_data.talking_clips(data, "val")[0]
    gap = clip.motion[:, LIP_SLICE][:, 18, 1] - clip.motion[:, LIP_SLICE][:, 14, 1]
    assert gap.min().abs() < 0.01
    assert gap.max() == pytest.approx(0.25, abs=0.02)  # 0.1 of the crop is a quarter of the eye distance


def test_crops_have_their_margins(data):
    sampler = speech_data.Sampler(speech_data.talking_clips(data, "train"), 16, np.random.default_rng(0))
    batch = sampler(3)
    assert batch.mel.shape == (3, 16 * STEP + 2 * MARGIN, 64)
    assert batch.clean.shape == (3, 16 * STEP, 64)
    assert batch.motion.shape == (3, 16, 37, 2)


def test_augmentation_is_finite_and_repeats_with_its_seed(data):
    mel = speech_data.talking_clips(data, "train")[0].mel[None].repeat(4, 1, 1)
    first, second = (speech_augmentation.augment(mel, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.isfinite().all() and not torch.allclose(first, mel)


def test_hidden_spans_cover_about_their_share():
    hidden = speech_augmentation.hide_spans(200, 400, 0.3, 5, torch.Generator().manual_seed(0))
    assert 0.2 < hidden.float().mean() < 0.35


def test_a_missing_split_gets_a_sentence(data):
    with pytest.raises(InputError, match="weak"):
        speech_data.clip_rows(data, "val", ("weak",))


def test_encoder_and_predictor_train_resume_and_load(data, tmp_path):
    encoder = tmp_path / "encoder"
    audio_to_lip.run(arguments(audio_to_lip, data, encoder, "--steps", 2, "--synthetic", 0))
    audio_to_lip.run(arguments(audio_to_lip, data, encoder, "--steps", 3, "--synthetic", 0, "--resume"))
    weights = encoder / "audio_to_lip.safetensors"
    network = load_network("audio_to_lip", str(weights))
    assert network(torch.zeros(1, 2 * MARGIN + STEP, 64)).isfinite().all()
    output = tmp_path / "joint"
    start = encoder / "checkpoint.pt"
    predictor.run(arguments(predictor, data, output, "--steps", 0, "--encoder", weights, "--start", start))
    joint = load_network("landmark_predictor", str(output / "landmark_predictor.safetensors"))
    taught = torch.load(start, weights_only=True)["average"]["predictor.layers.4.weight"]
    torch.testing.assert_close(joint.layers[4].weight, taught, atol=1e-3, rtol=0)
    output = tmp_path / "predictor"
    predictor.run(arguments(predictor, data, output, "--steps", 2, "--encoder", weights))
    with pytest.raises(InputError, match="holds no predictor"):
        strange = ("--start", output / "checkpoint.pt")
        predictor.run(arguments(predictor, data, tmp_path / "no", "--steps", 0, "--encoder", weights, *strange))
    loaded = load_network("landmark_predictor", str(output / "landmark_predictor.safetensors"))
    assert loaded(torch.zeros(5, network.width)).shape == (5, 37, 2)
    assert torch.load(output / "checkpoint.pt", weights_only=True)["step"] == 2
    predictor.run(arguments(predictor, data, output, "--steps", 4, "--encoder", weights, "--resume"))
    whole = tmp_path / "whole"
    predictor.run(arguments(predictor, data, whole, "--steps", 4, "--encoder", weights))
    ends = [torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (output, whole)]
    for name, value in ends[1]["average"].items():
        assert torch.equal(value, ends[0]["average"][name]), name
    assert ends[0]["step"] == ends[1]["step"] == 4


def test_a_started_encoder_waits_for_its_heads_and_then_learns(data, tmp_path, monkeypatch):
    first, second, more = tmp_path / "first", tmp_path / "second", ("--synthetic", 0, "--width", 16)
    audio_to_lip.run(arguments(audio_to_lip, data, first, "--steps", 2, *more))
    weights = first / "audio_to_lip.safetensors"
    given = load_network("audio_to_lip", str(weights)).state_dict()

    def learned(waits):
        monkeypatch.setattr(audio_to_lip, "HEADS_FIRST", waits)
        audio_to_lip.run(arguments(audio_to_lip, data, second, "--steps", 3, *more, "--start", weights))
        content = torch.load(second / "checkpoint.pt", weights_only=True)["learner"]
        same = [torch.equal(content[f"encoder.{name}"], value) for name, value in given.items()]
        return same, content["phones.weight"]

    (waited, head), (_, later) = learned(3), learned(2)
    assert all(waited) and not torch.equal(head, later)
    assert not all(learned(1)[0])
    with pytest.raises(InputError, match="--width 16"):
        audio_to_lip.run(arguments(audio_to_lip, data, second, "--steps", 1, "--synthetic", 0, "--start", weights))


def test_an_encoder_learns_what_a_teacher_hears(data, tmp_path, monkeypatch):
    def hear(samples, frames):
        level = samples[: frames * 640].view(frames, 640).abs().mean(1)
        return torch.stack([level, level.roll(1), torch.arange(frames) % 2], 1).repeat(1, len(speech_teacher.BLOCKS))

    monkeypatch.setattr(audio_to_lip, "SpeechTeacher", lambda path: hear)
    monkeypatch.setattr(audio_to_lip, "other_voices", lambda seconds, seed: [(torch.randn(1, 32_000), 16_000)])
    monkeypatch.setattr(speech_teacher, "STEPS", 60)
    more = ("--steps", 2, "--synthetic", 0, "--voices", 2, "--teacher", "encoder.onnx", "--width", 16)
    audio_to_lip.run(arguments(audio_to_lip, data, tmp_path, *more))
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["learner"]["heard.weight"].shape == (12, 16)
    weights = tmp_path / "audio_to_lip.safetensors"
    assert load_network("audio_to_lip", str(weights)).width == 16
    lags = tmp_path / "lags.json"
    assert set(json.loads(lags.read_text())) <= {"a", "b"}
    lags.write_text('{"b": 1}')
    output = tmp_path / "predictor"
    predictor.run(arguments(predictor, data, output, "--steps", 1, "--encoder", weights, "--lags", lags))
    assert load_network("landmark_predictor", str(output / "landmark_predictor.safetensors"))


def test_other_voices_speak_until_it_is_enough(tmp_path, monkeypatch):
    import soundfile

    soundfile.write(str(tmp_path / "sentence.wav"), np.zeros(32_000), 16_000)
    program = tmp_path / "flite"
    program.write_text(f'#!/bin/sh\nfor last; do :; done\ncp "{tmp_path / "sentence.wav"}" "$last"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(voices, "installed_voices", lambda: [("flite", "slt")])
    made = voices.other_voices(5, 0)
    assert [(samples.shape, rate) for samples, rate in made] == [((1, 32_000), 16_000)] * 3
    whole = program.read_text()
    program.write_text(whole.replace("#!/bin/sh\n", '#!/bin/sh\n[ "$2" = awb ] && exit 1\n'))
    monkeypatch.setattr(voices, "installed_voices", lambda: [("flite", "awb"), ("flite", "slt")])
    assert len(voices.other_voices(21, 0)) == 11  # one voice lacks its data; the other makes up for it
    program.write_text("#!/bin/sh\n")
    assert voices.other_voices(5, 0) == []


def test_no_other_voices_gets_a_sentence(monkeypatch):
    monkeypatch.setattr(voices.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="flite or festival"):
        voices.other_voices(5, 0)


def test_motion_loss_forgives_an_offset_in_its_first_term_only():
    batch = speech_data.silence_batch(2, 8, torch.Generator().manual_seed(0))
    terms = motion.motion_loss(batch.motion + 0.1, batch)
    assert terms["motion"] < 2e-3 < terms["shape"]


def test_phones_fall_on_their_frames():
    utterance = Utterance(np.zeros(4000, np.float32), 16_000, np.array([0.05, 0.13]), np.array([1, UNKNOWN]))
    assert frame_classes(utterance, 5).tolist() == [0, 1, 1, UNKNOWN, UNKNOWN]
    names = list(CLASSES)
    assert [names[phone_class(symbol)] for symbol in ("p", "aɪ", "uː", "")] == [
        "bilabial", "open", "rounded close", "silence"]  # fmt: skip
    assert phone_class("!") == UNKNOWN


def test_encoder_and_predictor_learn_on_any_device(data, tmp_path, elsewhere):
    more = ("--synthetic", 0, "--steps", 3)
    audio_to_lip.run(arguments(audio_to_lip, data, tmp_path / "encoder", *more))
    predictor.run(arguments(predictor, data, tmp_path / "predictor", "--steps", 2))
    assert not list(tmp_path.rglob("*.safetensors"))  # another process writes
