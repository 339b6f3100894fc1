"""Sounds that are not plain speech: a clean recording is whispered, sung, clipped, drowned in noise, coded in few bits,
sent through a telephone, or is no voice at all.

Only landmarks are made, no pictures.
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
MELODY = (0, 4, 7, 4, 5, 9, 12, 7, 2, 0)  # semitones above the first note
NOTE, LOWEST, VIBRATO, BREATH = 0.5, 196.0, (5.5, 0.3), 0.02  # seconds, Hz, Hz and semitones, share of noise
SLOWER = 1.6  # by which what is sung is longer than what is spoken: held vowels
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
    envelope, carrier = spectral_envelope(voice, rate), spectrum(white(voice.shape[1]), rate)
    low = max(1, round(320 * WINDOW))  # bins below 320 Hz
    envelope[:, :low] *= torch.linspace(0.02, 0.5, low)[None, :, None]
    breath = signal_of(envelope * carrier / carrier.abs().clamp(min=1e-4), voice.shape[1], rate)
    return breath / loudness(breath).clamp(min=1e-9) * loudness(voice) * 10 ** (WHISPER_DB / 20)


def sung(voice: Tensor, rate: int) -> Tensor:
    """(1, SLOWER S): a voice slowed down, whose spectral envelope is put on the notes of a melody with vibrato.

    What singers do beside that (vowels longer than consonants, their formant) is not in it.
    """
    import librosa

    slow = torch.from_numpy(librosa.effects.time_stretch(voice[0].numpy(), rate=1 / SLOWER))[None]
    time = torch.arange(slow.shape[1]) / rate
    notes = torch.tensor(MELODY)[(time / NOTE).long() % len(MELODY)]
    pitch = LOWEST * 2 ** ((notes + VIBRATO[1] * (2 * math.pi * VIBRATO[0] * time).sin()) / 12)
    phase = (pitch.double() / rate).cumsum(0)
    pulses = (phase.floor().diff(prepend=phase.new_zeros(1)) > 0).float()[None]  # all harmonics, equally loud
    carrier = spectrum(pulses + BREATH * white(slow.shape[1]), rate)
    made = signal_of(spectral_envelope(slow, rate) * carrier / carrier.abs().mean(), slow.shape[1], rate)
    return made / loudness(made).clamp(min=1e-9) * loudness(voice)


def spectrum(signal: Tensor, rate: int) -> Tensor:
    """Complex spectra (1, bins, windows) of a signal (1, S)."""
    size = round(WINDOW * rate)
    return torch.stft(signal, size, size // 4, window=torch.hann_window(size), return_complex=True)


def signal_of(spectra: Tensor, samples: int, rate: int) -> Tensor:
    """The signal (1, samples) with these spectra."""
    size = round(WINDOW * rate)
    return torch.istft(spectra, size, size // 4, window=torch.hann_window(size), length=samples)


def spectral_envelope(voice: Tensor, rate: int) -> Tensor:
    """How loud a voice (1, S) is, bin by bin without its harmonics, (1, bins, windows)."""
    loud = spectrum(voice, rate).abs().transpose(1, 2)[0]
    return F.avg_pool1d(loud, 9, 1, 4, count_include_pad=False).T[None]


def at_pace(values: Tensor, count: int) -> Tensor:
    """Values (n,) of a slower or faster recording at the `count` times of another."""
    return F.interpolate(values[None, None], size=count, mode="linear")[0, 0]


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
        For "sung" and each of `changed_voices` and `coded_voices`, `<name>_correlation` of the mouth's opening with
        that of the clean voice; for each of `other_sounds`, `<name>_opening`, the widest opening over the widest of the
        clean one.
    """

    def mouth(sound: Tensor, rate: int) -> Tensor:
        return opening(predict_landmarks(encode_speech(sound, rate), face, blink=False).points)

    voice = waveform.mean(0, keepdim=True)
    clean = mouth(voice, rate)
    changed = {name: (sound, rate) for name, sound in changed_voices(voice, rate).items()}
    answers = {"sung": at_pace(mouth(sung(voice, rate), rate), len(clean))}
    for name, sound in (changed | coded_voices(voice, rate)).items():
        answers[name] = mouth(*sound)[: len(clean)]  # a codec may add a little at the end
    figures = {
        f"{name}_correlation": correlation(answer.double().numpy(), clean[: len(answer)].double().numpy())
        for name, answer in answers.items()
    }
    widest = max(float(clean.max()), 1e-6)
    for name, sound in other_sounds(voice.shape[1], rate).items():
        figures[f"{name}_opening"] = float(mouth(sound, rate).max()) / widest
    return figures
