"""Speech by the voices of flite and festival, where they are installed: throats that espeak-ng lacks.

Their voices are cut from recordings of people, so they sound more like people than espeak-ng's formants do.
On Debian: `apt install flite festival` and any of the `festvox-*` packages.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from torch import Tensor

from ..errors import InputError
from .phones import made_up_sentence
from .speech_data import read_sound

FLITE = ("awb", "rms", "slt")


def installed_voices() -> list[tuple[str, str]]:
    """Programs and their voices.

    Raises:
        InputError: neither program is installed.
    """
    voices = [("flite", voice) for voice in FLITE] if shutil.which("flite") else []
    if shutil.which("festival") and shutil.which("text2wave"):
        listed = subprocess.run(["festival", "--pipe"], input="(print (voice.list))", capture_output=True, text=True)
        voices += [("festival", voice) for voice in re.findall(r"\w+", listed.stdout)]
    if not voices:
        raise InputError("--voices needs flite or festival; install them with the system's package manager.")
    return voices


def other_voices(seconds: float, seed: int) -> list[tuple[Tensor, int]]:
    """Made-up sentences by random installed voices at random paces, as samples (1, S) and their rate."""
    random, voices = np.random.default_rng(seed), installed_voices()
    made: list[tuple[Tensor, int]] = []
    total = 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sentence.wav"
        while total < seconds and voices:
            chosen = int(random.integers(len(voices)))
            program, voice = voices[chosen]
            text, pace = made_up_sentence(random, int(random.integers(5, 12))), random.uniform(0.8, 1.3)
            if program == "flite":
                call = ["flite", "-voice", voice, "--setf", f"duration_stretch={pace:.2f}", "-t", text, str(path)]
            else:
                setting = f"(begin (voice_{voice}) (Parameter.set 'Duration_Stretch {pace:.2f}))"
                call = ["text2wave", "-eval", setting, "-o", str(path)]
            path.unlink(missing_ok=True)
            subprocess.run(call, input=text, text=True, capture_output=True, timeout=60)
            samples, rate = read_sound(path) if path.exists() else (None, 0)
            if samples is None or samples.shape[-1] < rate:
                del voices[chosen]  # it lacks its data; the others make up for it
                continue
            made.append((samples, rate))
            total += samples.shape[-1] / rate
    return made
