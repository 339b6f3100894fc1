"""Units: as many as video frames, local in time, the same whatever the block, rate or channels."""

from pathlib import Path

import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.loading import load_network
from articulate.models_hub.stages import audio_encoder
from articulate.models_hub.stages.audio_encoder import encode_speech, encode_units
from articulate.models_hub.types import frame_count

SAMPLE = Path(__file__).parents[2] / "samples" / "speech.flac"


@pytest.fixture(scope="module")
def voice():
    import soundfile

    samples, rate = soundfile.read(str(SAMPLE), dtype="float32")
    assert rate == 16_000
    return torch.from_numpy(samples)


# (samples, samples a second, frames a second) and the frames that last as long, worked out by hand.
LENGTHS = [
    (16_000, 16_000, 25.0, 25),
    (16_000, 16_000, 24.0, 24),
    (16_000, 16_000, 30.0, 30),
    (48_000, 48_000, 29.97, 30),
    (220_500, 44_100, 29.97, 150),  # 149.85
    (96_000, 8_000, 29.97, 360),  # 359.64
    (240_000, 24_000, 23.976, 240),  # 239.76
    (480_000, 48_000, 12.5, 125),
    (66_150, 22_050, 50.0, 150),
    (16_000, 16_000, 120.0, 120),
    (30_001, 16_000, 25.0, 47),  # 46.88
    (30_001, 16_000, 24.0, 45),  # 45.0015
    (30_001, 16_000, 30.0, 56),  # 56.25
    (7_777, 8_000, 25.0, 24),  # 24.30
    (7_777, 44_100, 25.0, 4),  # 4.41
    (8_000, 16_000, 25.0, 13),  # 12.5: a half counts as one
    (1_600, 16_000, 25.0, 3),  # 2.5
    (1_599, 16_000, 25.0, 2),
    (319, 16_000, 25.0, 1),  # less than half a frame is one
    (1, 48_000, 24.0, 1),
]


@pytest.mark.parametrize("samples, rate, fps, frames", LENGTHS)
def test_as_many_units_as_frames(samples, rate, fps, frames):
    assert frame_count(samples, rate, fps) == frames
    speech = encode_speech(torch.zeros(1, samples), rate, fps)
    assert len(speech) == len(speech.mel) == len(speech.loudness) == frames
    assert speech.mel.shape[1:] == (4, 64)
    assert (speech.samples, speech.sample_rate, speech.fps) == (samples, rate, fps)


def test_long_sound_does_not_drift():
    hour = 3600 * 44_100
    counts = [frame_count(hour, 44_100, fps) for fps in (24.0, 25.0, 30.0, 30000 / 1001, 23.976)]
    assert counts == [86_400, 90_000, 108_000, 107_892, 86_314]  # of 107892.1 and 86313.6


@pytest.mark.parametrize("fps", [25, 50, 100])
def test_a_unit_is_centred_on_its_frame(fps):
    """Sound of 40 ms reaches as many frames before its own as after it."""
    sound = torch.randn(80 * 640, generator=torch.Generator().manual_seed(0)) * 0.1
    place = 40
    other = sound.clone()
    other[place * 640 : (place + 1) * 640] = sound[place * 640 : (place + 1) * 640].flip(0)  # as loud as before
    here, there = encode_speech(sound, 16_000, fps), encode_speech(other, 16_000, fps)
    middle = (place + 0.5) * fps / 25  # in frames
    for before, after, reach in ((here.units, there.units, 16.5), (here.mel, there.mel, 1.5)):
        changed = (before - after).flatten(1).abs().amax(1).gt(1e-5).nonzero().flatten()
        assert (changed[0] + changed[-1] + 1) / 2 == pytest.approx(middle, abs=0.25 * fps / 25)  # 10 ms
        assert len(changed) / 2 == pytest.approx(reach * fps / 25, abs=1.01 * fps / 25)


