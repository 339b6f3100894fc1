"""Sounds in which nobody speaks, whose mouth is closed: noise, hum, chords and drums, made up as they are needed.

Without them an encoder learns that whatever is loud is speech.
"""

import math

import torch
from torch import Tensor

from ..networks.audio_to_lip import MARGIN, STEP
from ..networks.lip_shape import MOVING
from ..stages.audio import HOP, SAMPLE_RATE, log_mel, recording_gain_db
from .speech_data import Batch

HARMONICS = 8
LONGEST_BEAT = 1.5  # seconds


def other_sounds_batch(count: int, length: int, random: torch.Generator, features: int = 0) -> Batch:
    """Crops of `length` frames without speech; what a teacher would hear in them is unknown."""
    frames = length * STEP + 2 * MARGIN
    mixtures = [_mixture(frames, random) for _ in range(count)]
    mel = torch.stack([log_mel(sound, frames, gain) for sound, gain in mixtures])
    motion, seen = torch.zeros(count, length, len(MOVING), 2), torch.ones(count, length)
    phones, heard = torch.zeros(count, length, dtype=torch.long), torch.zeros(count, length, features)
    return Batch(mel, mel[:, MARGIN : MARGIN + length * STEP], motion, seen, phones, heard)


def _mixture(frames: int, random: torch.Generator) -> tuple[Tensor, float]:
    """One kind of sound, or two of different loudness, and the gain in dB that a recording of it has."""
    samples = frames * HOP
    kinds = (noise, hum, music, drums)
    first, second = (kinds[int(torch.randint(len(kinds), (), generator=random))](samples, random) for _ in range(2))
    softer = 10 ** (-_uniform(0, 3, random) if torch.rand((), generator=random) < 0.5 else -6)
    sound = first + second * softer
    # Half is as loud as a recording of its own; the rest is what speakers leave between their words.
    quieter = 0.0 if torch.rand((), generator=random) < 0.5 else _uniform(0, 40, random)
    return sound, recording_gain_db(sound) - quieter


def noise(samples: int, random: torch.Generator) -> Tensor:
    """(S,) steady noise of any tilt, smooth ripples in its spectrum, effective value 1."""
    spectrum = torch.fft.rfft(torch.randn(samples, generator=random))
    place = torch.linspace(0, 1, len(spectrum))
    ripple = torch.cos(torch.pi * torch.arange(1, 7)[:, None] * place) * torch.randn(6, 1, generator=random)
    loud = torch.exp(0.5 * ripple.sum(0)) * (place + 0.01) ** -_uniform(-0.5, 1.2, random)
    return _levelled(torch.fft.irfft(spectrum * loud, samples))


def hum(samples: int, random: torch.Generator) -> Tensor:
    """(S,) a pitch of 45 to 400 Hz that never changes: mains, fans, engines."""
    return _levelled(_tone(samples, 45 * (400 / 45) ** _uniform(0, 1, random), random))


def music(samples: int, random: torch.Generator) -> Tensor:
    """(S,) chords of one to four pitches, struck with a beat."""
    time, starts = torch.arange(samples) / SAMPLE_RATE, _beat(samples, random)
    attack, decay = _uniform(0.005, 0.06, random), 10 ** _uniform(-1, 0.8, random)
    silent = _uniform(0.5, 1.2, random)  # share of the beat after which a note is let go
    out = torch.zeros(samples)
    pitches: list[float] = []
    for start, stop in zip(starts, [*starts[1:], samples], strict=True):
        if not pitches or torch.rand((), generator=random) < 0.6:  # else the same once more
            pitches = [90 * 2 ** _uniform(0, 4, random) for _ in range(int(torch.randint(1, 5, (), generator=random)))]
        after = time[: stop - start]
        envelope = (after / attack).clamp(max=1) * torch.exp(-after / decay)
        envelope = envelope * ((silent * (stop - start) / SAMPLE_RATE - after) / 0.02).clamp(0, 1)
        out[start:stop] = sum(_tone(stop - start, pitch, random) for pitch in pitches) * envelope
    return _levelled(out)


def drums(samples: int, random: torch.Generator) -> Tensor:
    """(S,) bursts of one noise that die away, with a beat: drums, claps, steps, keys."""
    starts, envelope = _beat(samples, random), torch.zeros(samples)
    decay = 10 ** _uniform(-2, -0.7, random)
    for start in starts:
        after = torch.arange(samples - start) / SAMPLE_RATE
        envelope[start:] += torch.exp(-after / decay) * _uniform(0.3, 1, random)
    return _levelled(noise(samples, random) * envelope)


def _tone(samples: int, pitch: float, random: torch.Generator) -> Tensor:
    """(S,) a pitch in Hz with some of its harmonics, random in strength and phase."""
    order = torch.arange(1, HARMONICS + 1)
    strength = torch.rand(HARMONICS, generator=random) * order ** -_uniform(0, 2, random)
    strength = strength * (order * pitch < 0.45 * SAMPLE_RATE)
    phase = 2 * math.pi * torch.rand(HARMONICS, 1, generator=random)
    turn = 2 * math.pi * pitch / SAMPLE_RATE * order[:, None] * torch.arange(samples)
    return (strength[:, None] * torch.sin(turn + phase)).sum(0)


def _beat(samples: int, random: torch.Generator) -> list[int]:
    """Samples at which notes start, a fixed or a swinging time apart, the first at random."""
    period = LONGEST_BEAT * _uniform(0.08, 1, random)
    swing = _uniform(0, 0.4, random)
    starts, now = [], -LONGEST_BEAT * _uniform(0, 1, random)
    while now < samples / SAMPLE_RATE:
        starts.append(max(0, round(now * SAMPLE_RATE)))
        now += period * (1 + swing * _uniform(-1, 1, random))
    return sorted({start for start in starts if start < samples})


def _uniform(low: float, high: float, random: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=random))


def _levelled(sound: Tensor) -> Tensor:
    return sound / sound.square().mean().sqrt().clamp(min=1e-6)
