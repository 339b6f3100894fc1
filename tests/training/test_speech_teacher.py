"""What a recogniser hears lies on the video's frames, and lips learned from it are those of people not yet heard."""

import itertools

import numpy as np
import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.training import speech_teacher
from articulate.models_hub.training.speech_data import Talk, shifted
from articulate.models_hub.training.speech_teacher import BLOCKS, FIRST, HOP, LONGEST, SpeechTeacher


def small_encoder(path):
    """A network with a recogniser's inputs and names; its block k says k + the sample at the centre."""
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    helper, (number, whole) = onnx.helper, (onnx.TensorProto.FLOAT, onnx.TensorProto.INT64)
    centre = np.zeros((1, 1, 2 * FIRST + 1), np.float32)
    centre[..., FIRST] = 1
    constants = {"axis": np.array([1]), "centre": centre, "one": np.ones(1, np.float32)}
    nodes = [
        helper.make_node("Unsqueeze", ["input_values", "axis"], ["sound"]),
        helper.make_node("Conv", ["sound", "centre"], ["heard"], strides=[HOP]),
        helper.make_node("Transpose", ["heard"], ["/layers.0/Add_1_output_0"], perm=[0, 2, 1]),
    ]
    names = [f"/layers.{block}/Add_1_output_0" for block in range(6)]
    nodes += [helper.make_node("Add", [a, "one"], [b]) for a, b in itertools.pairwise(names)]
    nodes.append(helper.make_node("Relu", names[-1:], ["last_hidden_state"]))
    inputs = {"input_values": number, "attention_mask": whole}
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info(name, kind, [1, None]) for name, kind in inputs.items()],
        [helper.make_tensor_value_info("last_hidden_state", number, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if path.suffix == ".onnx":
        onnx.save(model, path)
        return
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(path)
    options.add_session_config_entry("session.save_model_format", "ORT")
    runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class Ears:
    """Stands for a session: a feature is the sample at the centre of what it heard."""

    def run(self, names, feeds):
        sound = feeds["input_values"]
        assert sound.shape[1] <= LONGEST and feeds["attention_mask"].shape == sound.shape
        return [sound[:, FIRST : sound.shape[1] - FIRST : HOP, None] for _ in names]


@pytest.fixture
def teacher():
    made = SpeechTeacher.__new__(SpeechTeacher)
    made.session, made.outputs = Ears(), ["block"]
    return made


@pytest.mark.parametrize("name", ["encoder.onnx", "encoder.ort"])
def test_blocks_of_an_encoder_are_heard_although_it_does_not_give_them(tmp_path, name):
    small_encoder(tmp_path / name)
    samples = torch.linspace(-1, 1, 16_000)
    heard = SpeechTeacher(tmp_path / name)(samples, 25)
    assert heard.shape == (25, len(BLOCKS))
    torch.testing.assert_close(heard - torch.tensor(BLOCKS), heard[:, :1].expand(-1, 4) - BLOCKS[0])
    centre = samples[int(12.5 / 25 * 16_000)] / 2
    torch.testing.assert_close(heard[12], centre + torch.tensor(BLOCKS), atol=2e-4, rtol=0)


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
    with pytest.raises(InputError, match="not an encoder"):
        SpeechTeacher(tmp_path / "encoder.onnx")


def talk(person, seed, delay=0, frames=200):
    """Lips that open with the first of three features, `delay` frames late; every block hears the same."""
    random = torch.Generator().manual_seed(seed)
    heard = torch.nn.functional.avg_pool1d(torch.randn(1, 3, frames + 4, generator=random), 5, 1)[0].T.contiguous()
    motion = torch.zeros(frames, 37, 2)
    motion[:, 20:, 1] = heard[:, :1].roll(delay, 0) * torch.linspace(0.5, 1, 17) * 0.1
    return Talk(f"{person}-{seed}", person, torch.zeros(4 * frames, 64), motion, heard=heard.repeat(1, len(BLOCKS)))


def test_lags_are_found_by_listeners_that_never_heard_the_person(monkeypatch):
    clips = [talk(person, seed, 2 if (person, seed) == ("b", 3) else 0) for seed, person in enumerate("aabbccdd")]
    clips.append(Talk("odd", "a", clips[0].mel, talk("a", 99).motion, heard=clips[0].heard))
    learn, heard = speech_teacher.learn_listeners, []
    monkeypatch.setattr(speech_teacher, "STEPS", 120)
    monkeypatch.setattr(speech_teacher, "BLOCKS", (1, 2))

    def learned(some, seed):
        heard.append({clip.person for clip in some})
        return learn(some, seed)

    monkeypatch.setattr(speech_teacher, "learn_listeners", learned)
    kept, lags = speech_teacher.refine_lags(clips, 0)
    assert heard == [set("abcd") - {person} for person in "abcd"]
    assert lags == {clip.name: 2 if clip.name == "b-3" else 0 for clip in clips[:-1]}
    assert [clip.name for clip in kept] == [clip.name for clip in clips[:-1]]  # without the odd one
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
