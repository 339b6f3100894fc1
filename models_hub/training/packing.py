"""A data folder small enough to be carried: `python -m articulate train pack --data DIR --output PACKED`.

Left out is what the trainings that it is for do not read. The rest is copied unchanged as far as it fits. Where it does
not, landmarks are compressed without a loss, then files of the train split with one, kind by kind (`STEPS`), the
largest first and no more of them than needed. The val split stays as it is, and so do the figures measured on it.
"""

import csv
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, MediaError
from ..types import Progress
from .face_data import rows
from .footage import read_manifest
from .parts import EVALUATIONS, PACKED, PARTS, SOUND_ENDINGS, TRAININGS, sound_file, sound_files
from .transcoding import encode_clip, encode_picture, encode_sound, squeeze_arrays

LOSSLESS = 0
"""The quality of what is the same after decoding."""
STEPS = (
    ("landmarks", LOSSLESS),
    ("speech", 64), ("pictures", 80), ("photos", 80), ("sound", 64), ("frames", 20),
    ("speech", 32), ("sound", 32), ("frames", 23), ("pictures", 70), ("photos", 70), ("frames", 26), ("frames", 29),
)  # fmt: skip
"""What is made smaller, one after the other: Opus in kbit/s, JPEG quality, x264's constant rate factor."""
CODECS = {"speech": "Opus, {} kbit/s", "sound": "Opus, {} kbit/s", "pictures": "JPEG of quality {}",
          "photos": "JPEG of quality {}", "frames": "H.264, CRF {}", "landmarks": "LZMA, lossless"}  # fmt: skip
ENCODED = {"speech": SOUND_ENDINGS, "sound": SOUND_ENDINGS, "pictures": (".jpg",), "photos": (".jpg",),
           "frames": (".mp4",), "landmarks": (".npz",)}  # fmt: skip
"""The files of a part that this is done to."""
TABLES = {"manifest.csv": "id", "pictures.csv": "file"}
"""The tables of a data folder, and what names a row's files."""


@dataclass
class DataFile:
    """A file of a data folder, and what becomes of it.

    Attributes:
        path: in the data folder; packed: in the packed one.
        part: of `PARTS`. split: "train" or "val". row: what names it in its table.
        bytes: in the data folder; size: in the packed one.
        quality: what it was encoded with, None where it stays as it is.
        psnr: of an encoded clip, dB.
    """

    path: Path
    part: str
    split: str
    row: str
    bytes: int
    size: int
    packed: Path
    quality: int | None = None
    psnr: float | None = None


def parts_for(readers: Iterable[str]) -> tuple[str, ...]:
    """The parts that some trainings, and "evaluate", read; all where none is named.

    Raises:
        InputError: there is no such training.
    """
    readers = [reader.replace("-", "_") for reader in readers]
    reads = TRAININGS | {"evaluate": {part for parts in EVALUATIONS.values() for part in parts}}
    for reader in readers:
        if reader not in reads:
            raise InputError(f"Nothing can be packed for {reader!r}; there are {', '.join(reads)}.")
    return tuple(part for part in PARTS if not readers or any(part in reads[reader] for reader in readers))


def files_of(data: Path, parts: Iterable[str]) -> list[DataFile]:
    """The files of some parts of a data folder that its tables list (recordings in speech/: all), as they are.

    Raises:
        InputError: it has no manifest.csv, or nothing of what that lists.
    """
    found: list[DataFile] = []
    manifest = read_manifest(data)
    splits = {row["id"]: row["split"] for row in manifest}

    def add(part: str, folder: str, file: Path, row: str, split: str) -> None:
        path = Path(folder) / file
        if part in parts and (data / path).is_file():
            size = (data / path).stat().st_size
            found.append(DataFile(path, part, split, row, size, size, path))

    for row in manifest:
        name, split = row["id"], row["split"]
        if row["kind"] == "clip":
            sound = Path(sound_file(data / "clips", name).name)
            for part, ending in (
                ("frames", ".mp4"),
                ("landmarks", ".npz"),
                ("sound", sound.suffix),
                ("sound", ".align"),
            ):
                add(part, "clips", Path(f"{name}{ending}"), name, split)
        elif row["kind"] != "speech":
            for ending in (".jpg", ".npz"):
                add("photos", "photos", Path(f"{name}{ending}"), name, split)
    for path in sound_files(data / "speech"):
        add("speech", "speech", Path(path.name), path.stem, splits.get(path.stem, "train"))
    for row in rows(data, "pictures.csv") if (data / "pictures.csv").is_file() else ():
        add("pictures", "pictures", Path(row["file"]), row["file"], row["split"])
    if not found:
        raise InputError(f"{data} holds no file that its manifest.csv lists; give --data the folder that it lies in.")
    return found


