"""Cards: what is known about every weights file (cards.toml).

Fields of a card, all of them text unless said otherwise:
- `stage`, `architecture`, `title`, `description`, `licence`, `trained_on`, `input`, `normalisation`, `paper`,
  `figures`; `training` (how it went) and `command` (the preset that trains such weights);
- `source`: "embedded" (comes with the project), "hub" (a repository of the Hub) or "bring your own" (users convert
  or copy it themselves; `how` says how, `original` where the authors' file is);
- `bytes` (number) and `sha256` of the file, where they are known;
- `repository`, `commit`, `file` of source "hub"; `file` is also the name in a model folder, by default
  NAME.safetensors;
- `hub`: a table {repository, commit, file, bytes, sha256} that publishing writes into the card of an embedded file.
  Where its sha256 is another than the embedded file's, the published weights are newer, and are used first.
"""

import json
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import WeightsError
from .files import sha256, write_whole

EMBEDDED = "embedded"
WEIGHTS_FOLDER = Path(__file__).parent / "weights"
SOURCES = (EMBEDDED, "hub", "bring your own")

_HEADER = "# Every known weights file; the fields are explained in cards.py. Commands write here (cards.pin_card)."

Card = dict[str, Any]


def cards() -> dict[str, Card]:
    """The table of known weights, by name; read anew when the file has changed."""
    return _read(_cards_file(), _cards_file().stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _read(path: Path, _modified: int) -> dict[str, Card]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def cards_of(stage: str) -> dict[str, Card]:
    """The cards of a stage, by name: the embedded default first."""
    found = {name: card for name, card in cards().items() if card.get("stage", name) == stage}
    return dict(sorted(found.items(), key=lambda item: (source(item[1]) != EMBEDDED, item[0])))


def card_for(stage: str, choice: str) -> tuple[str, Card] | None:
    """Name and card that a choice of weights means: "embedded" is the stage's default."""
    for name, card in cards_of(stage).items():
        if choice == name or (choice == EMBEDDED and source(card) == EMBEDDED):
            return name, card
    return None


def source(card: Card) -> str:
    """Where a card's file comes from; cards of trained weights need not say that they are embedded."""
    return card.get("source", EMBEDDED)


def file_name(name: str, card: Card) -> str:
    """What the file of a card is called in a model folder."""
    return card.get("file", f"{name}.safetensors").rsplit("/", 1)[-1]


def newer(card: Card) -> Card | None:
    """The published file of an embedded card, if it is another one than the embedded: then it is newer."""
    published = card.get("hub")
    return published if published and published["sha256"] != card["sha256"] else None


def pin_card(name: str, facts: Card) -> None:
    """Write bytes, sha256 and `facts` of an embedded file into cards.toml, keeping the other cards.

    A published copy of the earlier file is forgotten: it is older than this one.
    """
    path = WEIGHTS_FOLDER / f"{name}.safetensors"
    change_card(name, {**facts, "bytes": path.stat().st_size, "sha256": sha256(path)})


def change_card(name: str, facts: Card) -> None:
    """Change fields of one card, or add a card."""
    table = dict(tomllib.loads(_cards_file().read_text(encoding="utf-8"))) if _cards_file().exists() else {}
    before = table.get(name, {})
    card = {**before, **facts}
    if "sha256" in facts and "hub" not in facts and facts["sha256"] != before.get("sha256"):
        card.pop("hub", None)
    table[name] = card
    lines = [_HEADER, ""]
    for key in sorted(table):
        lines.append(f"[{key}]")
        lines += [f"{field} = {_toml(value)}" for field, value in table[key].items()]
        lines.append("")
    write_whole(_cards_file(), "\n".join(lines).encode())


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def unknown_card(name: str) -> WeightsError:
    """The error for a name that no card has."""
    from difflib import get_close_matches

    near = get_close_matches(name, list(cards()), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return WeightsError(f"There is no card {name[:80]!r}; known are {', '.join(cards()) or 'none'}.{hint}")


def _cards_file() -> Path:
    return Path(__file__).parent / "cards.toml"
