"""The sample portrait speaks a second of the sample voice, from file to file."""

import contextlib
import io
import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from articulate.models_hub import loading
from articulate.models_hub.media import VideoReader, read_audio, read_picture, write_audio, write_picture, write_video
from articulate.workflows.commands import main
from articulate.workflows.commands.shorthand import API_FOLDER
from articulate.workflows.runner import Runner

SAMPLES = Path(__file__).parents[1] / "samples"
PORTRAIT = SAMPLES / "portrait.jpg"


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    """0.9 seconds of the sample voice, with an odd number of samples: a little more than 22.5 frames, so 23."""
    waveform, rate = read_audio(SAMPLES / "speech.flac")
    path = tmp_path_factory.mktemp("소리 🎙") / "voice.flac"
    write_audio(path, waveform[:, rate : rate + int(0.9 * rate) + 1], rate)
    return path


@pytest.fixture(scope="module")
def talking(tmp_path_factory, voice):
    """The talking video and what the command printed."""
    path = tmp_path_factory.mktemp("비디오 日本") / "talking 🙂.mp4"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["talk", str(PORTRAIT), str(voice), "-o", str(path), "--json", "--quiet"]) == 0
    return path, json.loads(printed.getvalue())


def test_a_portrait_speaks(talking, voice):
    path, facts = talking
    waveform, rate = read_audio(voice)
    video, sound = VideoReader(path), read_audio(path)
    assert (video.frame_count, facts["frames"], facts["path"]) == (23, 23, str(path.resolve()))
    assert video.size == (512, 512) and video.fps == 25
    assert sound[1] == rate and sound[0].shape == waveform.shape
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_mouth_moves_and_the_rest_stays(talking):
    photo = read_picture(PORTRAIT)
    frames = torch.cat(list(VideoReader(talking[0]).frames()))
    motion = frames.std(0).mean(-1)
    rows, columns = slice(60, 190), slice(170, 290)  # around the face
    assert motion[rows, columns].max() > 0.03
    outside = torch.ones_like(motion, dtype=torch.bool)
    outside[0:260, 110:350] = False
    error = (frames - photo)[:, outside].square().mean()
    assert -10 * error.log10() > 44


def test_the_same_workflow_gives_the_same_frames(voice, tmp_path):
    settings = {"LoadImage.image": str(PORTRAIT), "LoadAudio.audio": str(voice), "ArticulateCompose.mode": "crop"}
    videos = [Runner().run(API_FOLDER / "talking_head.json", settings, targets=["9"]).outputs["9"][0] for _ in range(2)]
    first, second = (torch.cat(list(video.frames())) for video in videos)
    assert torch.equal(first, second) and first.shape[1:] == (256, 256, 3)


def test_a_video_drives_the_portrait(talking, tmp_path):
    path = tmp_path / "driven.mp4"
    assert main(["drive", str(PORTRAIT), str(talking[0]), "-o", str(path), "--mode", "crop", "--quiet"]) == 0
    driver, driven = VideoReader(talking[0]), VideoReader(path)
    assert (driven.frame_count, driven.fps, driven.size) == (driver.frame_count, driver.fps, (256, 256))
    assert driven.read_audio()[0].shape == driver.read_audio()[0].shape


@pytest.mark.parametrize(
    "samples, rate, frames",
    [
        (1, 8000, 1),
        (777, 8000, 2),
        (777, 22050, 1),
        (777, 48000, 1),
        (9999, 8000, 31),
        (9999, 22050, 11),
        (9999, 44100, 6),
        (9999, 48000, 5),
    ],
)
def test_frames_follow_from_the_length_of_the_sound_alone(tmp_path, samples, rate, frames):
    write_audio(tmp_path / "v.flac", torch.zeros(2, samples), rate)
    settings = {"LoadImage.image": str(PORTRAIT), "LoadAudio.audio": str(tmp_path / "v.flac")}
    video = Runner().run(API_FOLDER / "talking_head.json", settings, targets=["9"]).outputs["9"][0]
    assert video.get_frame_count() == frames


def _no_sample(path):
    with av.open(str(path), "w", format="wav") as container:
        container.add_stream("pcm_s16le", rate=16000, layout="mono")
        container.start_encoding()


def _not_finite(path):
    with av.open(str(path), "w", format="wav") as container:
        stream = container.add_stream("pcm_f32le", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.full((1, 16000), np.nan, np.float32), format="flt", layout="mono")
        frame.sample_rate = 16000
        container.mux([*stream.encode(frame), *stream.encode(None)])


@pytest.mark.parametrize("make", [_no_sample, _not_finite])
def test_a_recording_without_a_usable_sample_gets_a_sentence(tmp_path, make, capsys):
    make(tmp_path / "v.wav")
    assert main(["talk", str(PORTRAIT), str(tmp_path / "v.wav"), "-o", str(tmp_path / "t.mp4"), "--quiet"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("articulate: ") and "Traceback" not in said
    assert not (tmp_path / "t.mp4").exists()


def test_a_silent_recording_makes_a_video_with_a_closed_mouth(tmp_path):
    write_audio(tmp_path / "v.flac", torch.zeros(1, 8000), 16000)
    output = tmp_path / "t.mp4"
    assert main(["talk", str(PORTRAIT), str(tmp_path / "v.flac"), "-o", str(output), "--quiet"]) == 0
    assert VideoReader(output).frame_count == 13


def test_a_face_that_is_too_small_gets_a_sentence(tmp_path, voice, capsys):
    photo = read_picture(PORTRAIT)
    tiny = torch.nn.functional.interpolate(photo.permute(2, 0, 1)[None], size=64, mode="area")[0].permute(1, 2, 0)
    write_picture(tmp_path / "p.png", tiny)
    code = main(["talk", str(tmp_path / "p.png"), str(voice), "-o", str(tmp_path / "t.mp4"), "--quiet"])
    said = capsys.readouterr().err
    assert code == 1 and "face" in said and "Traceback" not in said


def test_weights_that_are_cut_short_are_refused_by_name(tmp_path, voice, monkeypatch, capsys):
    folder = tmp_path / "weights"
    shutil.copytree(loading.WEIGHTS_FOLDER, folder)
    cut = folder / "generator.safetensors"
    cut.write_bytes(cut.read_bytes()[:5000])
    monkeypatch.setattr("articulate.models_hub.cards.WEIGHTS_FOLDER", folder)
    assert main(["talk", str(PORTRAIT), str(voice), "-o", str(tmp_path / "t.mp4"), "--quiet"]) == 1
    said = capsys.readouterr().err
    assert "generator.safetensors" in said and "cut short" in said
    assert not (tmp_path / "t.mp4").exists()


def test_the_sound_of_a_video_will_do(tmp_path, voice):
    write_video(tmp_path / "v.mp4", [torch.zeros(2, 16, 16, 3)], 25, read_audio(voice))
    settings = {"LoadImage.image": str(PORTRAIT), "LoadAudio.audio": str(tmp_path / "v.mp4")}
    video = Runner().run(API_FOLDER / "talking_head.json", settings, targets=["9"]).outputs["9"][0]
    assert video.get_frame_count() == 23
