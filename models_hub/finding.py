"""Where the weights of a stage lie: model folders, the embedded files, the Hugging Face cache, the Hub; in this order.

A choice of weights is "embedded" (the stage's default), the name of a card, the name of a file in a model folder, or a
reference to the Hub, `owner/name@revision:file`. Whatever is found is verified before its path is given out.
"""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from . import cards, files, references
from .cards import EMBEDDED, Card
from .errors import HubError, WeightsError
from .references import Reference

Progress = Callable[[int, int], None]

RETRY_SECONDS = 600.0
"""After the Hub could not give newer weights, the embedded ones serve this long before it is asked again."""

_failed: dict[str, float] = {}  # newer weights that could not be had, and when
_log = logging.getLogger(__name__)


def model_folders(stage: str) -> list[Path]:
    """Folders outside of ComfyUI that may hold a stage's files, in the order in which they are searched.

    `ARTICULATE_MODELS` or else ~/.cache/articulate, then models/articulate below the current directory.
    """
    return [files.cache_folder() / stage, Path("models") / "articulate" / stage]


def choices(stage: str, folders: Sequence[Path]) -> list[str]:
    """What can be chosen for a stage without typing: "embedded", its other cards, the files in its folders."""
    named = [name for name, card in cards.cards_of(stage).items() if cards.source(card) != EMBEDDED]
    found = {file.name for folder in folders if folder.is_dir() for file in folder.glob("*.safetensors")}
    usable = sorted(name for name in found if references.is_safe_name(name))
    return [EMBEDDED, *named, *(name for name in usable if name not in named)]


def find(
    stage: str,
    choice: str = EMBEDDED,
    folders: Sequence[Path] | None = None,
    progress: Progress | None = None,
    refresh: bool = False,
) -> Path:
    """The verified file of a choice, fetched from the Hub if it lies nowhere else.

    Args:
        stage: name of the stage ("warper", "generator", ...).
        choice: see above.
        folders: the stage's model folders; by default those outside of ComfyUI.
        progress: told the bytes of a download; it may raise to cancel.
        refresh: ask the Hub even where the cache has an answer, so that a branch that moved is followed.

    Raises:
        HubError: the Hub cannot give it.
        WeightsError: there is no such file, it is not the pinned one, or the choice is none.
    """
    folders = model_folders(stage) if folders is None else folders
    card = cards.card_for(stage, choice)
    if card is not None:
        return _of_card(*card, folders, progress, refresh)
    if references.is_reference(choice):
        return _of_reference(references.parse(choice), stage, progress, refresh)
    if references.is_safe_name(choice):
        for folder in folders:
            if choice.endswith(".safetensors") and (folder / choice).is_file():
                return folder / choice
    raise WeightsError(
        f"{choice[:200]!r} is not among the weights of stage {stage!r}: {', '.join(choices(stage, folders))}. Looked "
        f"in {' and '.join(map(str, folders))}. Put a .safetensors file there, or write {references.FORM}."
    )


def state(stage: str, choice: str, folders: Sequence[Path] | None = None) -> str:
    """A text that changes when the weights that a choice means do. Asks no server, and needs no file."""
    folders = model_folders(stage) if folders is None else folders
    card = cards.card_for(stage, choice)
    if card is not None:
        newer = None if card[0] in _failed else cards.newer(card[1])
        pinned = (newer or card[1]).get("sha256")
        if pinned:
            return pinned
        places = [folder / cards.file_name(*card) for folder in folders]
        return _state_of(places) or f"{choice} is missing"
    if references.is_reference(choice):
        reference = references.parse(choice)
        if reference.pinned:
            return str(reference)
        from . import hub

        path = hub.cached(reference) if reference.file else hub.cached(reference, hub.CONFIG)
        return f"{reference} {path.resolve() if path else 'not fetched'}"
    return _state_of([folder / choice for folder in folders if references.is_safe_name(choice)]) or choice


def _state_of(places: Sequence[Path]) -> str:
    path = next((place for place in places if place.is_file()), None)
    return f"{path}:{files.version(path)}" if path else ""


