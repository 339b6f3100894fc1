"""Sounds made from a clean voice are what they are called, and their figures tell a good answer from a bad one."""

from pathlib import Path

import articulate
import pytest
import torch
from articulate.models_hub.evaluation import sounds
from articulate.models_hub.media.sound import read_audio


@pytest.fixture(scope="module")
def voice():
    waveform, rate = read_audio(Path(articulate.__file__).parent / "samples" / "speech.flac")
    return waveform.mean(0, keepdim=True)[:, : 2 * rate], rate


def decibels(ratio):
    return 20 * float(torch.as_tensor(ratio).log10())


def test_changed_voices_are_what_they_are_called(voice):
    clean, rate = voice
    made = sounds.changed_voices(clean, rate)
    assert all(sound.shape == clean.shape for sound in made.values())
    for name, wanted in (("noisy_10db", 10), ("noisy_0db", 0)):
        ratio = sounds.loudness(clean) / sounds.loudness(made[name] - clean)
        assert decibels(ratio) == pytest.approx(wanted, abs=0.2)
    assert made["shouted"].abs().max() == 1
    assert (made["shouted"].abs() == 1).float().mean() > 0.01
    whispered = made["whispered"]
    assert decibels(sounds.loudness(whispered) / sounds.loudness(clean)) == pytest.approx(sounds.WHISPER_DB, abs=0.1)
    assert low_share(whispered, rate) < 0.3 * low_share(clean, rate)  # no vocal cords
    follows = torch.corrcoef(torch.stack([course(whispered, rate), course(clean, rate)]))[0, 1]
    assert follows > 0.7


def test_singing_has_the_notes_of_the_melody_and_the_words_of_the_voice(voice):
    clean, rate = voice
    made = sounds.sung(clean, rate)
    assert made.shape[1] == pytest.approx(sounds.SLOWER * clean.shape[1], abs=1)
    assert decibels(sounds.loudness(made) / sounds.loudness(clean)) == pytest.approx(0, abs=0.1)
    for number, semitones in enumerate(sounds.MELODY[:4]):
        part = slice(round(sounds.NOTE * rate * number), round(sounds.NOTE * rate * (number + 1)))
        pitch = sounds.LOWEST * 2 ** (semitones / 12)
        assert harmonic_share(made[0, part], rate, pitch) > 0.6 > 1.5 * harmonic_share(clean[0, part], rate, pitch)
    slow = torch.nn.functional.interpolate(course(clean, rate)[None, None], size=len(course(made, rate)), mode="linear")
    assert torch.corrcoef(torch.stack([course(made, rate), slow[0, 0]]))[0, 1] > 0.7


def harmonic_share(note, rate, pitch):
    """Share of the energy up to the fourth harmonic that lies near one; of noise it is a fifth."""
    power, heard = torch.fft.rfft(note).abs().square(), torch.fft.rfftfreq(len(note), 1 / rate) / pitch
    power, heard = power[(heard > 0.5) & (heard < 4.5)], heard[(heard > 0.5) & (heard < 4.5)]
    return float((power * ((heard - heard.round()).abs() < 0.1)).sum() / power.sum())


def test_codecs_and_telephones_lose_pitches_and_keep_time(voice):
    clean, rate = voice
    made = {name: (sound, rate) for name, sound in sounds.changed_voices(clean, rate).items() if name == "telephone"}
    made |= sounds.coded_voices(clean, rate)
    assert set(made) == {"telephone", *sounds.CODECS}
    for sound, its_rate in made.values():
        assert sound.shape == (1, round(clean.shape[1] * its_rate / rate))
        follows = torch.corrcoef(torch.stack([course(sound, its_rate), course(clean, rate)]))[0, 1]
        assert follows > 0.9
        power = torch.fft.rfft(sound[0]).abs().square()
        assert power[round(6500 * sound.shape[1] / its_rate) :].sum() < 0.01 * power.sum()
    again = sounds.coded_voices(clean, rate)
    assert all(torch.equal(again[name][0], made[name][0]) for name in again)


def low_share(sound, rate):
    """Share of the energy below 250 Hz."""
    power = torch.fft.rfft(sound[0]).abs().square()
    return float(power[: round(250 * sound.shape[1] / rate)].sum() / power.sum())


def course(sound, rate):
    """Loudness of every 40 ms."""
    return sound[0].unfold(0, rate // 25, rate // 25).square().mean(-1).sqrt()


def test_a_face_follows_changed_voices_and_not_other_sounds(voice, sample_face):
    figures = sounds.sound_figures(*voice, sample_face)
    assert figures["whispered_correlation"] > 0.6
    assert figures["sung_correlation"] > 0.5
    assert figures["shouted_correlation"] > 0.6
    assert figures["noisy_10db_correlation"] > 0.6
    assert figures["noisy_0db_correlation"] > 0.4
    for name in ("telephone", *sounds.CODECS):
        assert figures[f"{name}_correlation"] > 0.6
    assert figures["hiss_opening"] < 0.05 and figures["steady_noise_opening"] < 0.05
    assert figures["music_opening"] < 0.5


def test_an_answer_that_hears_nothing_or_everything_is_told(voice, sample_face, monkeypatch):
    clean, _ = voice
    monkeypatch.setattr(sounds, "changed_voices", lambda sound, rate: {"lost": torch.zeros_like(sound), "same": sound})
    monkeypatch.setattr(sounds, "coded_voices", lambda sound, rate: {})
    monkeypatch.setattr(sounds, "other_sounds", lambda samples, rate: {"speech": clean})
    figures = sounds.sound_figures(*voice, sample_face)
    assert figures["lost_correlation"] == pytest.approx(0, abs=0.1)
    assert figures["same_correlation"] == pytest.approx(1)
    assert figures["speech_opening"] == pytest.approx(1)
