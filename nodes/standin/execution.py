"""Where a run without a host reads and writes, and which node is at work."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...models_hub.errors import InputError, MediaError


@dataclass(frozen=True)
class Execution:
    """Facts about the run in progress.

    Attributes:
        input_folders: where relative file names are looked for, first to last.
        output_folder: where output nodes write.
        quiet: no progress bars.
        node_title: the node that is at work, for its progress bar.
    """

    input_folders: tuple[Path, ...] = field(default_factory=lambda: (Path("input"), Path()))
    output_folder: Path = Path("output")
    quiet: bool = False
    node_title: str = ""


_current: ContextVar[Execution] = ContextVar("articulate_execution")


def execution() -> Execution:
    """The run in progress; outside of one, ComfyUI's default folders in the current directory."""
    return _current.get(None) or Execution()


@contextmanager
def executing(run: Execution) -> Iterator[Execution]:
    """Make `run` the current one inside a `with` block."""
    token = _current.set(run)
    try:
        yield run
    finally:
        _current.reset(token)


def at_node(title: str) -> Execution:
    """The current run, with another node at work."""
    return replace(execution(), node_title=title)


def find_input(name: str) -> Path:
    """The file that an input widget names: a path, or a name inside one of the input folders.

    ComfyUI's annotations are understood: "name [output]" and "name [temp]" look in the output folder.

    Raises:
        MediaError: there is no such file, and the message lists the folders that were searched; or there can be none.
    """
    if not isinstance(name, str) or not name.strip():
        raise MediaError(f"The file name {name!r} is empty; give the path of a file.")
    try:
        return _found(name)
    except (OSError, ValueError) as error:  # too long, or with letters that no file name can have
        reason = getattr(error, "strerror", None) or error
        raise MediaError(f"{name!r} cannot be the name of a file ({reason}); check its spelling.") from error


def _found(name: str) -> Path:
    run = execution()
    folders: tuple[Path, ...] = run.input_folders
    annotated = re.fullmatch(r"(.+) \[(input|output|temp)\]", name)
    if annotated and not any((folder / name).is_file() for folder in folders):
        name = annotated[1]
        folders = {"input": folders, "output": (run.output_folder,), "temp": (temp_folder(),)}[annotated[2]]
    path = Path(os.path.expanduser(name))
    tried = [path] if path.is_absolute() else [folder / path for folder in folders]
    for candidate in tried:
        if candidate.is_file():
            return candidate
    for candidate in tried:
        if candidate.is_dir():
            raise MediaError(f"{name!r} is a folder, not a file ({candidate.resolve()}); give the path of a file.")
    searched = ", ".join(str(candidate.resolve().parent) for candidate in tried)
    raise MediaError(f"There is no file {name!r}; looked in {searched}. Check the spelling or give the full path.")


def temp_folder() -> Path:
    """Where previews go: they are looked at and thrown away."""
    return execution().output_folder / "previews"


def numbered_path(folder: Path, prefix: str, ending: str, size: tuple[int, int] = (0, 0)) -> tuple[Path, str]:
    """The next free file name, counted as ComfyUI counts: prefix_00001_.png, prefix_00002_.png, ...

    Args:
        folder: the output folder; `prefix` may name folders below it.
        prefix: may hold %width%, %height%, %year%, %month%, %day%, %hour%, %minute% and %second%.
        ending: what follows the number, such as "_.png".
        size: (width, height) in pixels, for the prefix.

    Returns:
        (path, folder below the output folder as text).

    Raises:
        InputError: the prefix leads out of the folder.
        MediaError: the folder cannot be made or listed.
    """
    now = time.localtime()
    facts = {"width": str(size[0]), "height": str(size[1]), "year": str(now.tm_year)}
    facts |= {name: f"{getattr(now, 'tm_' + short):02d}" for name, short in _CLOCK}
    relative = Path(re.sub(r"%(\w+)%", lambda match: facts.get(match[1], match[0]), prefix))
    target = Path(os.path.normpath(folder / relative))
    if not target.is_relative_to(Path(os.path.normpath(folder))) or not relative.name or relative.name == "..":
        raise InputError(f"The file name prefix {prefix!r} leads out of the output folder {folder}; use a plain name.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        names = os.listdir(target.parent)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaError(f"The output folder {target.parent} cannot be used ({reason}); choose another one.") from error
    pattern = re.compile(re.escape(target.name) + r"_(\d+)[_.]", re.IGNORECASE if os.name == "nt" else 0)
    taken = [int(match[1]) for match in map(pattern.match, names) if match]
    number = max(taken, default=0) + 1
    subfolder = os.path.dirname(os.path.relpath(target, folder))
    return target.with_name(f"{target.name}_{number:05d}{ending}"), subfolder


_CLOCK = (("month", "mon"), ("day", "mday"), ("hour", "hour"), ("minute", "min"), ("second", "sec"))
