"""An insightface model pack -> the folder in which FaceAnalysis finds it, ~/.insightface/models/NAME.

insightface itself fetches packs from its own release page only; packs given as a folder, a zip file or a repository of
the Hub are put in place here. Its models are for non-commercial research; users bring them.
"""

import os
import shutil
import tempfile
import zipfile
from pathlib import Path

from ..errors import WeightsError
from ..references import is_safe_name

LARGEST_MODEL = 1 << 30
"""Bytes that one model of a zip file may unpack to; the largest known has 260 MB."""


def packs_folder() -> Path:
    """Where FaceAnalysis looks for packs."""
    return Path.home() / ".insightface" / "models"


def install_pack(source: str | Path, name: str, folder: Path | None = None, overwrite: bool = False) -> list[Path]:
    """Put the onnx models of a pack in place, all of them or none.

    Args:
        source: a folder or a zip file that holds .onnx files, in subfolders or not.
        name: of the pack, such as "buffalo_l".
        folder: where packs lie; by default insightface's own place.
        overwrite: replace a pack that is there.

    Returns:
        The models.

    Raises:
        WeightsError: there is no model in it, or the pack is there already.
    """
    source, folder = Path(source).expanduser(), folder or packs_folder()
    if not is_safe_name(name):
        raise WeightsError(f"{name!r} cannot be the name of a pack; write one such as buffalo_l.")
    target = folder / name
    if target.exists() and not overwrite:
        raise WeightsError(f"{target} is there already and is kept; say --overwrite, or choose another --name.")
    folder.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".part", dir=folder))
    try:
        _copy_models(source, made)
        os.chmod(made, 0o755)
        if target.exists():
            shutil.rmtree(target)
        os.replace(made, target)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return sorted(target.glob("*.onnx"))


def _copy_models(source: Path, target: Path) -> None:
    if source.is_dir():
        for path in sorted(source.rglob("*.onnx")):
            shutil.copyfile(path, target / path.name)
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as pack:
            for entry in pack.infolist():
                name = entry.filename.rsplit("/", 1)[-1]  # its folders do not matter, so none can be escaped to
                if not name.endswith(".onnx") or not is_safe_name(name):
                    continue
                if entry.file_size > LARGEST_MODEL:
                    raise WeightsError(f"{source}: {name} would take {entry.file_size} bytes; this is no known pack.")
                with pack.open(entry) as model, open(target / name, "wb") as file:
                    shutil.copyfileobj(model, file)
    else:
        raise WeightsError(
            f"{source} is neither a folder nor a zip file; give a pack of insightface, such as buffalo_l."
        )
    if not any(target.iterdir()):
        raise WeightsError(f"{source} holds no .onnx model; give a pack of insightface, such as buffalo_l.")
