import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.stages.conversation import resample, take_turns
from articulate.nodes.conversation import ArticulateConversation


def tone(seconds: float, rate: int, hertz: float = 440.0, channels: int = 1) -> torch.Tensor:
    time = torch.arange(int(seconds * rate), dtype=torch.float64) / rate
    return (0.5 * torch.sin(2 * torch.pi * hertz * time)).float().expand(channels, -1)


def test_voices_take_turns_and_keep_their_samples():
    first, second = tone(1.0, 16000), tone(0.5, 16000, 300.0)
    (one, rate), (two, _), (both, _) = take_turns((first, 16000), (second, 16000), 0.25)
    assert rate == 16000
    assert one.shape == two.shape == both.shape == (1, 28000)
    assert torch.equal(one[:, :16000], first) and not one[:, 16000:].any()
    assert torch.equal(two[:, 20000:], second) and not two[:, :20000].any()
    assert torch.equal(both, one + two)


def test_rates_and_channels_may_differ():
    tracks = ArticulateConversation.execute(
        {"waveform": tone(1.0, 48000, channels=2)[None], "sample_rate": 48000},
        {"waveform": tone(1.0, 16000)[None], "sample_rate": 16000},
        0.0,
    ).args
    assert [track["waveform"].shape for track in tracks] == [(1, 2, 96000)] * 3
    answer = tracks[1]["waveform"][0, :, 48000:]
    assert torch.equal(answer[0], answer[1])
    assert torch.allclose(answer[0, 2000:-2000], tone(1.0, 48000)[0, 2000:-2000], atol=0.01)


@pytest.mark.parametrize("rate, wanted", [(22050, 16000), (16000, 44100), (8000, 8000)])
def test_resampling_keeps_a_tone(rate, wanted):
    heard = resample(tone(1.0, rate), rate, wanted)
    assert heard.shape[1] == wanted
    assert torch.allclose(heard[:, 1000:-1000], tone(1.0, wanted)[:, 1000:-1000], atol=0.01)


def test_a_pause_must_make_sense():
    with pytest.raises(InputError, match="0 to 60"):
        take_turns((tone(0.1, 8000), 8000), (tone(0.1, 8000), 8000), -1.0)