def test_a_frame_of_delay_is_a_frame_of_delay(voice):
    padded = torch.cat([torch.zeros(32_000), voice, torch.zeros(32_000)])
    delayed = torch.cat([torch.zeros(640), padded[:-640]])
    here, later = encode_speech(padded, 16_000), encode_speech(delayed, 16_000)
    torch.testing.assert_close(later.units[1:], here.units[:-1], atol=1e-4, rtol=0)


def test_sound_outside_the_context_changes_nothing(voice):
    network = load_network("audio_to_lip")
    mel = torch.randn(100 * 4, 64, generator=torch.Generator().manual_seed(0))
    other = mel.clone()
    other[: (50 - 15) * 4] += 1
    other[(50 + 16) * 4 :] += 1
    first, second = encode_units(network, mel), encode_units(network, other)
    torch.testing.assert_close(first[50], second[50], atol=1e-6, rtol=0)
    assert not torch.allclose(first[34], second[34], atol=1e-3)


@pytest.mark.parametrize("block", [1, 7, 33])
def test_block_size_changes_nothing(voice, block):
    network = load_network("audio_to_lip")
    mel = torch.randn(60 * 4, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(encode_units(network, mel, block=block), encode_units(network, mel), atol=1e-5, rtol=0)


def test_rate_and_channels_matter_little(voice):
    reference = encode_speech(voice, 16_000)
    stereo = encode_speech(voice.expand(2, -1), 16_000)
    torch.testing.assert_close(stereo.units, reference.units, atol=1e-5, rtol=0)
    doubled = torch.nn.functional.interpolate(voice[None, None], scale_factor=2, mode="linear")[0, 0]
    up = encode_speech(doubled, 32_000)
    assert torch.nn.functional.cosine_similarity(up.units, reference.units).mean() > 0.9


def test_gain_matters_little(voice):
    loud, quiet = encode_speech(voice, 16_000), encode_speech(voice * 0.2, 16_000)
    torch.testing.assert_close(quiet.units, loud.units, atol=1e-2, rtol=0)
    heard = loud.loudness > -60
    assert heard.any()
    assert (loud.loudness - quiet.loudness)[heard].sub(13.98).abs().max() < 0.1


def test_other_frame_rates_read_the_same_moments(voice):
    at_25, at_50 = encode_speech(voice, 16_000, 25), encode_speech(voice, 16_000, 50)
    # Frame i at 25 lies halfway between frames 2 i and 2 i + 1 at 50.
    middle = (at_50.units[0::2][: len(at_25)] + at_50.units[1::2][: len(at_25)]) / 2
    assert torch.nn.functional.cosine_similarity(middle[2:-2], at_25.units[2:-2][: len(middle) - 4]).mean() > 0.95


def test_progress_is_told_and_may_cancel(voice, monkeypatch):
    monkeypatch.setattr(audio_encoder, "BLOCK", 20)
    told = []
    encode_units(load_network("audio_to_lip"), torch.zeros(200, 64), lambda *at: told.append(at), block=20)
    assert told == [(20, 50), (40, 50), (50, 50)]

    def cancel(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_speech(voice, 16_000, progress=cancel)


def test_silence_is_told_and_a_voice_is_not(voice, caplog):
    for quiet in (torch.zeros(8000), 2**-15 * torch.randn(8000, generator=torch.Generator().manual_seed(0)).sign()):
        caplog.clear()
        encode_speech(quiet, 16_000)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "silent throughout" in caplog.text and "mouth stays closed" in caplog.text
    caplog.clear()
    encode_speech(voice, 16_000)
    encode_speech(0.01 * voice, 16_000)
    encode_speech(torch.cat([torch.zeros(160_000), voice]), 16_000)
    assert not caplog.records


@pytest.mark.parametrize("fps", [0, -25, 1e9, float("nan")])
def test_a_useless_frame_rate_gets_a_sentence(fps):
    with pytest.raises(InputError, match="frame rate"):
        encode_speech(torch.zeros(1600), 16_000, fps)
