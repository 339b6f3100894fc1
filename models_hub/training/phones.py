"""Synthetic speech with phone labels, from the espeak-ng library: many voices and languages in seconds.

The library is called through its C interface (speak_lib.h); its events say when each phone begins. The
texts are made-up words, syllables drawn at random: what matters here is the sound of phones beside each
other, not what is said. Our own addition to CALS; the feasibility of it was measured beforehand.
"""

import ctypes
import ctypes.util
from dataclasses import dataclass

import numpy as np

from ..errors import InputError

LANGUAGES = ("en-us", "en-gb", "de", "fr", "es", "it", "pt", "nl", "pl", "sv", "tr", "fi", "ro", "cs", "hu", "da",
             "id", "sw", "ca", "nb")  # fmt: skip
VARIANTS = ("", "+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+m7", "+f1", "+f2", "+f3", "+f4", "+f5")

# Phones by what the lips and jaw do, keyed by the first character of the IPA symbol.
CLASSES = {
    "silence": "", "bilabial": "pbmɓ", "labiodental": "fvɱʋ", "dental": "θð", "alveolar": "tdnlszɾrɗɬɮ",
    "postalveolar": "ʃʒɕʑʂʐ", "velar": "kgɡŋxɣqχʁɴʀ", "glottal": "hɦʔħ", "palatal": "jɲʎcɟç", "approximant": "ɹɻɚɝ",
    "rounded glide": "wɥʍ", "open": "aɑæɐɒʌ", "mid": "eɛəɜɘɤ", "close": "iɪɨɯ", "rounded mid": "oɔøœɵ",
    "rounded close": "uʊyʏʉ",
}  # fmt: skip
CLASS_OF = {symbol: index for index, symbols in enumerate(CLASSES.values()) for symbol in symbols}
UNKNOWN = -1

_ONSETS = ["", "", "b", "p", "m", "f", "v", "w", "d", "t", "s", "z", "n", "l", "r", "k", "g", "h", "j", "sh", "ch",
           "st", "pr", "br", "fl", "tr", "sp", "bl", "gr", "kl"]  # fmt: skip
_NUCLEI = ["a", "e", "i", "o", "u", "a", "e", "o", "ai", "ou", "ee", "oo", "ei", "au", "ie", "ea"]
_CODAS = ["", "", "", "n", "m", "r", "s", "t", "l", "p", "b", "f", "k", "nd", "st", "mp"]

_PHONE_EVENT, _LIST_END = 7, 0
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER


class _Identifier(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("id", _Identifier),
    )  # fmt: skip


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Utterance:
    """One synthetic sentence.

    Attributes:
        samples: (S,) float32 in -1..1.
        sample_rate: of the synthesiser, 22050.
        starts: (P,) seconds at which each phone begins, ascending.
        classes: (P,) index into CLASSES, UNKNOWN for symbols that are in none.
    """

    samples: np.ndarray
    sample_rate: int
    starts: np.ndarray
    classes: np.ndarray


class Synthesiser:
    """espeak-ng, loaded as a library.

    Raises:
        InputError: the library or its voices are not installed.
    """

    def __init__(self) -> None:
        name = ctypes.util.find_library("espeak-ng")
        if name is None:
            raise InputError(
                "The espeak-ng library was not found; phone supervision needs it. Install espeak-ng with the "
                "system's package manager."
            )
        self.library = ctypes.CDLL(name)
        retrieval, phone_events, ipa = 1, 0x0001, 0x0002
        self.sample_rate = self.library.espeak_Initialize(retrieval, 200, None, phone_events | ipa)
        if self.sample_rate <= 0:
            raise InputError("espeak-ng has no voices where it looks for them; install its data package too.")
        self._callback = _CALLBACK(self._receive)  # kept alive as long as the library may call it
        self.library.espeak_SetSynthCallback(self._callback)
        self._sound: list[np.ndarray] = []
        self._phones: list[tuple[float, int]] = []

    def _receive(self, samples, count, events) -> int:
        if samples and count > 0:
            self._sound.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type != _LIST_END:
            event = events[index]
            if event.type == _PHONE_EVENT:
                symbol = event.id.string.decode("utf-8", "ignore").strip("ˈˌ_: ")
                self._phones.append((event.audio_position / 1000, phone_class(symbol)))
            index += 1
        return 0

    def say(self, text: str, voice: str, rate: int, pitch: int, spread: int) -> Utterance:
        """Speak a text; rate in words a minute, pitch and spread 0..100."""
        self._sound, self._phones = [], []
        self.library.espeak_SetVoiceByName(voice.encode())
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, spread)):
            self.library.espeak_SetParameter(parameter, value, 0)
        data = text.encode("utf-8")
        utf8 = 1
        self.library.espeak_Synth(data, len(data) + 1, 0, 1, 0, utf8, None, None)
        self.library.espeak_Synchronize()
        sound = np.concatenate(self._sound) if self._sound else np.zeros(0, np.int16)
        starts = np.array([start for start, _ in self._phones])
        classes = np.array([kind for _, kind in self._phones], np.int64)
        order = np.argsort(starts, kind="stable")
        return Utterance(sound.astype(np.float32) / 32768, self.sample_rate, starts[order], classes[order])


def phone_class(symbol: str) -> int:
    """Class of an IPA symbol; silence if it is empty."""
    return CLASS_OF.get(symbol[0], UNKNOWN) if symbol else 0


def made_up_sentence(random: np.random.Generator, words: int) -> str:
    """Random pronounceable words with a comma or stop now and then."""
    out = []
    for _ in range(words):
        count = random.choice([1, 2, 2, 3])
        word = "".join(random.choice(_ONSETS) + random.choice(_NUCLEI) + random.choice(_CODAS) for _ in range(count))
        out.append(word + random.choice(["", "", "", "", "", ",", "."]))
    return " ".join(out) + "."


def utterances(seconds: float, seed: int) -> list[Utterance]:
    """Sentences in random languages, voices, rates and pitches until they last `seconds`."""
    random = np.random.default_rng(seed)
    synthesiser, made, total = Synthesiser(), [], 0.0
    while total < seconds:
        voice = str(random.choice(LANGUAGES)) + str(random.choice(VARIANTS))
        utterance = synthesiser.say(
            made_up_sentence(random, int(random.integers(4, 12))),
            voice,
            int(random.integers(110, 230)),
            int(random.integers(15, 85)),
            int(random.integers(20, 80)),
        )
        if len(utterance.samples) > utterance.sample_rate and len(utterance.starts) > 3:
            made.append(utterance)
        total += len(utterance.samples) / utterance.sample_rate
    return made


def frame_classes(utterance: Utterance, frames: int, fps: float = 25.0) -> np.ndarray:
    """Phone class sounding at the centre of each video frame, as (frames,)."""
    centres = (np.arange(frames) + 0.5) / fps
    index = np.searchsorted(utterance.starts, centres, side="right") - 1
    return np.where(index < 0, 0, utterance.classes[np.maximum(index, 0)])
