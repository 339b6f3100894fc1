"""The nodes linked as in the workflows, with the embedded weights, on the samples."""

from pathlib import Path

import articulate
import pytest
import torch
from articulate.models_hub.errors import FaceNotFoundError, InputError
from articulate.models_hub.media import VideoReader, read_audio, read_picture
from articulate.nodes import (
    ArticulateAudioEncoder,
    ArticulateCompose,
    ArticulateCritics,
    ArticulateDensityMapBuilder,
    ArticulateFace,
    ArticulateFrameGenerator,
    ArticulateLandmarkPredictor,
    ArticulateLandmarksFromVideo,
    ArticulatePreviewDensity,
    ArticulatePreviewLandmarks,
    ArticulatePreviewWarp,
    ArticulateWarper,
)

SAMPLES = Path(articulate.__file__).parent / "samples"
EMBEDDED = {"weights": "embedded"}
FRAMES = 10


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return read_picture(SAMPLES / "portrait.jpg")[None, ..., :3]


@pytest.fixture(scope="module")
def face(image):
    return ArticulateFace.execute(image, "embedded", 0)[0]


@pytest.fixture(scope="module")
def audio() -> dict:
    waveform, rate = read_audio(SAMPLES / "speech.flac")
    start = rate // 2
    return {"waveform": waveform[None, :, start : start + rate * FRAMES // 25], "sample_rate": rate}


@pytest.fixture(scope="module")
def landmarks(face, audio):
    speech = ArticulateAudioEncoder.execute(audio, 25.0, **EMBEDDED)[0]
    settings = {"strength": 1.0, "smoothing": 0.6, "blink": 15.0, "head_motion": 1.0, "seed": 3}
    return ArticulateLandmarkPredictor.execute(speech, face, **settings, **EMBEDDED)[0]


@pytest.fixture(scope="module")
def density(landmarks):
    return ArticulateDensityMapBuilder.execute(landmarks, "region", 1.5, 0)[0]


@pytest.fixture(scope="module")
def video(face, density, audio):
    warp = ArticulateWarper.execute(face, density, **EMBEDDED)[0]
    frames = ArticulateFrameGenerator.execute(warp, **EMBEDDED)[0]
    settings = {"mode": "picture", "feather": 0.12, "colour_match": 1.0}
    return ArticulateCompose.execute(frames, audio=audio, **settings)[0]


def test_the_face_node_gives_crop_and_mask(image):
    face, crop, mask = ArticulateFace.execute(image, "embedded", 0).result
    assert crop.shape == (1, 256, 256, 3)
    assert mask.shape == (1, *image.shape[1:3])
    eyes = face.matrix[:, :2] @ face.points[36:48].mean(0) + face.matrix[:, 2]
    assert mask[0, int(eyes[1]), int(eyes[0])] == 1
    assert mask[0, -1, -1] == 0


def test_given_landmarks_and_boxes_are_used(image, face):
    points = face.points @ face.matrix[:, :2].T + face.matrix[:, 2]
    by_points = ArticulateFace.execute(image, "embedded", 0, landmarks=points)[0]
    assert torch.allclose(by_points.points, face.points, atol=1e-3)
    x, y, width, height = face.box
    box = {"x": x, "y": y, "width": width, "height": height}
    by_box = ArticulateFace.execute(image, "embedded", 0, boxes=[box])[0]
    assert torch.allclose(by_box.points, face.points, atol=0.02)


def test_grey_and_transparent_pictures_are_taken(image, face):
    grey = image.mean(-1, keepdim=True)
    assert ArticulateFace.execute(grey, "embedded", 0)[0].picture.shape == face.picture.shape
    alpha = torch.cat([image, torch.ones_like(grey)], dim=-1)
    assert torch.allclose(ArticulateFace.execute(alpha, "embedded", 0)[0].points, face.points, atol=1e-4)


def test_no_face_is_a_sentence(image):
    with pytest.raises(FaceNotFoundError, match="No face"):
        ArticulateFace.execute(torch.full((1, 128, 128, 3), 0.5), "embedded", 0)
    with pytest.raises(FaceNotFoundError, match="Face 7"):
        ArticulateFace.execute(image, "embedded", 7)
    with pytest.raises(InputError, match="shape"):
        ArticulateFace.execute(image[0], "embedded", 0)


def test_the_video_has_the_voices_length_and_the_pictures_size(video, image, tmp_path):
    assert video.get_frame_count() == FRAMES
    path = tmp_path / "talk.mp4"
    video.save_to(str(path))
    reader = VideoReader(path)
    assert reader.frame_count == FRAMES
    assert reader.size == (image.shape[2], image.shape[1])
    assert reader.has_audio


def test_what_lies_outside_the_face_is_the_photo(video, face, landmarks):
    frames = video.get_components().images
    corner = frames[:, -100:, -100:]
    assert torch.equal(corner, face.picture[-100:, -100:].expand_as(corner))
    assert (frames[1:] - frames[:-1]).abs().amax() > 0.02  # and the face moves


def test_a_video_drives_a_face(video, face, audio):
    crop = ArticulateCompose.execute(video.stream, "crop", 0.12, 1.0, audio=audio)[0]
    landmarks, sound = ArticulateLandmarksFromVideo.execute(crop, face, "relative", "embedded").result
    assert len(landmarks) == FRAMES
    assert landmarks.fps == 25
    assert torch.equal(sound["waveform"], audio["waveform"])
    assert (landmarks.points[0] - face.points).abs().max() < 0.05


def test_previews_show_the_asked_frames(landmarks, density, face):
    frames = {"start": 1, "count": 3, "step": 4}
    assert ArticulatePreviewLandmarks.execute(landmarks, **frames, face=face)[0].shape == (3, 512, 512, 3)
    pictures = torch.rand(1, 40, 50, 3, generator=torch.Generator().manual_seed(0))
    assert ArticulatePreviewLandmarks.execute(landmarks, **frames, images=pictures)[0].shape == (3, 40, 50, 3)
    assert ArticulatePreviewDensity.execute(density, **frames)[0].shape == (3, 256, 256, 3)
    warp = ArticulateWarper.execute(face, density, **EMBEDDED)[0]
    flow, occlusion, warped = ArticulatePreviewWarp.execute(warp, **frames).result
    assert flow.shape == occlusion.shape == warped.shape == (3, 256, 256, 3)
    with pytest.raises(InputError, match="frame 10"):
        ArticulatePreviewWarp.execute(warp, 10, 1, 1)


def test_critics_are_loaded_with_their_weights():
    critics = ArticulateCritics.execute(1.0, 0.5, 0.0)[0]
    assert critics.weights == {"frame": 1.0, "difference": 0.5}
    assert set(critics.networks) == {"frame", "difference"}
    with pytest.raises(InputError, match="weight 0"):
        ArticulateCritics.execute(0.0, 0.0, 0.0)


def test_weights_that_change_make_the_node_run_again(tmp_path, monkeypatch):
    monkeypatch.setenv("ARTICULATE_MODELS", str(tmp_path))
    (tmp_path / "warper").mkdir()
    states = {ArticulateWarper.fingerprint_inputs(weights="embedded", repository="")}
    for content in (b"1", b"22"):
        (tmp_path / "warper" / "mine.safetensors").write_bytes(content)
        state = ArticulateWarper.fingerprint_inputs(weights="mine.safetensors", repository="")
        assert state == ArticulateWarper.fingerprint_inputs(weights="mine.safetensors")
        states.add(state)
    states.add(ArticulateWarper.fingerprint_inputs(weights="embedded", repository="me/mine@" + 40 * "a"))
    assert len(states) == 4
