"""Predicted landmarks: as long as the speech, closed in silence, in the portrait's own frame."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.networks.ibug68 import LIPS
from articulate.models_hub.networks.lip_shape import MOVING, face_frame, opening, to_face
from articulate.models_hub.stages.audio_encoder import encode_speech
from articulate.models_hub.stages.landmark_predictor import neutral_points, predict_landmarks, speech_gate
from articulate.models_hub.types import Face, Speech

EYES_ROLLED = {"tilted": 0.5, "upright": 0.0}


def portrait(gap=0.0, width=0.38, roll=0.0):
    """A Face whose points are a simple frontal face of eye distance 0.5, mouth open by `gap`."""
    points = torch.zeros(68, 2)
    angle = torch.linspace(0, math.pi, 17)
    points[:17] = torch.stack([-0.58 * angle.cos(), 0.05 + 0.87 * angle.sin()], 1)
    points[17:27, 0] = torch.cat([torch.linspace(-0.42, -0.1, 5), torch.linspace(0.1, 0.42, 5)])
    points[17:27, 1] = -0.18
    points[27:31, 1] = torch.linspace(0, 0.25, 4)
    points[31:36] = torch.stack([torch.linspace(-0.1, 0.1, 5), torch.full((5,), 0.31)], 1)
    eye = torch.tensor([[-0.1, 0], [-0.035, -0.035], [0.035, -0.035], [0.1, 0], [0.035, 0.035], [-0.035, 0.035]])
    points[36:42], points[42:48] = eye - torch.tensor([0.25, 0.0]), eye + torch.tensor([0.25, 0.0])
    across = torch.linspace(-1, 1, 7)
    points[48:55] = torch.stack([width / 2 * across, 0.5 - (0.05 + gap / 2) * (1 - across**2)], 1)
    across = torch.linspace(1, -1, 7)[1:-1]
    points[55:60] = torch.stack([width / 2 * across, 0.5 + (0.06 + gap / 2) * (1 - across**2)], 1)
    across = torch.linspace(-0.85, 0.85, 5)
    points[60:65] = torch.stack([width / 2 * across, 0.5 - gap / 2 * (across.abs() < 0.8)], 1)
    points[65:68] = torch.stack([width / 2 * torch.tensor([0.425, 0, -0.425]), torch.full((3,), 0.5 + gap / 2)], 1)
    turn = torch.tensor([[math.cos(roll), math.sin(roll)], [-math.sin(roll), math.cos(roll)]])
    blank = torch.zeros(1, 3, 8, 8)
    return Face(blank, points @ turn, torch.eye(2, 3), torch.zeros(8, 8, 3), (0.0, 0.0, 8.0, 8.0))


@pytest.fixture(scope="module")
def speech():
    from pathlib import Path

    import soundfile

    samples, rate = soundfile.read(str(Path(__file__).parents[2] / "samples" / "speech.flac"), dtype="float32")
    return encode_speech(torch.from_numpy(samples), rate)


def still(speech, face, **settings):
    return predict_landmarks(speech, face, **{"blink": False, "head_motion": 0.0} | settings).points


def test_as_long_as_the_speech_and_it_speaks(speech):
    landmarks = predict_landmarks(speech, portrait(), blink=False)
    assert landmarks.points.shape == (len(speech), 68, 2)
    assert landmarks.visible.all() and landmarks.fps == speech.fps
    assert opening(landmarks.points).max() > 0.04  # a twelfth of the eye distance
    assert landmarks.points.isfinite().all()


@pytest.mark.parametrize("gap, width", [(0.0, 0.38), (0.12, 0.5), (0.3, 0.38)])
@pytest.mark.parametrize("level", [0.0, 1e-4])
def test_silence_closes_any_mouth(speech, gap, width, level):
    noise = level * np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    quiet = still(encode_speech(torch.from_numpy(noise), 16_000), portrait(gap, width))
    widest = opening(still(speech, portrait(gap, width))).max()
    assert opening(quiet).max() < 0.05 * widest


def test_pauses_in_speech_close_the_mouth(speech):

    tone = 0.1 * torch.randn(16_000, generator=torch.Generator().manual_seed(0))
    both = encode_speech(torch.cat([tone, torch.zeros(32_000), tone]), 16_000)
    gap = opening(still(both, portrait(0.1)))
    widest = opening(still(speech, portrait(0.1))).max()
    assert gap[35:65].max() < 0.05 * widest


def voice():
    from pathlib import Path

    import soundfile

    samples, rate = soundfile.read(str(Path(__file__).parents[2] / "samples" / "speech.flac"), dtype="float32")
    assert rate == 16_000
    return torch.from_numpy(samples)


def noise(samples, level_db, tilt=0.0):
    """Steady noise whose amplitude falls as frequency ** -tilt."""
    spectrum = torch.fft.rfft(torch.randn(samples, generator=torch.Generator().manual_seed(0)))
    shaped = torch.fft.irfft(spectrum * (torch.linspace(0, 1, len(spectrum)) + 0.003) ** -tilt, samples)
    return shaped / shaped.std() * 10 ** (level_db / 20)


@pytest.mark.parametrize("level", [-50, -30, -10])
@pytest.mark.parametrize("tilt", [0.0, 1.0])
@pytest.mark.parametrize("fps", [12.5, 25, 30, 60])
def test_steady_noise_is_no_speech_however_loud(speech, level, tilt, fps):
    points = still(encode_speech(noise(96_000, level, tilt), 16_000, fps), portrait(0.1))
    assert opening(points).max() < 0.05 * opening(still(speech, portrait(0.1))).max()


@pytest.mark.parametrize("level", [-60, -50, -40])
def test_pauses_in_noise_close_the_mouth_and_speech_in_it_opens_it(speech, level):
    spoken = voice()[:48_000]
    both = torch.cat([spoken, torch.zeros(48_000), spoken])
    gap = opening(still(encode_speech(both + noise(len(both), level), 16_000), portrait()))
    widest = opening(still(speech, portrait())).max()
    assert gap[75 + 25 : 150 - 25].max() < 0.05 * widest
    assert gap[:75].max() > 0.5 * widest and gap[150:].max() > 0.5 * widest


def test_speech_without_a_pause_and_speech_as_loud_as_noise_are_heard():
    spoken = voice()
    loud = spoken.unfold(0, 640, 640).square().mean(1)
    dense = spoken.unfold(0, 640, 640)[loud > loud.median()].flatten()  # every pause cut out
    assert speech_gate(encode_speech(dense, 16_000)).mean() > 0.95
    level = 20 * float(spoken.square().mean().sqrt().log10())
    clean, noisy = (speech_gate(encode_speech(spoken + noise(len(spoken), at), 16_000)) for at in (-90, level))
    assert noisy[clean > 0.9].mean() > 0.85


def test_a_held_vowel_is_no_steady_noise():
    time = torch.arange(48_000) / 16_000
    formants = torch.tensor([[700.0, 80], [1200, 100], [2500, 150]])
    pitches = 120 * torch.arange(1, 50)
    strength = 1 / torch.arange(1, 50)
    for centre, width in formants:
        ratio = pitches / centre
        strength = strength / ((1 - ratio**2) ** 2 + (ratio * width / centre) ** 2).sqrt()
    vowel = (strength[:, None] * torch.sin(2 * math.pi * pitches[:, None] * time)).sum(0)
    vowel = 0.1 * vowel / vowel.std() + noise(48_000, -45)
    assert speech_gate(encode_speech(vowel, 16_000))[5:-5].min() > 0.9


def test_an_open_mouth_speaks_like_a_closed_one(speech):
    closed, opened = still(speech, portrait(0.0)), still(speech, portrait(0.2))
    torch.testing.assert_close(opening(opened), opening(closed), atol=5e-3, rtol=0)


def test_no_strength_is_the_closed_portrait(speech):
    face = portrait(0.2)
    points = still(speech, face, strength=0.0)
    torch.testing.assert_close(points, neutral_points(face).expand_as(points), atol=1e-5, rtol=0)


def test_strength_scales_the_opening(speech):
    gap = [opening(still(speech, portrait(), strength=strength)).mean() for strength in (0.5, 1.0, 1.5)]
    assert gap[0] < gap[1] < gap[2]


def test_lips_never_cross(speech):
    points = still(speech, portrait(), strength=3.0)
    for upper, lower in ((61, 67), (62, 66), (63, 65)):
        assert (points[:, lower, 1] - points[:, upper, 1]).min() > -1e-6


def test_only_jaw_and_lips_move_without_blinks_and_sway(speech):
    face = portrait()
    points = still(speech, face)
    others = [point for point in range(68) if point not in MOVING]
    torch.testing.assert_close(points[:, others], face.points[others].expand(len(points), -1, -1), atol=1e-5, rtol=0)


def test_a_tilted_head_speaks_along_its_own_axis(speech):
    upright, tilted = (still(speech, portrait(0.1, roll=roll)) for roll in EYES_ROLLED.values())
    lips = list(LIPS)
    torch.testing.assert_close(
        to_face(tilted, face_frame(tilted[0]))[:, lips], to_face(upright, face_frame(upright[0]))[:, lips], atol=1e-4,
        rtol=0,
    )  # fmt: skip


def test_seeds_repeat_and_differ(speech):
    def run(seed):
        return predict_landmarks(speech, portrait(), head_motion=1.0, seed=seed).points

    assert torch.equal(run(3), run(3))
    assert not torch.allclose(run(3), run(4))


def test_smoothing_calms(speech):
    rough, smooth = (still(speech, portrait(), smoothing=deviation) for deviation in (0.0, 3.0))
    assert smooth.diff(n=2, dim=0).abs().mean() < 0.5 * rough.diff(n=2, dim=0).abs().mean()


def test_no_leading_or_lagging_with_frame_rate(speech):
    slow = replace(speech, fps=12.5)
    assert len(predict_landmarks(slow, portrait())) == len(speech)


@pytest.mark.parametrize(
    "settings", [{"strength": -1}, {"strength": math.nan}, {"smoothing": 99}, {"head_motion": -0.1}, {"blink": -3}]
)
def test_settings_out_of_range_get_a_sentence(speech, settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        predict_landmarks(speech, portrait(), **settings)


def test_wrong_points_and_units_get_a_sentence(speech):
    with pytest.raises(InputError, match="68 points"):
        predict_landmarks(speech, replace(portrait(), points=torch.zeros(5, 2)))
    strange = Speech(torch.zeros(4, 3), speech.mel[:4], speech.loudness[:4], 2560, 16_000)
    with pytest.raises(InputError, match="units of 3"):
        predict_landmarks(strange, portrait())
