"""Resampling, log mel and loudness against their definitions; errors of bad sound."""

import math

import numpy as np
import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.stages import audio


def tone(rate, seconds, hertz=440.0, level=0.5):
    return level * torch.sin(2 * math.pi * hertz * torch.arange(round(rate * seconds)) / rate)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 44_101])
def test_resampling_keeps_length_and_tone(rate):
    samples = audio.mono_16k(tone(rate, 0.5), rate)
    assert len(samples) == math.ceil(round(rate * 0.5) * 16_000 / rate)
    expected = tone(16_000, 0.5)[: len(samples)]
    torch.testing.assert_close(samples[800:-800], expected[800 : len(samples) - 800], atol=2e-3, rtol=0)


def test_resampling_lets_nothing_alias():
    samples = audio.mono_16k(tone(48_000, 0.3, hertz=11_000), 48_000)
    assert samples[400:-400].abs().max() < 1e-3


def test_stereo_of_one_signal_is_that_signal():
    one = tone(22_050, 0.4)
    both = audio.mono_16k(torch.stack([one, one]), 22_050)
    assert torch.equal(both, audio.mono_16k(one, 22_050))
    assert torch.equal(both, audio.mono_16k(torch.stack([one, one])[None], 22_050))


def test_mel_is_what_librosa_defines():
    """Its filter bank on centred Hann windows, written out: librosa's own STFT compiles for half a minute first."""
    import librosa

    samples = 0.1 * np.random.default_rng(0).standard_normal(16_000)
    ours = audio.mel_power(torch.from_numpy(samples).float(), 90)
    window = np.zeros(512)
    window[56:456] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    bank = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=64, fmin=50, fmax=7600, htk=True, norm=None)
    for frame in (5, 40, 80):
        centre = 160 * frame + 80
        spectrum = np.fft.rfft(samples[centre - 256 : centre + 256] * window)
        np.testing.assert_allclose(ours[frame], bank @ np.abs(spectrum) ** 2 / 200.0**2, rtol=1e-3)


def test_block_of_frames_does_not_change_the_mel(monkeypatch):
    samples = tone(16_000, 1.0)
    whole = audio.log_mel(samples, 100)
    monkeypatch.setattr(audio, "_BLOCK", 28)
    torch.testing.assert_close(audio.log_mel(samples, 100), whole, atol=1e-4, rtol=0)


def test_block_of_samples_does_not_change_the_resampling(monkeypatch):
    waveform = torch.stack([tone(22_050, 0.3), tone(22_050, 0.3, hertz=3000)])
    whole = audio.mono_16k(waveform, 22_050)
    monkeypatch.setattr(audio, "_BLOCK", 100)
    torch.testing.assert_close(audio.mono_16k(waveform, 22_050), whole, atol=1e-6, rtol=0)


def test_loudness_of_a_tone_and_of_silence(monkeypatch):
    samples = torch.cat([tone(16_000, 1.0, level=1.0), torch.zeros(16_000)])
    loudness = audio.frame_loudness(samples, 50, 25)
    assert loudness[5:20] == pytest.approx(torch.full((15,), -3.01).numpy(), abs=0.1)
    assert loudness[26:].eq(-120).all()
    monkeypatch.setattr(audio, "_BLOCK", 28)
    torch.testing.assert_close(audio.frame_loudness(samples, 50, 25), loudness, atol=1e-3, rtol=0)


def test_gain_makes_voices_alike_and_leaves_silence():
    loud = tone(16_000, 1.0)
    assert audio.recording_gain_db(loud * 0.1) - audio.recording_gain_db(loud) == pytest.approx(20, abs=1e-3)
    assert audio.recording_gain_db(torch.zeros(16_000)) == 0
    assert abs(audio.recording_gain_db(loud * 1e-6)) <= audio.MOST_GAIN_DB


@pytest.mark.parametrize(
    "waveform, rate, words",
    [
        (torch.zeros(0), 16_000, "empty"),
        (torch.zeros(2, 0), 16_000, "0 samples"),
        (torch.full((100,), math.nan), 16_000, "NaN"),
        (np.zeros(100), 16_000, "ndarray"),
        (torch.zeros(100, dtype=torch.int16), 16_000, "int16"),
        (torch.zeros(2, 1, 100), 16_000, "one recording at a time"),
        (torch.zeros(100), 0, "sample rate"),
        (torch.zeros(100), 10**9, "sample rate"),
        (torch.zeros(100), 16_000.5, "sample rate"),
    ],
)
def test_bad_sound_gets_a_sentence(waveform, rate, words):
    with pytest.raises(InputError, match=words):
        audio.mono_16k(waveform, rate)
