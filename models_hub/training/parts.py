"""What lies in a data folder, who reads which part of it, and whether a packed one holds it.

`manifest.csv` and `pictures.csv` say what there is. `clips/` holds for each ID frames (`ID.mp4`), landmarks (`ID.npz`),
and, where there is any, sound (`ID.flac`) and the times of its words (`ID.align`); `photos/` holds `ID.jpg` with
`ID.npz`, `pictures/` whole pictures, `speech/` recordings without faces. In a packed folder (packing.py) sound may be
`.opus` instead of `.flac`, and `packed.json` names the parts that it holds.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError

PARTS = ("frames", "landmarks", "sound", "photos", "pictures", "speech")

TRAININGS = {
    "finder": ("frames", "landmarks", "photos", "pictures"),
    "landmarks": ("frames", "landmarks", "photos"),
    "audio_to_lip": ("landmarks", "sound", "speech"),
    "sync_critic": ("frames", "landmarks", "sound"),
    "predictor": ("landmarks", "sound"),
    "warper": ("frames", "landmarks", "photos"),
    "mouth": ("frames", "landmarks", "photos", "pictures"),
    "mouth_detail": ("photos", "pictures"),
    "face_code": ("frames", "landmarks"),
    "head_motion": ("landmarks",),
}
"""The parts that each training reads."""

EVALUATIONS = {
    "faces": ("frames", "landmarks", "pictures"),
    "speech": ("landmarks", "sound"),
    "reenactment": ("frames", "landmarks"),
    "appearance": ("frames", "landmarks"),
    "talking": ("frames", "landmarks", "sound"),
    "outside": ("pictures", "sound"),
    "native": ("pictures", "sound"),
    "reopened": ("photos", "pictures"),
    "blinks": ("photos",),
    "sync": ("frames", "landmarks", "sound"),
    "critics": ("frames", "landmarks"),
    "fine_tune": ("frames", "landmarks", "sound"),
}
"""The parts that each part of `evaluate` reads."""

PACKED = "packed.json"
SOUND_ENDINGS = (".flac", ".opus")


def sound_file(folder: Path, name: str) -> Path:
    """The recording of that name in a folder, whichever of `SOUND_ENDINGS` it has; the first, where there is none."""
    paths = [folder / f"{name}{ending}" for ending in SOUND_ENDINGS]
    return next((path for path in paths if path.is_file()), paths[0])


def sound_files(folder: Path) -> list[Path]:
    """All recordings of a folder by name, each once."""
    names = {path.stem for ending in SOUND_ENDINGS for path in folder.glob(f"*{ending}")}
    return [sound_file(folder, name) for name in sorted(names)]


def check_parts(data: Path, needed: Iterable[str], reader: str) -> None:
    """Make sure that a packed folder holds what is read of it; every other folder passes.

    Args:
        data: the folder.
        needed: of `PARTS`.
        reader: who reads them, for the message.

    Raises:
        InputError: it was packed without one of them, or its packed.json cannot be read.
    """
    path = data / PACKED
    if not path.is_file():
        return
    try:
        held = json.loads(path.read_text(encoding="utf-8"))["parts"]
        missing = [part for part in needed if part not in held]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(f"{path} cannot be read ({error!r}); pack the data again (articulate train pack).") from error
    if missing:
        raise InputError(
            f"{data} was packed without {' and '.join(missing)}, which {reader} reads; pack the data again for it "
            "(articulate train pack --for)."
        )
