"""Weights of one's own -> a repository of the Hub that others load by its name alone.

What is published: the safetensors files of a folder, a `config.json` that says which file is for which stage (with
bytes and sha256, so that what arrives can be checked), a model card in the Hub's format, and the licence. A README.md
or LICENSE that lies in the folder is taken as it is. Nothing else in the folder is touched or sent.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import cards, files, hub, loading, references
from .architectures import Sizes
from .errors import WeightsError

README, LICENSE = "README.md", "LICENSE"

_TERMS = "Animate people only with their consent, and say that a video is synthetic."


@dataclass(frozen=True)
class Entry:
    """One weights file that is to be published."""

    path: Path
    stage: str
    architecture: str
    sizes: Sizes
    bytes: int
    sha256: str
    card: cards.Card = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What would be published: the files by name, in the order of the commit, and what was checked."""

    repository: str
    entries: tuple[Entry, ...]
    texts: dict[str, str]
    checks: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """All files of the commit."""
        return [*(entry.path.name for entry in self.entries), *self.texts]

    def facts(self) -> dict[str, Any]:
        """For printing."""
        sizes = {entry.path.name: entry.bytes for entry in self.entries}
        sizes |= {name: len(text.encode()) for name, text in self.texts.items()}
        return {"repository": self.repository, "files": sizes, "checks": list(self.checks)}


def make_plan(folder: Path, repository: str, licence: str | None = None) -> Plan:
    """Look through a folder and say what would be published; nothing is written or sent.

    Args:
        folder: holds .safetensors files, one for a stage.
        repository: owner/name.
        licence: identifier of the Hub's list ("mit", "cc-by-nc-4.0", "other", ...). Needed unless a LICENSE lies in the
            folder or all files are the project's own.

    Raises:
        WeightsError: a file cannot be published; the message says which and why.
    """
    if references.parse(repository).file or "@" in repository:
        raise WeightsError(f"{repository!r} is no name of a repository; write owner/name.")
    found = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not found:
        raise WeightsError(f"{folder} holds no .safetensors file, so there is nothing to publish; give another folder.")
    entries = tuple(_entry(path) for path in found)
    _refuse_repeats(entries)
    own = all(entry.card for entry in entries)
    if licence is None and not own and not (folder / LICENSE).is_file():
        raise WeightsError(
            f"{folder} holds weights of your own but no {LICENSE}; put one there, or say --licence IDENTIFIER "
            "(such as cc-by-nc-4.0), so that others know what they may do."
        )
    licence = licence or "other"
    texts = {hub.CONFIG: _config(entries)}
    texts[README] = _given(folder / README) or _model_card(entries, repository, licence)
    texts[LICENSE] = _given(folder / LICENSE) or _licence(entries, licence)
    checks = (
        "every file is safetensors and of a known architecture, with all its tensors and no others",
        "all values are finite",
        "each stage has one file",
        "no file is a converted checkpoint of others",
        f"licence: {licence}" + (f" (the text is {folder / LICENSE})" if (folder / LICENSE).is_file() else ""),
    )
    return Plan(repository, entries, texts, checks)


def push(plan: Plan, message: str = "Weights for Articulate", private: bool = False) -> str:
    """Publish; returns the commit.

    Raises:
        HubError: the Hub refuses.
    """
    with staged(plan) as folder:
        return hub.publish(folder, plan.repository, plan.names, message, private)


@contextmanager
def staged(plan: Plan) -> Iterator[Path]:
    """A temporary folder that holds exactly the files of a plan."""
    with tempfile.TemporaryDirectory(prefix="articulate-publish-") as name:
        write(plan, Path(name))
        yield Path(name)