def _of_card(name: str, card: Card, folders: Sequence[Path], progress: Progress | None, refresh: bool) -> Path:
    newer = cards.newer(card) if cards.source(card) == EMBEDDED else None
    if newer:
        try:
            return _published(name, newer, folders, progress)
        except HubError as error:
            _failed[name] = time.monotonic()
            _log.warning("%s The embedded weights are used instead.", error)
    if cards.source(card) == EMBEDDED:
        return _embedded(name, card, folders)
    if cards.source(card) == "hub":
        return _published(name, card, folders, progress, refresh)
    place = _in_folders(name, card, folders)
    if place is None:
        raise WeightsError(
            f"The weights {name!r} are yours to bring; {cards.file_name(name, card)} was looked for in "
            f"{' and '.join(map(str, folders))}. {card.get('how', 'Put the file there.')}"
        )
    return place


def _embedded(name: str, card: Card, folders: Sequence[Path]) -> Path:
    path = cards.WEIGHTS_FOLDER / f"{name}.safetensors"
    place = _in_folders(name, card, folders, strict=False)
    if place is None and not path.is_file():
        raise WeightsError(
            f"The weights of stage {card.get('stage', name)!r} were looked for at {path}, where is no file; clone "
            "or install the project again."
        )
    if place is None:
        files.check(path, card["bytes"], card["sha256"])
    return place or path


def _in_folders(name: str, card: Card, folders: Sequence[Path], strict: bool = True) -> Path | None:
    """A card's file in a model folder. One that is not the pinned file is refused, or passed over if not strict."""
    for folder in folders:
        path = folder / cards.file_name(name, card)
        if not path.is_file():
            continue
        if strict:
            files.check(path, card.get("bytes"), card.get("sha256"))
            return path
        if path.stat().st_size == card["bytes"] and files.known_sha256(path) == card["sha256"]:
            return path
    return None


def _published(
    name: str, card: Card, folders: Sequence[Path], progress: Progress | None, refresh: bool = False
) -> Path:
    place = _in_folders(name, card, folders, strict=False) if "sha256" in card else None
    if place is not None:
        return place
    from . import hub

    reference = Reference(card["repository"], card["commit"], card["file"])
    path = None if refresh else hub.cached(reference)
    if path is not None:
        hub.check_cached(path, reference)
        files.check(path, card.get("bytes"), card.get("sha256"))
        return path
    if time.monotonic() - _failed.get(name, -RETRY_SECONDS) < RETRY_SECONDS:
        raise HubError(f"{reference} could not be had a short while ago; it is tried again later.")
    path = hub.fetch(reference, "", card.get("bytes"), card.get("sha256"), progress)
    _failed.pop(name, None)
    return path


def _of_reference(reference: Reference, stage: str, progress: Progress | None, refresh: bool) -> Path:
    from . import hub

    pinned: Card = {}
    if not reference.file:
        reference, pinned = _file_of_repository(reference, stage, progress, refresh)
    path = None if refresh else hub.cached(reference)
    if path is None:
        return hub.fetch(reference, "", pinned.get("bytes"), pinned.get("sha256"), progress)
    hub.check_cached(path, reference)
    files.check(path, pinned.get("bytes"), pinned.get("sha256"), f"{reference.repository}'s {hub.CONFIG}")
    return path


def _file_of_repository(
    reference: Reference, stage: str, progress: Progress | None, refresh: bool
) -> tuple[Reference, Card]:
    """Which file of a repository is for a stage, and what its config.json pins; config and file of one commit."""
    from . import hub

    usual = Reference(reference.repository, reference.revision, f"{stage}.safetensors")
    if not refresh and hub.cached(reference, hub.CONFIG) is None and hub.cached(usual) is not None:
        return usual, {}  # a repository without such a config; nothing is asked
    commit, listed = hub.published_files(reference, progress, refresh)
    if not listed:
        return usual, {}
    if stage not in listed:
        raise WeightsError(
            f"{reference} has weights for {', '.join(sorted(listed))}, but none for stage {stage!r}. Choose another "
            "repository, or name a file: owner/name:file.safetensors."
        )
    return Reference(reference.repository, commit or reference.revision, listed[stage]["file"]), listed[stage]
