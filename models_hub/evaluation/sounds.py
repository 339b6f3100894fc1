"""Sounds that are not plain speech: a clean recording is whispered, clipped, drowned in noise, or is no voice at all.

Only landmarks are made, no pictures. Singing is not among them: it cannot be made from speech by signal processing.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..networks.lip_shape import opening
from ..stages.audio_encoder import encode_speech
from ..stages.landmark_predictor import predict_landmarks
from ..types import Face
from .speech import correlation

WHISPER_DB = -20.0  # against the voice
SHOUT_DB = 20.0  # by which a recording is too loud, so that it is clipped
WINDOW = 0.025  # seconds, of the spectra that a whisper is made from
CHORD = (261.6, 329.6, 392.0, 523.3)  # Hz


def changed_voices(voice: Tensor, rate: int) -> dict[str, Tensor]:
    """The same words in other ways; each (1, S) as the voice.

    Args:
        voice: (1, S) samples of clean speech.
        rate: samples a second.
    """
    noise = white(voice.shape[1])
    level = loudness(voice)
    return {
        "whispered": whispered(voice, rate),
        "shouted": (voice * 10 ** (SHOUT_DB / 20)).clamp(-1, 1),
        "noisy_10db": voice + noise * level * 10 ** (-10 / 20),
        "noisy_0db": voice + noise * level,
    }


def other_sounds(samples: int, rate: int) -> dict[str, Tensor]:
    """Sounds in which nobody speaks, (1, S) each."""
    time = torch.arange(samples)[None] / rate
    beat = ((2 * time).floor() % 2).float()
    chord = sum((2 * math.pi * pitch * time).sin() for pitch in CHORD)
    return {
        "hiss": white(samples) * 10 ** (-50 / 20),
        "steady_noise": white(samples) * 10 ** (-20 / 20),
        "music": 0.05 * chord * beat,
    }


def whispered(voice: Tensor, rate: int) -> Tensor:
    """(1, S): noise with the spectral envelope of a voice, less what the vocal cords add at the lowest pitches."""
    size = round(WINDOW * rate)
    window = torch.hann_window(size)

    def spectrum(signal: Tensor) -> Tensor:
        return torch.stft(signal, size, size // 4, window=window, return_complex=True)

    envelope = F.avg_pool1d(spectrum(voice).abs().transpose(1, 2)[0], 9, 1, 4, count_include_pad=False).T[None]
    low = max(1, round(320 * WINDOW))  # bins below 320 Hz
    envelope[:, :low] *= torch.linspace(0.02, 0.5, low)[None, :, None]
    carrier = spectrum(white(voice.shape[1]))
    breath = torch.istft(envelope * carrier / carrier.abs().clamp(min=1e-4), size, size // 4, window=window,
                         length=voice.shape[1])  # fmt: skip
    return breath / loudness(breath).clamp(min=1e-9) * loudness(voice) * 10 ** (WHISPER_DB / 20)


def white(samples: int) -> Tensor:
    """(1, S) of noise with a standard deviation of 1, always the same."""
    return torch.randn(1, samples, generator=torch.Generator().manual_seed(0))


def loudness(sound: Tensor) -> Tensor:
    """Root mean square of all samples."""
    return sound.square().mean().sqrt()


def sound_figures(waveform: Tensor, rate: int, face: Face) -> dict[str, float]:
    """How a face takes the changed voice, and what it does when nobody speaks.

    Args:
        waveform: (C, S) clean speech.
        rate: samples a second.
        face: whose mouth moves.

    Returns:
        For each of `changed_voices`, `<name>_correlation` of the mouth's opening with that of the clean voice; for
        each of `other_sounds`, `<name>_opening`, the widest opening over the widest of the clean voice.
    """

    def mouth(sound: Tensor) -> Tensor:
        return opening(predict_landmarks(encode_speech(sound, rate), face, blink=False).points)

    voice = waveform.mean(0, keepdim=True)
    clean = mouth(voice)
    figures = {
        f"{name}_correlation": correlation(mouth(sound).double().numpy(), clean.double().numpy())
        for name, sound in changed_voices(voice, rate).items()
    }
    widest = max(float(clean.max()), 1e-6)
    for name, sound in other_sounds(voice.shape[1], rate).items():
        figures[f"{name}_opening"] = float(mouth(sound).max()) / widest
    return figures