def pack(
    data: Path,
    output: Path,
    size: float = 60.0,
    readers: Iterable[str] = (),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write a data folder again, smaller; a folder appears whole or not at all.

    Args:
        data: folder of manifest.csv.
        output: folder to write.
        size: of all its files together at most, in MB (a million bytes).
        readers: trainings that it is for, and "evaluate"; none for all.
        overwrite: replace a packed folder that is there.
        progress: called with (files done, files in all); the latter grows.

    Returns:
        What packed.json says: size in `bytes` of all other files, the `parts` that it holds, who it is `for`, and for
        each part its `bytes`, files, how many of them were `encoded` anew, as what, and the mean `psnr` of such clips.

    Raises:
        InputError: it does not fit, an argument is no good, or the output cannot be written.
        MediaError: a file of the data cannot be read.
    """
    if not 0 < size < 1e9:
        raise InputError(f"{size:g} MB is no size that a folder can have; give --size in MB, such as 60.")
    readers = list(readers)
    files = files_of(data, parts_for(readers))
    limit = round(size * 1e6)
    fixed = sum(file.bytes for file in files if file.split == "val" and file.part != "landmarks")
    if not fixed < limit:
        raise InputError(
            f"{data} cannot be packed into {size:g} MB: the val split alone, which stays as it is, has "
            f"{fixed / 1e6:.1f} MB. Give --size more, or say what it is --for."
        )
    with _folder(data, output, overwrite) as folder:
        _fit(data, folder, files, readers, limit, progress)
        for name, text in _tables(data, files, readers).items():
            (folder / name).write_bytes(text)
    return json.loads((output / PACKED).read_text(encoding="utf-8"))


def _fit(
    data: Path, folder: Path, files: list[DataFile], readers: list[str], limit: int, progress: Progress | None
) -> None:
    """Encode and copy files into a folder until they fit, or raise InputError."""
    done, expected = 0, len(files)

    def tell() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, max(done, expected))

    # Room for the tables: they grow by a column that names what became of each row.
    total = sum(file.size for file in files) + sum(map(len, _tables(data, files, readers).values()))
    total += 64 * len(files) + 2000
    for part, quality in STEPS:
        chosen = [file for file in files if _may_shrink(file, part, quality)] if total > limit else []
        expected += len(chosen)
        for file in sorted(chosen, key=lambda file: -file.size):
            if total > limit:
                total += _encode(data, folder, file, quality)
                tell()
            else:
                expected -= 1
    if total > limit:
        raise InputError(
            f"{data} cannot be packed into {limit / 1e6:g} MB: with everything as small as is sensible it has "
            f"{total / 1e6:.1f} MB. Give --size more, or say what it is --for."
        )
    for file in files:
        if file.quality is None:
            _make_room(folder / file.path)
            shutil.copyfile(data / file.path, folder / file.path)
        tell()


def _may_shrink(file: DataFile, part: str, quality: int) -> bool:
    lossless = quality == LOSSLESS
    return file.part == part and file.path.suffix in ENCODED[part] and (lossless or file.split != "val")


def _encode(data: Path, folder: Path, file: DataFile, quality: int) -> int:
    """Encode a file and return by how many bytes it grew; where it would not shrink it stays what it was."""
    import av

    packed = file.path.with_suffix(".opus") if file.part in ("speech", "sound") else file.path
    source, target, psnr = data / file.path, folder / packed.with_name(f"{packed.name}.part"), None
    _make_room(target)
    try:
        match file.part:
            case "frames":
                psnr = encode_clip(source, target, quality)
            case "speech" | "sound":
                encode_sound(source, target, quality)
            case "landmarks":
                squeeze_arrays(source, target)
            case _:
                encode_picture(source, target, quality)
    except (av.FFmpegError, OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaError(f"{source} cannot be encoded ({reason}); copy it again, or check the free space.") from error
    before, after = file.size, target.stat().st_size
    if after >= before:
        target.unlink()
        return 0
    os.replace(target, folder / packed)
    file.packed, file.size, file.quality, file.psnr = packed, after, quality, psnr
    return after - before


def _make_room(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)


def _tables(data: Path, files: list[DataFile], readers: list[str]) -> dict[str, bytes]:
    """The files beside the folders, by name. Where rows were encoded with a loss, a column `packed` says how.

    So the list differs from that of the data, and caches of decoded frames tell the two apart.
    """
    texts = {}
    for name, key in TABLES.items():
        if not (data / name).is_file():
            continue
        became: dict[str, list[str]] = {}
        for file in files:
            if file.quality and (name == "pictures.csv") == (file.part == "pictures"):
                became.setdefault(file.row, []).append(CODECS[file.part].format(file.quality))
        texts[name] = (data / name).read_bytes()
        if became:
            table = [{**row, "packed": "; ".join(became.get(row[key], []))} for row in rows(data, name)]
            text = io.StringIO()
            writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(table)
            texts[name] = text.getvalue().encode()
    if (data / "README.md").is_file():  # what the data may be used for goes with it
        texts["README.md"] = (data / "README.md").read_bytes()
    facts: dict[str, Any] = {"for": readers, "parts": sorted({file.part for file in files}, key=PARTS.index)}
    facts["contents"] = {part: _facts([file for file in files if file.part == part]) for part in facts["parts"]}
    facts["bytes"] = sum(file.size for file in files) + sum(map(len, texts.values()))
    texts[PACKED] = json.dumps(facts, indent=1).encode()
    return texts


def _facts(files: list[DataFile]) -> dict[str, Any]:
    encoded = [file for file in files if file.quality is not None]
    psnrs = [file.psnr for file in encoded if file.psnr is not None]
    kinds = {CODECS[file.part].format(file.quality) for file in encoded}
    facts: dict[str, Any] = {"files": len(files), "bytes": sum(file.size for file in files)}
    facts |= {"bytes_before": sum(file.bytes for file in files), "encoded": len(encoded), "as": sorted(kinds)}
    return facts | ({"psnr": round(sum(psnrs) / len(psnrs), 2)} if psnrs else {})


@contextmanager
def _folder(data: Path, output: Path, overwrite: bool) -> Iterator[Path]:
    """A folder that gets its name when the block ends well, and vanishes otherwise (also on Ctrl-C).

    Raises:
        InputError: it is there and may not be replaced, holds the data, or cannot be written.
    """
    target = output.resolve()
    if target in (data.resolve(), *data.resolve().parents):
        raise InputError(f"{output} holds the data that is to be packed, which is kept; choose another folder.")
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            if not overwrite:
                raise InputError(
                    f"{output} exists already and is kept; choose another name, or allow it with --overwrite."
                )
            if not (target / PACKED).is_file():
                raise InputError(
                    f"{output} is no packed folder (it holds no {PACKED}) and is kept; choose another name."
                )
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    except OSError as error:
        raise InputError(f"{output} cannot be written ({error.strerror or error}); choose another folder.") from error
    try:
        yield made
        made.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        os.replace(made, target)
    except OSError as error:
        raise InputError(f"{output} could not be written ({error.strerror or error}); check the free space.") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
