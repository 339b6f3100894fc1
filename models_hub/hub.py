"""The Hugging Face Hub: what lies in its cache, fetching, and publishing. The only module that talks to a network.

huggingface_hub is the client, 0.30 to 2.x with this one code; `HF_ENDPOINT`, `HF_HUB_OFFLINE`, `HF_HOME` and tokens
are read by it as it documents them. Files land in its cache, where other programs find them too.
"""

import errno
import inspect
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import files
from .errors import HubError, WeightsError
from .references import Reference, is_safe_path

CONFIG = "config.json"
"""The small file of a published repository that says which file is for which stage."""

_POLL_SECONDS = 0.1  # between two looks at the bar and the cancel button
_FAREWELL_SECONDS = 2.0  # that a cancelled download may take to remove its unfinished file

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all); it may raise to cancel, and must be let through."""


@dataclass
class _Download:
    """What the thread that downloads and the one that waits tell each other."""

    done: int = 0
    cancelled: bool = False
    path: str = ""
    error: BaseException | None = None


class _Cancelled(Exception):
    """Ends a download from within."""


def cached(reference: Reference, file: str = "") -> Path | None:
    """Where a file lies in the Hugging Face cache, or None; asks no server.

    Args:
        reference: repository and revision. A branch means the commit that was last seen of it.
        file: path in the repository; by default the reference's.
    """
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(reference.repository, file or reference.file, revision=reference.revision)
    return Path(path) if isinstance(path, str) and Path(path).is_file() else None


def fetch(
    reference: Reference,
    file: str = "",
    size: int | None = None,
    sha256: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Bring a file of the Hub into the cache, whole and verified, and say where it lies.

    The server is asked what it has before anything is downloaded. What arrives is compared with the server's ETag (the
    sha256 of large files, git's digest of small ones) and with what is pinned; a file that differs from its ETag
    is removed again. Files that were there before stay.

    Args:
        reference, file: as for `cached`.
        size, sha256: of the pinned file, if it is.
        progress: told the bytes; None lets the client show its own bar.

    Raises:
        HubError: it cannot be had; the message says why and what to do.
        WeightsError: it is not the pinned file.
    """
    file = file or reference.file
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise HubError(
            f"{reference} is not in the Hugging Face cache ({constants.HF_HUB_CACHE}), and HF_HUB_OFFLINE forbids to "
            "fetch it. Unset HF_HUB_OFFLINE, or put the file into the stage's model folder."
        )
    facts = _ask(reference, file)
    etag, found_size = facts.etag or "", facts.size
    if (size is not None and found_size not in (None, size)) or (sha256 and len(etag) == 64 and etag != sha256):
        raise WeightsError(
            f"{reference} on the Hub has {found_size} bytes and digest {etag[:12]}..., but pinned are {size} bytes and "
            f"sha256 {(sha256 or '')[:12]}...: it was replaced there. Update Articulate, or choose other weights."
        )
    path = _download(reference, file, found_size or size or 0, progress)
    _compare_with_etag(path, etag, reference)
    files.check(path, size, sha256, str(reference))
    return path


def etag_in_cache(path: Path) -> str:
    """The ETag under which the cache keeps a file, or "" where it does not say (systems without links)."""
    blob = path.resolve()
    return blob.name if blob.parent.name == "blobs" else ""


def check_cached(path: Path, reference: Reference) -> None:
    """Compare a file in the cache with its ETag, once for each version of the file.

    Raises:
        WeightsError: it was altered; it is removed, so that it can be fetched again.
    """
    _compare_with_etag(path, etag_in_cache(path), reference)


