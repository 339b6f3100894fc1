"""The Hugging Face Hub: what lies in its cache, fetching, and publishing. The only module that talks to a network.

huggingface_hub is the client, 0.30 to 2.x with this one code; `HF_ENDPOINT`, `HF_HUB_OFFLINE`, `HF_HOME` and tokens
are read by it as it documents them. Files land in its cache, where other programs find them too.
"""

import inspect
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import files
from .errors import HubError, WeightsError
from .hub_errors import explained
from .references import Reference, is_safe_path

CONFIG = "config.json"
"""The small file of a published repository that says which file is for which stage."""

_POLL_SECONDS = 0.1  # between two looks at the bar and the cancel button

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all); it may raise to cancel, and must be let through."""


@dataclass
class _Download:
    """What the thread that downloads and the one that waits tell each other."""

    done: int = 0
    cancelled: bool = False


class _Cancelled(Exception):
    """Ends a download from within."""


class _ClientError(Exception):
    """What the client raised in the background."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


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
    facts = _ask(reference, file, progress)
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
    from huggingface_hub import errors

    path = None if refresh else cached(reference, CONFIG)
    if path is None:
        try:
            path = fetch(reference, CONFIG, progress=progress)
        except HubError as error:
            if isinstance(error.__cause__, errors.EntryNotFoundError):
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


def list_files(reference: Reference) -> list[str]:
    """Names of all files of a repository at a revision.

    Raises:
        HubError: it cannot be asked.
    """
    from huggingface_hub import HfApi

    try:
        names = _in_background(
            lambda: HfApi().list_repo_files(reference.repository, revision=reference.revision), lambda: None
        )
    except _ClientError as error:
        raise explained(error.cause, reference, "list the files of") from error.cause
    return [name for name in names if is_safe_path(name)]


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
        raise explained(error, reference, "push to") from error
    return str(commit.oid)


def _ask(reference: Reference, file: str, progress: Progress | None) -> Any:
    """What the server says about a file. A dead server is given up after one timeout, whatever the client repeats."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    url, limit = hf_hub_url(reference.repository, file, revision=reference.revision), constants.HF_HUB_ETAG_TIMEOUT
    try:
        return _in_background(
            lambda: get_hf_file_metadata(url, timeout=limit), lambda: progress and progress(0, 1), limit + 1
        )
    except _ClientError as error:
        raise explained(error.cause, reference, f"fetch {file} of") from error.cause


def _download(reference: Reference, file: str, size: int, progress: Progress | None) -> Path:
    """Let the client download, and follow its bytes."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    state = _Download()

    def work() -> str:
        while True:
            reached = state.done
            try:
                with _watched(hf_hub_download, state) if progress else _unwatched() as options:
                    return hf_hub_download(reference.repository, file, revision=reference.revision, **options)
            except (HfHubHTTPError, _Cancelled):
                raise
            except OSError as error:  # old clients do not resume by themselves after every kind of cut
                if error.errno is not None or state.done <= reached:
                    raise

    try:
        path = _in_background(work, lambda: progress and progress(min(state.done, size), size))
    except _ClientError as error:
        raise explained(error.cause, reference, f"fetch {file} of") from error.cause
    finally:
        state.cancelled = True
    if progress:
        progress(size, size)
    return Path(path)


def _in_background(work: Callable[[], Any], tick: Callable[[], Any], seconds: float | None = None) -> Any:
    """Do something that waits for a network in a thread of its own, so that cancelling never has to wait.

    Args:
        work: what to do; its failure is raised as _ClientError.
        tick: called all the time; what it raises is let through, and the work is left to end by itself.
        seconds: after which the work is given up.
    """
    result: list[Any] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:
            failure.append(error)

    thread, start = threading.Thread(target=run, name="articulate-hub", daemon=True), time.monotonic()
    thread.start()
    while thread.is_alive():
        tick()
        thread.join(_POLL_SECONDS)
        if seconds is not None and time.monotonic() - start > seconds and thread.is_alive():
            raise _ClientError(TimeoutError(f"no answer within {seconds:.0f} seconds"))
    if failure:
        raise _ClientError(failure[0]) from failure[0]
    return result[0]


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
