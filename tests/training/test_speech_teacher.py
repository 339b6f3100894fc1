"""What a recogniser hears lies on the video's frames, and lips learned from it are those of people not yet heard."""

import numpy as np
import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.training import speech_teacher
from articulate.models_hub.training.speech_data import Talk, shifted
from articulate.models_hub.training.speech_teacher import FIRST, HOP, LONGEST, SpeechTeacher


class Ears:
    """Stands for a session: a feature is the sample at the centre of what it heard."""

    def run(self, _, feeds):
        sound = feeds["input_values"]
        assert sound.shape[1] <= LONGEST and feeds["attention_mask"].shape == sound.shape
        return [sound[:, FIRST : sound.shape[1] - FIRST : HOP, None]]


@pytest.fixture
def teacher():
    made = SpeechTeacher.__new__(SpeechTeacher)
    made.session = Ears()
    return made


@pytest.mark.parametrize("seconds", [1, 20, 47.3])
def test_features_lie_at_the_centres_of_frames_however_long_the_recording(teacher, seconds):
    frames = int(seconds * 25)
    samples = torch.linspace(-1, 1, int(seconds * 16_000))
    heard = teacher(samples, frames)
    assert heard.shape == (frames, 1)
    centres = ((torch.arange(frames) + 0.5) / 25 * 16_000).long().clamp(max=len(samples) - 1)
    inside = slice(2, -3)  # the first and last features reach into the silence around
    torch.testing.assert_close(heard[inside, 0], samples[centres][inside] / 2, atol=2e-4, rtol=0)


def test_what_cannot_be_a_teacher_gets_a_sentence(tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "encoder.onnx").write_bytes(b"no network")
    with pytest.raises(InputError, match="onnxruntime can run"):
        SpeechTeacher(tmp_path / "encoder.onnx")


def talk(person, seed, delay=0, frames=200):
    """Lips that open with the first of three features, `delay` frames late."""
    random = torch.Generator().manual_seed(seed)
    heard = torch.nn.functional.avg_pool1d(torch.randn(1, 3, frames + 4, generator=random), 5, 1)[0].T.contiguous()
    motion = torch.zeros(frames, 37, 2)
    motion[:, 20:, 1] = heard[:, :1].roll(delay, 0) * torch.linspace(0.5, 1, 17) * 0.1
    return Talk(f"{person}-{seed}", person, torch.zeros(4 * frames, 64), motion, heard=heard)


def test_lags_are_found_by_listeners_that_never_heard_the_person(monkeypatch):
    clips = [talk(person, seed, 2 if (person, seed) == ("b", 3) else 0) for seed, person in enumerate("aabbccdd")]
    clips.append(Talk("odd", "a", clips[0].mel, talk("a", 99).motion, heard=clips[0].heard))
    learn, heard = speech_teacher.learn_listener, []
    monkeypatch.setattr(speech_teacher, "STEPS", 120)
    monkeypatch.setattr(
        speech_teacher, "learn_listener", lambda some, seed: heard.append({c.person for c in some}) or learn(some, seed)
    )
    kept, others, lags = speech_teacher.refine_lags(clips, 0)
    assert heard == [set("abcd") - {person} for person in "abcd"]
    assert lags == {clip.name: 2 if clip.name == "b-3" else 0 for clip in clips[:-1]}
    assert [clip.name for clip in others] == ["odd"]
    moved = kept[3]
    assert len(moved) == len(moved.motion) == len(moved.heard) == 198
    assert speech_teacher.agreement(moved.motion, clips[3].motion[2:], 0) == pytest.approx(1)


def test_guesses_leave_the_recording_as_it_was():
    clip = talk("a", 0)
    constant = torch.nn.Module()
    constant.forward = lambda heard: torch.ones(1, heard.shape[1], 37, 2)
    [guess] = speech_teacher.guess_lips([constant], [clip], 0.5)
    assert guess.trust == 0.5 and guess.mel is clip.mel
    assert (guess.motion == 1).all() and not (clip.motion == 1).any()


def test_one_person_alone_cannot_be_guessed():
    with pytest.raises(InputError, match="two people"):
        speech_teacher.guess_unheard([talk("a", 0)], 0)


def test_shifting_there_and_back_keeps_the_middle():
    clip = talk("a", 0)
    both = shifted(shifted(clip, 3), -3)
    np.testing.assert_array_equal(both.motion, clip.motion[3:-3])
    np.testing.assert_array_equal(both.heard, clip.heard[3:-3])