def write(plan: Plan, folder: Path) -> None:
    """Write the files of a plan into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in plan.entries:
        if (folder / entry.path.name).absolute() != entry.path.absolute():
            shutil.copyfile(entry.path, folder / entry.path.name)
    for name, text in plan.texts.items():
        files.write_whole(folder / name, text.encode())


def recorded_cards(plan: Plan) -> list[str]:
    """Names of the cards of the embedded weights that would be recorded.

    Raises:
        WeightsError: a file is not for a stage with embedded weights.
    """
    found = [cards.card_for(entry.stage, cards.EMBEDDED) for entry in plan.entries]
    strangers = [entry.path.name for entry, card in zip(plan.entries, found, strict=True) if card is None]
    if strangers:
        raise WeightsError(f"{', '.join(strangers)}: no embedded weights have this stage, so no card can record it.")
    return [card[0] for card in found]


def record(plan: Plan, commit: str) -> None:
    """Write where they were published into the cards of the embedded weights.

    Raises:
        WeightsError: as for `recorded_cards`.
    """
    for name, entry in zip(recorded_cards(plan), plan.entries, strict=True):
        facts = {"file": entry.path.name, "bytes": entry.bytes, "sha256": entry.sha256}
        cards.change_card(name, {"hub": {"repository": plan.repository, "commit": commit, **facts}})


def _entry(path: Path) -> Entry:
    if not references.is_safe_name(path.name):
        raise WeightsError(f"{path} has a name that not every system can keep; rename it.")
    architecture, sizes, header = loading.inspect_weights(path)
    if "source_sha256" in header.metadata:
        raise WeightsError(
            f"{path} is a converted checkpoint of others ({header.metadata.get('source_file', 'see its header')}); "
            "their weights are not ours to redistribute. Publish what you trained, and let users convert the original."
        )
    loading.read_weights(path)  # refuses values that are not finite
    digest = files.known_sha256(path)
    own = next((card for card in cards.cards().values() if card.get("sha256") == digest), {})
    stage = own.get("stage", architecture.stages[0])
    return Entry(path, stage, architecture.name, sizes, path.stat().st_size, digest, own)


def _refuse_repeats(entries: tuple[Entry, ...]) -> None:
    stages: dict[str, str] = {}
    for entry in entries:
        if entry.stage in stages:
            raise WeightsError(
                f"{stages[entry.stage]} and {entry.path.name} are both for stage {entry.stage!r}; a repository has one "
                "file for each stage. Publish them apart."
            )
        stages[entry.stage] = entry.path.name


def _config(entries: tuple[Entry, ...]) -> str:
    listed = {
        entry.stage: {
            "file": entry.path.name,
            "architecture": entry.architecture,
            "sizes": entry.sizes,
            "bytes": entry.bytes,
            "sha256": entry.sha256,
        }
        for entry in entries
    }
    return json.dumps({"library_name": "articulate", "articulate": {"files": listed}}, indent=2) + "\n"


def _model_card(entries: tuple[Entry, ...], repository: str, licence: str) -> str:
    front = ["---", f"license: {licence}"]
    if licence == "other":
        front += ["license_name: see-licence-file", f"license_link: {LICENSE}"]
    front += ["library_name: articulate", "tags:", "- talking-head", "- lip-sync", "- comfyui", "---"]
    lines = [*front, "", f"# {repository.split('/')[1]}", ""]
    lines += ["Weights for Articulate, a node pack for ComfyUI: a portrait and a voice recording become a"]
    lines += ["video of that face speaking. In the nodes, type the repository's name into `repository`:", ""]
    lines += [f"    {repository}", ""]
    for entry in entries:
        card = entry.card
        lines += [f"## {card.get('title', entry.path.name)}", ""]
        if "description" in card:
            lines += [card["description"], ""]
        known = {
            "file": f"`{entry.path.name}`, {entry.bytes} bytes, sha256 `{entry.sha256}`",
            "stage": entry.stage,
            "architecture": f"{entry.architecture} {json.dumps(entry.sizes)}",
        }
        known |= {
            name.replace("_", " "): card[name]
            for name in ("input", "normalisation", "trained_on", "training", "command", "figures", "paper", "licence")
            if name in card
        }
        lines += [*(f"- **{name}**: {value}" for name, value in known.items()), ""]
    return "\n".join([*lines, _TERMS, ""])


def _licence(entries: tuple[Entry, ...], licence: str) -> str:
    said = sorted({entry.card["licence"] for entry in entries if "licence" in entry.card})
    return "\n".join([f"Licence of these weights: {licence}", *said, _TERMS, ""])


def _given(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
