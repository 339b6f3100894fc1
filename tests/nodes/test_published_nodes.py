"""The nodes of MCNet and ATVGnet, linked as in the workflows; what they say when there are no weights."""

import json
from pathlib import Path

import articulate
import pytest
import torch
from articulate.models_hub.errors import InputError, WeightsError
from articulate.models_hub.media import VideoReader, read_audio, write_video
from articulate.nodes import (
    ArticulateATVGnetFrames,
    ArticulateATVGnetLandmarks,
    ArticulateCompose,
    ArticulateFrameGenerator,
    ArticulateMCNetKeypoints,
    ArticulatePreviewFrames,
    ArticulateWarper,
)
from articulate.nodes.host import InputImpl
from articulate.workflows.commands import main

ROOT = Path(articulate.__file__).parent
DRIVING = {"motion": "relative", "adapt_scale": True, "best_frame": False, "framing": "whole"}


@pytest.fixture
def placed(mcnet_files, atvgnet_files, tmp_path, monkeypatch):
    """The converted files in a model folder of this test."""
    monkeypatch.setenv("ARTICULATE_MODELS", str(tmp_path / "models"))
    stages = {"mcnet_warper": "warper", "mcnet_generator": "generator"}
    for path in (*mcnet_files.iterdir(), *atvgnet_files.iterdir()):
        folder = tmp_path / "models" / stages.get(path.stem, path.stem)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path.name).symlink_to(path)


@pytest.fixture
def no_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("ARTICULATE_MODELS", str(tmp_path / "empty"))


@pytest.fixture(scope="module")
def driver(moving_face):
    return moving_face[0][:3].permute(0, 2, 3, 1).contiguous()  # an IMAGE batch


def painted(face, keypoints):
    warp = ArticulateWarper.execute(face, keypoints, "mcnet_warper")[0]
    return ArticulateFrameGenerator.execute(warp, "mcnet_generator")[0]


def test_a_driving_video_moves_the_portrait(placed, sample_face, driver, tmp_path):
    found, audio = ArticulateMCNetKeypoints.execute(sample_face, driver, **DRIVING, weights="mcnet_keypoints").result
    assert audio is None and len(found) == 3 and found.fps == 25
    frames = painted(sample_face, found)
    video = ArticulateCompose.execute(frames, "picture", 0.12, 1.0, audio=None)[0]
    video.save_to(str(tmp_path / "made.mp4"))
    assert sum(1 for _ in VideoReader(tmp_path / "made.mp4").frames(1)) == 3
    images, own, attention = ArticulatePreviewFrames.execute(frames, 0, 2, 2).result
    assert images.shape == own.shape == (2, 256, 256, 3) and attention.shape == (2, 256, 256)


def test_a_video_brings_its_rate_and_its_sound(placed, sample_face, driver, tmp_path):
    sound, rate = read_audio(ROOT / "samples" / "speech.flac")
    pixels = (driver * 255).round().byte()
    write_video(tmp_path / "d.mp4", iter([pixels]), 30, (sound[:, : rate // 10], rate))
    driving = InputImpl.VideoFromFile(str(tmp_path / "d.mp4"))
    found, audio = ArticulateMCNetKeypoints.execute(sample_face, driving, **DRIVING, weights="mcnet_keypoints").result
    assert len(found) == 3 and found.fps == 30 and audio["sample_rate"] == rate


def test_from_a_voice_to_mcnet_s_frames(placed, sample_face):
    """Route A: sound -> AT-net -> VG-net -> keypoints -> MCNet."""
    audio = {
        "waveform": 0.1 * torch.randn(1, 1, 1280, generator=torch.Generator().manual_seed(0)),
        "sample_rate": 16000,
    }
    landmarks = ArticulateATVGnetLandmarks.execute(audio, sample_face, "atvgnet_landmarks")[0]
    assert len(landmarks) == 2
    small = ArticulateATVGnetFrames.execute(sample_face, landmarks, "atvgnet_frames")[0]
    assert small.size == 128 and len(small) == 2
    found = ArticulateMCNetKeypoints.execute(sample_face, small, **DRIVING, weights="mcnet_keypoints")[0]
    frames = painted(sample_face, found)
    [first, second] = frames
    assert first.frames.shape == (1, 3, 256, 256) and second.start == 1


@pytest.mark.parametrize("name", ["mcnet", "atvgnet"])
def test_the_shipped_workflow_runs(name, placed, sample_face, driver, tmp_path, capsys):
    write_video(tmp_path / "driving.mp4", iter([(driver * 255).round().byte()]), 25)
    api = ROOT / "workflows" / "api" / f"published_{name}.json"
    titles = {entry["_meta"]["title"]: number for number, entry in json.loads(api.read_text()).items()}
    wishes = [f"{titles['Portrait']}.image={ROOT / 'samples' / 'portrait.jpg'}"]
    if name == "mcnet":
        wishes += [f"{titles['Driving Video']}.file={tmp_path / 'driving.mp4'}",
                   f"{titles['MCNet Keypoints']}.framing=whole"]  # fmt: skip
    else:
        import soundfile

        sound, rate = read_audio(ROOT / "samples" / "speech.flac")
        soundfile.write(tmp_path / "short.wav", sound[0, rate : rate + rate * 3 // 25].numpy(), rate)
        wishes.append(f"{titles['Voice']}.audio={tmp_path / 'short.wav'}")
    options = [part for wish in wishes for part in ("--set", wish)]
    assert main(["run", str(api), *options, "--output-dir", str(tmp_path / "out"), "--quiet"]) == 0
    [video] = (tmp_path / "out").rglob("*.mp4")
    assert sum(1 for _ in VideoReader(video).frames(1)) == 3


def test_without_weights_a_sentence_says_how_to_get_them(no_weights, sample_face, driver):
    with pytest.raises(WeightsError, match=r"articulate models convert mcnet final-checkpoint\.pth\.tar"):
        ArticulateMCNetKeypoints.execute(sample_face, driver, **DRIVING, weights="mcnet_keypoints")
    with pytest.raises(WeightsError, match="articulate models convert mcnet"):
        ArticulateWarper.execute(sample_face, None, "mcnet_warper")
    audio = {"waveform": torch.zeros(1, 1, 1600), "sample_rate": 16000}
    with pytest.raises(WeightsError, match="articulate models convert atvgnet --at"):
        ArticulateATVGnetLandmarks.execute(audio, sample_face, "atvgnet_landmarks")
    # The graph may be queued all the same: a card is a choice, and its file may come meanwhile.
    assert ArticulateMCNetKeypoints.validate_inputs(weights="mcnet_keypoints", repository="") is True
    assert "gone.safetensors" in ArticulateMCNetKeypoints.validate_inputs(weights="gone.safetensors", repository="")


def test_the_embedded_warper_refuses_these_keypoints(placed, sample_face, driver):
    found = ArticulateMCNetKeypoints.execute(sample_face, driver[:1], **DRIVING, weights="mcnet_keypoints")[0]
    with pytest.raises(InputError, match="choose MCNet's warper weights"):
        ArticulateWarper.execute(sample_face, found, "embedded")
