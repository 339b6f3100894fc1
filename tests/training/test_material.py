"""Footage: what is used, what is left out and why, and one sentence for every footage that cannot be used."""

import pytest
import torch
from articulate.models_hub.errors import ArticulateError, FaceNotFoundError, InputError
from articulate.models_hub.loading import load_network
from articulate.models_hub.training import material as material_module
from articulate.models_hub.training.material import FootageClip, at_rate, gather, measure_lag, open_footage


def clip(frames, fps=25.0, sound=None, name="clip"):
    """A clip of frames (T, H, W, 3) uint8."""
    return FootageClip(name, fps, lambda: (part.float() / 255 for part in frames.split(8)), sound)


@pytest.mark.parametrize(("fps", "wanted"), [(25.0, 50), (50.0, 25), (30.0, 42), (12.5, 100)])
def test_footage_is_brought_to_25_frames_a_second(fps, wanted):
    frames = torch.arange(50).float()[:, None, None, None].expand(50, 2, 2, 3)
    taken = [float(frame[0, 0, 0]) for frame in at_rate(iter(frames.split(8)), fps, 1000)]
    assert abs(len(taken) - wanted) <= 1
    assert all(abs(value - min(49, index * fps / 25)) <= 0.51 for index, value in enumerate(taken))


@pytest.fixture(scope="module")
def material(footage_file):
    return gather(open_footage([footage_file]))


def test_a_take_is_cut_and_its_landmarks_lie_on_the_face(material, talking_take):
    assert material.seconds == pytest.approx(len(talking_take) / 25, abs=0.1)
    take = material.takes[0]
    assert take.frames.shape == (len(talking_take), 256, 256, 3) and take.frames.dtype == torch.uint8
    assert take.points.abs().max() < 1
    down = take.points[:, 57, 1] - take.points[0, 57, 1]  # the lower lip goes down with the frames
    wanted = talking_take.points[:, 57, 1] - talking_take.points[0, 57, 1]
    assert torch.corrcoef(torch.stack([down, wanted]))[0, 1] > 0.9


def test_sound_that_does_not_fit_is_reported_and_not_used(material):
    assert not material.has_sound
    assert any("sound does not fit the lips" in sentence for sentence in material.report)


def test_the_report_says_what_was_used(material):
    assert material.report[0].startswith("5.2 of 5.2 seconds are used, in 1 takes")


@pytest.fixture
def short_is_enough(monkeypatch):
    """Two seconds of footage are enough, to keep the tests short."""
    monkeypatch.setattr(material_module, "LEAST_SECONDS", 2.0)


def test_faceless_frames_and_cuts_divide_footage(talking_take, short_is_enough):
    frames = talking_take.frames[:66].clone()
    frames[30:34] = 127  # a grey flash: no face, and two cuts
    found = gather([clip(frames)])
    assert [len(take) for take in found.takes] == [30, 32]
    assert "0.2 s without a face" in found.report[0]


def test_pieces_shorter_than_a_second_are_left_out(talking_take, short_is_enough):
    frames = talking_take.frames[:60].clone()
    frames[10:60:12] = 127
    with pytest.raises(InputError, match=r"Of 2.4 seconds of footage 0.0 can be used"):
        gather([clip(frames)])


def sentence(error):
    text = str(error.value)
    assert "\n" not in text and (text[0].isupper() or text.startswith("clip")) and text.endswith(".")
    return text


def test_footage_without_a_face_is_refused():
    with pytest.raises(FaceNotFoundError) as error:
        gather([clip(torch.full((110, 128, 128, 3), 90, dtype=torch.uint8))])
    assert "None of the 110 frames" in sentence(error)


def test_three_seconds_are_too_few(talking_take):
    with pytest.raises(InputError) as error:
        gather([clip(talking_take.frames[:75])])
    assert "at least 4" in sentence(error)


def test_two_people_are_refused(talking_take):
    beside = torch.cat([talking_take.frames[:30], talking_take.frames[:30].flip(2)], dim=2)
    with pytest.raises(InputError) as error:
        gather([clip(beside)])
    assert "two people" in sentence(error)


@pytest.mark.parametrize("sound", [None, (torch.zeros(1, 16000 * 6), 16000)])
def test_silence_is_reported_and_refused_where_sound_is_needed(talking_take, sound, short_is_enough):
    short = clip(talking_take.frames[:51], sound=sound)
    with pytest.raises(InputError) as error:
        gather([short], need_sound=True)
    text = sentence(error)
    assert "needs sound that belongs to the lips" in text and "used for the picture alone" in text


def test_nothing_and_an_empty_folder_are_refused(tmp_path):
    for paths in ([], [tmp_path]):
        with pytest.raises(InputError):
            open_footage(paths)
    with pytest.raises(ArticulateError):
        open_footage([tmp_path / "none.mp4"])


class Echo(torch.nn.Module):
    """A critic for which sound and lips are the same number."""

    def hear(self, mel):
        return torch.nn.functional.one_hot(mel[:, 10, 0].long(), 200).float()

    def see(self, lips):
        return torch.nn.functional.one_hot((lips[:, 2, 0, 0] * 255).round().long(), 200).float()


@pytest.mark.parametrize("lag", [-6, 0, 4])
def test_the_lag_between_sound_and_lips_is_found(lag):
    numbers = torch.arange(100)
    crops = numbers[:, None, None].expand(100, 32, 64).byte()
    sound = (numbers + lag).clamp(0, 199)  # the sound of frame t is heard lag frames earlier
    mel = sound.repeat_interleave(4)[:, None].expand(400, 64).float()
    found, margin = measure_lag(Echo(), [(crops, mel)])
    assert found == lag and margin > 0.5


def test_a_second_tells_nothing_about_the_lag():
    crops, mel = torch.zeros(20, 32, 64, dtype=torch.uint8), torch.zeros(80, 64)
    assert measure_lag(load_network("sync_critic"), [(crops, mel)]) == (0, 0.0)
