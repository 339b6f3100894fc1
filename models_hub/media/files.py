"""What all media files share: opening with a sentence for an error, writing whole or not at all."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..errors import MediaError


def check_readable(path: str | os.PathLike, kind: str) -> Path:
    """The path of a file that exists and has content.

    Args:
        path: the file.
        kind: "picture", "sound" or "video", for the message.

    Raises:
        MediaError: there is nothing, a folder, an empty or an unreadable file.
    """
    path = Path(os.path.expanduser(path))
    try:
        if path.is_dir():
            raise MediaError(f"{path} is a folder, not a {kind} file; give the path of a file in it.")
        with open(path, "rb") as file:
            empty = not file.read(1)
    except FileNotFoundError as error:
        raise MediaError(f"There is no {kind} file at {path}; check the spelling or give the full path.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaError(f"{path} cannot be opened ({reason}); check its permissions and its name.") from error
    if empty:
        raise MediaError(f"{path} is empty (0 bytes), so there is no {kind} in it; copy or download it again.")
    return path


def check_writable(path: str | os.PathLike, overwrite: bool) -> Path:
    """The path of a file that may be written; makes its folder.

    Returns:
        The path; of a symbolic link, that of the file which it points to, so that the link stays one.

    Raises:
        MediaError: it exists and must not be overwritten, is a folder or a device, has a name that no file can
            have, or its folder cannot be written to.
    """
    path = Path(os.path.expanduser(path))
    try:
        if path.is_dir():
            raise MediaError(f"{path} is a folder, so no file can be written there; add a file name.")
        if path.exists() and not path.is_file():
            raise MediaError(f"{path} is a device or pipe, not a file, and is kept; give the path of a file.")
        if path.exists() and not overwrite:
            raise MediaError(f"{path} exists already and is kept; choose another name, or allow it with --overwrite.")
        if path.is_symlink():
            path = Path(os.path.realpath(path))
            if path.is_symlink():
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part_path(path), "wb"):
            pass
        part_path(path).unlink()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaError(
            f"{path} cannot be written ({reason}); choose a folder that you may write to and a plain, short name."
        ) from error
    return path


def check_other(output: str | os.PathLike, inputs: Iterable[str | os.PathLike]) -> None:
    """Make sure that what is written is none of the files that are read, also by way of links.

    Raises:
        MediaError: it is one of them.
    """
    for given in inputs:
        try:
            same = os.path.samefile(os.path.expanduser(output), os.path.expanduser(given))
        except (OSError, ValueError):  # one is not there, or cannot be, which is told where it is opened
            same = False
        if same:
            raise MediaError(f"{output} is the same file as the input {given}, which is kept; choose another name.")


def part_path(path: Path) -> Path:
    """The temporary name that a file has until it is complete."""
    return path.with_name(f"{path.name}.{os.getpid()}.part")


@contextmanager
def written_whole(path: str | os.PathLike, overwrite: bool) -> Iterator[IO[bytes]]:
    """A binary file that gets its name when the block ends well, and vanishes otherwise (also on Ctrl-C).

    Raises:
        MediaError: the path cannot be written (see `check_writable`), or the disk is full.
    """
    path = check_writable(path, overwrite)
    part = part_path(path)
    try:
        with open(part, "w+b") as file:
            yield file
        os.replace(part, path)
    except OSError as error:
        reason = error.strerror or error
        raise MediaError(f"{path} could not be written ({reason}); check the free space and permissions.") from error
    finally:
        part.unlink(missing_ok=True)