def published_files(
    reference: Reference, progress: Progress | None = None, refresh: bool = False
) -> tuple[str, dict[str, Any]]:
    """What a repository's config.json says about its files.

    Returns:
        The commit that says so, and by stage {"warper": {"file", "bytes", "sha256"}, ...}; the latter is empty if the
        repository has no such file or it says nothing about stages.
    """
    path = None if refresh else cached(reference, CONFIG)
    if path is None:
        try:
            path = fetch(reference, CONFIG, progress=progress)
        except HubError as error:
            if isinstance(error.__cause__, _hub_errors().EntryNotFoundError):
                return "", {}
            raise
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["articulate"]["files"]
        usable = {stage: entry for stage, entry in listed.items() if _is_usable(entry)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        usable = {}
    return (path.parent.name if len(path.parent.name) == 40 else ""), usable


def _is_usable(entry: dict[str, Any]) -> bool:
    return entry["file"].endswith(".safetensors") and is_safe_path(entry["file"])


def publish(folder: Path, repository: str, names: list[str], message: str, private: bool = False) -> str:
    """Push files of a folder in one commit, making the repository if need be.

    Args:
        folder: where they lie.
        repository: owner/name.
        names: the files, relative to the folder.
        message: of the commit.
        private: whether a new repository is private.

    Returns:
        The commit, 40 hexadecimal digits.

    Raises:
        HubError: it cannot be done.
    """
    from huggingface_hub import HfApi

    reference = Reference(repository)
    try:
        api = HfApi()
        api.create_repo(repository, exist_ok=True, private=private)
        commit = api.upload_folder(
            repo_id=repository, folder_path=str(folder), allow_patterns=names, commit_message=message
        )
    except Exception as error:
        raise _explained(error, reference, "push to") from error
    return str(commit.oid)


def _ask(reference: Reference, file: str) -> Any:
    """What the server says about a file. One request, no retries: a dead server is noticed at once."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(reference.repository, file, revision=reference.revision)
    try:
        return get_hf_file_metadata(url, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception as error:
        raise _explained(error, reference, f"fetch {file} of") from error


def _download(reference: Reference, file: str, size: int, progress: Progress | None) -> Path:
    """Let the client download in a thread of its own, so that cancelling never waits for the network."""
    state, finished = _Download(), threading.Event()

    def work() -> None:
        from huggingface_hub import hf_hub_download

        try:
            with _watched(hf_hub_download, state) if progress else _unwatched() as options:
                state.path = hf_hub_download(reference.repository, file, revision=reference.revision, **options)
        except BaseException as error:
            state.error = error
        finally:
            finished.set()

    thread = threading.Thread(target=work, name="articulate-download", daemon=True)
    thread.start()
    try:
        while not finished.wait(_POLL_SECONDS):
            if progress:
                progress(min(state.done, size), size)
    except BaseException:
        state.cancelled = True
        thread.join(_FAREWELL_SECONDS)
        raise
    if state.error is not None:
        raise _explained(state.error, reference, f"fetch {file} of") from state.error
    if progress:
        progress(size, size)
    return Path(state.path)


@contextmanager
def _unwatched() -> Iterator[dict[str, Any]]:
    yield {}


@contextmanager
def _watched(download: Callable[..., str], state: _Download) -> Iterator[dict[str, Any]]:
    """Options that make a download of this thread tell its bytes, and end when it is cancelled."""
    from huggingface_hub.utils import tqdm

    mine = threading.current_thread()

    class Bar(tqdm):
        """Shows nothing; the bytes are shown by whoever waits."""

        def __init__(self, *args: Any, **options: Any) -> None:
            self.watched = threading.current_thread() is mine
            if self.watched:
                options["disable"] = True
                state.done = int(options.get("initial") or 0)
            super().__init__(*args, **options)

        def update(self, n: float | None = 1) -> bool | None:
            if self.watched:
                if state.cancelled:
                    raise _Cancelled
                state.done += int(n or 0)
            return super().update(n)

    if "tqdm_class" in inspect.signature(download).parameters:
        yield {"tqdm_class": Bar}
        return
    # Before huggingface_hub 1.0 the class of the bar is no argument. Other threads' bars behave as ever.
    module = sys.modules["huggingface_hub.utils.tqdm"]
    before = module.tqdm
    module.tqdm = Bar
    try:
        yield {}
    finally:
        module.tqdm = before


def _compare_with_etag(path: Path, etag: str, reference: Reference) -> None:
    match len(etag):
        case 64:
            digest = files.known_sha256(path)
        case 40:
            digest = files.git_digest(path)
        case _:
            return  # the server names its files in a way of its own
    if digest == etag:
        return
    blob = path.resolve()
    path.unlink(missing_ok=True)
    blob.unlink(missing_ok=True)
    raise WeightsError(
        f"{reference}: what was at {path} has the digest {digest[:12]}..., but the Hub announced {etag[:12]}...; it "
        "was damaged on its way or altered, and is removed. Fetch it again (articulate models fetch)."
    )


def _hub_errors() -> Any:
    from huggingface_hub import errors

    return errors


def _explained(error: BaseException, reference: Reference, attempt: str) -> HubError:
    """What a failure of the client means for the user."""
    from huggingface_hub import constants

    errors, where, known = _hub_errors(), constants.ENDPOINT, error
    while isinstance(known, errors.LocalEntryNotFoundError) and known.__cause__ is not None:
        known = known.__cause__  # the client tried, failed, and found nothing in the cache either
    status = getattr(getattr(known, "response", None), "status_code", None)
    sign_in = "Sign in (hf auth login, or set HF_TOKEN)"
    if isinstance(known, errors.EntryNotFoundError) and not isinstance(known, errors.LocalEntryNotFoundError):
        said = "the repository has no such file. Look at its list of files, and write owner/name@revision:file"
    elif isinstance(known, errors.RevisionNotFoundError):
        said = f"it has no revision {reference.revision!r}. Give a branch, a tag or a full commit"
    elif isinstance(known, errors.GatedRepoError):
        said = (
            f"it is gated. Accept its terms at {where}/{reference.repository}, then {sign_in[0].lower()}{sign_in[1:]}"
        )
    elif isinstance(known, errors.RepositoryNotFoundError):
        said = f"there is no such repository, or it is private. Check the name. {sign_in} if it is private"
    elif status in (401, 403):
        said = f"the server refuses (HTTP {status}). {sign_in} with a token that may do this"
    elif status is not None:
        said = f"the server answers HTTP {status}. Try again later, or set HF_ENDPOINT to a mirror"
    elif isinstance(known, OSError) and known.errno in (errno.ENOSPC, errno.EDQUOT):
        said = f"no space is left in {constants.HF_HUB_CACHE}. Make room, or set HF_HOME to another disk"
    elif isinstance(known, OSError) and known.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        said = f"{known.filename or constants.HF_HUB_CACHE} cannot be written. Set HF_HOME to a folder that can"
    else:
        text = str(known).strip().splitlines()
        said = (
            f"{type(known).__name__}{': ' + text[0][:200] if text else ''}. Check the connection to {where}, set "
            "HF_ENDPOINT to a mirror, or put the file into the stage's model folder"
        )
    return HubError(f"Cannot {attempt} {reference}: {said}.")
