"""Sounds that are not plain speech: a clean recording is whispered, clipped, drowned in noise, coded in few bits, sent
through a telephone, or is no voice at all.

Only landmarks are made, no pictures. Singing is not among them: it cannot be made from speech by signal processing.
"""

import io
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..media.sound import decode_audio
from ..networks.lip_shape import opening
from ..stages.audio import SAMPLE_RATE, mono_16k
from ..stages.audio_encoder import encode_speech
from ..stages.landmark_predictor import predict_landmarks
from ..types import Face
from .speech import correlation

WHISPER_DB = -20.0  # against the voice
SHOUT_DB = 20.0  # by which a recording is too loud, so that it is clipped
WINDOW = 0.025  # seconds, of the spectra that a whisper is made from
CHORD = (261.6, 329.6, 392.0, 523.3)  # Hz
TELEPHONE = (300.0, 3400.0)  # Hz
CODECS = {"mp3_16k": ("libmp3lame", "mp3", 16_000), "opus_6k": ("libopus", "ogg", 6_000)}  # coder, file, bits a second


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
        "telephone": telephone(voice, rate),
    }


def coded_voices(voice: Tensor, rate: int) -> dict[str, tuple[Tensor, int]]:
    """The same, (1, S), by codecs with few bits, and samples a second; without those that FFmpeg lacks here."""
    import av

    known = {name: codec for name, codec in CODECS.items() if codec[0] in av.codecs_available}
    return {name: through_codec(voice, rate, *codec) for name, codec in known.items()}


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


def telephone(voice: Tensor, rate: int) -> Tensor:
    """(1, S): nothing but the frequencies that telephones transmit."""
    spectrum, pitch = torch.fft.rfft(voice), torch.fft.rfftfreq(voice.shape[1], 1 / rate)
    heard = (pitch >= TELEPHONE[0]) & (pitch <= TELEPHONE[1])
    return torch.fft.irfft(spectrum * heard, voice.shape[1])


def through_codec(voice: Tensor, rate: int, codec: str, kind: str, bits: int) -> tuple[Tensor, int]:
    """Sound (1, S) written by FFmpeg at 16,000 samples a second and read again, and its samples a second then."""
    import av

    values = mono_16k(voice, rate)[None].clamp(-1, 1).numpy()
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=SAMPLE_RATE, layout="mono", bit_rate=bits)
        coder = stream.codec_context
        coder.open()
        size = coder.frame_size  # samples that the codec takes at once
        for start in range(0, values.shape[1], size):
            frame = av.AudioFrame.from_ndarray(values[:, start : start + size].copy(), format="flt", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file.seek(0)
    return decode_audio(file, codec)


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
        For each of `changed_voices` and `coded_voices`, `<name>_correlation` of the mouth's opening with that of the
        clean voice; for each of `other_sounds`, `<name>_opening`, the widest opening over the widest of the clean one.
    """

    def mouth(sound: Tensor, rate: int) -> Tensor:
        return opening(predict_landmarks(encode_speech(sound, rate), face, blink=False).points)

    voice = waveform.mean(0, keepdim=True)
    clean = mouth(voice, rate)
    changed = {name: (sound, rate) for name, sound in changed_voices(voice, rate).items()}
    figures = {}
    for name, sound in (changed | coded_voices(voice, rate)).items():
        answer = mouth(*sound)[: len(clean)]  # a codec may add a little at the end
        figures[f"{name}_correlation"] = correlation(answer.double().numpy(), clean[: len(answer)].double().numpy())
    widest = max(float(clean.max()), 1e-6)
    for name, sound in other_sounds(voice.shape[1], rate).items():
        figures[f"{name}_opening"] = float(mouth(sound, rate).max()) / widest
    return figures
