"""`owner/name@revision:file`, the way to say which file of the Hub; and which names from outside are safe to use.

Everything here looks at text only. What passes can neither climb out of a folder nor name a drive, a device or
another host.
"""

import re
from dataclasses import dataclass

from .errors import WeightsError

DEFAULT_REVISION = "main"
FORM = "owner/name, owner/name:file.safetensors or owner/name@revision:file.safetensors"

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_REPOSITORY = re.compile(f"{_PART}/{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_./-]{0,253}[A-Za-z0-9_])?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


@dataclass(frozen=True)
class Reference:
    """A file, or a whole repository, of the Hub.

    Attributes:
        repository: owner/name.
        revision: a branch, a tag, or a commit of 40 hexadecimal digits.
        file: path in the repository; empty for the one that the repository gives for a stage.
    """

    repository: str
    revision: str = DEFAULT_REVISION
    file: str = ""

    @property
    def pinned(self) -> bool:
        """Whether the revision is a full commit, which never changes."""
        return _COMMIT.fullmatch(self.revision) is not None

    def __str__(self) -> str:
        at = "" if self.revision == DEFAULT_REVISION else f"@{self.revision}"
        return f"{self.repository}{at}{':' if self.file else ''}{self.file}"


def is_reference(text: str) -> bool:
    """Whether a text has the shape of a reference rather than of a file name or path.

    `runs/warper.safetensors` is a path: a repository's file is named after a colon.
    """
    head = re.split("[@:]", text, maxsplit=1)[0]
    return _REPOSITORY.fullmatch(head) is not None and not head.endswith(".safetensors")


def parse(text: str) -> Reference:
    """Read a reference.

    Raises:
        WeightsError: it has another form, or names something outside of the repository.
    """
    match = re.fullmatch(r"([^@:]+)(?:@([^:]*))?(?::(.*))?", text.strip(), re.DOTALL)
    repository, revision, file = match.groups() if match else ("", "", "")
    problem = ""
    if not _REPOSITORY.fullmatch(repository) or ".." in repository or "--" in repository:
        problem = "it does not begin with owner/name"
    elif revision is not None and (not _REVISION.fullmatch(revision) or ".." in revision or "//" in revision):
        problem = f"{revision!r} is no branch, tag or commit"
    elif file is not None and not is_safe_path(file):
        problem = f"{file!r} is no file inside of a repository"
    elif file is not None and not file.endswith(".safetensors"):
        problem = f"{file!r} is no safetensors file, and nothing else is loaded"
    if problem:
        raise WeightsError(f"{text[:200]!r} cannot be used as Hub weights: {problem}. Write {FORM}.")
    return Reference(repository, revision or DEFAULT_REVISION, file or "")


def is_safe_path(path: str) -> bool:
    """Whether a relative path of forward slashes stays inside its folder, on every platform."""
    return 0 < len(path) <= 500 and all(is_safe_name(part) for part in path.split("/"))


def is_safe_name(name: str) -> bool:
    """Whether a file name is one: no folder, drive, device, stream or hidden file, and nothing invisible."""
    return (
        0 < len(name) <= 250
        and name[0] not in ". "
        and name[-1] not in ". "
        and not set(name) & set('/\\:*?"<>|')
        and name.isprintable()
        and name.split(".")[0].strip().lower() not in _DEVICES
    )
