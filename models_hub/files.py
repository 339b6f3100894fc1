"""Weights files on the disk: whole, unaltered, and looked through once for each version of a file.

What was found out about a file (its digest, that its values are finite) is remembered with its size, time of
change and inode, in `verified.json` of the cache folder, so that the next start need not read it all again.
"""

import hashlib
import json
import os
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import WeightsError

STEADY_SECONDS = 2.0
"""A file changed more recently is not remembered: another change might leave the same time of change."""

MOST_REMEMBERED = 512


def cache_folder() -> Path:
    """Where weights, and what is known about them, are kept outside of ComfyUI.

    `ARTICULATE_MODELS`, or else articulate in `XDG_CACHE_HOME` or ~/.cache.
    """
    given = os.environ.get("ARTICULATE_MODELS")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "articulate"


def version(path: Path) -> tuple[int, int, int]:
    """Size, time of change and inode of a file."""
    state = path.stat()
    return state.st_size, state.st_mtime_ns, state.st_ino


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_digest(path: Path) -> str:
    """Hex digest by which git, and so the Hub, names a small file."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def known_sha256(path: Path) -> str:
    """Hex digest of a file's content, computed once for each version of the file."""
    digest = recall(path).get("sha256")
    if digest is None:
        before = version(path)
        digest = sha256(path)
        if version(path) == before:
            remember(path, sha256=digest)
    return digest


def check(path: Path, size: int | None, digest: str | None, described_by: str = "its card") -> None:
    """Refuse a file that is not the pinned one.

    Args:
        path: the file.
        size, digest: pinned bytes and sha256; None where nothing is pinned.
        described_by: what pins them, for the message.

    Raises:
        WeightsError: it is another file.
    """
    found = path.stat().st_size
    if (size is None or found == size) and (digest is None or known_sha256(path) == digest):
        return
    pinned = ", ".join(
        [*([f"{size} bytes"] if size is not None else []), *([f"sha256 {digest[:12]}..."] if digest else [])]
    )
    raise WeightsError(
        f"{path} has {found} bytes and is not the file that {described_by} describes ({pinned}): it is cut short or "
        "was altered. Restore it (git checkout) or fetch it again (articulate models fetch)."
    )


def recall(path: Path) -> dict[str, Any]:
    """What was remembered about this version of a file; empty if nothing."""
    facts = _memory().get(_key(path), {})
    return facts if facts.get("version") == list(version(path)) else {}


def remember(path: Path, **facts: Any) -> None:
    """Keep facts about this version of a file. Best effort: nothing depends on it but time."""
    if time.time() - path.stat().st_mtime < STEADY_SECONDS:
        return
    key, known = _key(path), dict(_memory())
    known[key] = {**recall(path), **facts, "version": list(version(path))}
    known = dict(list(known.items())[-MOST_REMEMBERED:])
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        write_whole(_memory_file(), json.dumps(known, indent=0).encode())
    except OSError:  # a read-only or full disk
        pass
    _read_memory.cache_clear()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: under a name of its own beside it, then renamed."""
    handle, temporary = tempfile.mkstemp(prefix=path.name + ".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _key(path: Path) -> str:
    return str(path.resolve())


def _memory_file() -> Path:
    return cache_folder() / "verified.json"


def _memory() -> dict[str, dict[str, Any]]:
    try:
        return _read_memory(_memory_file(), version(_memory_file()))
    except OSError:
        return {}


@lru_cache(maxsize=1)
def _read_memory(path: Path, _version: tuple[int, int, int]) -> dict[str, dict[str, Any]]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {key: facts for key, facts in known.items() if isinstance(facts, dict)} if isinstance(known, dict) else {}
