"""`articulate models`: list, show, fetch, verify, convert and publish weights."""

import argparse
from pathlib import Path
from typing import Any

from . import models_convert, models_publish
from .common import add_json, add_quiet, print_json

SUMMARY = "list, show, fetch, verify, convert and publish weights"
EXAMPLES = """examples:
  articulate models list
  articulate models show warper --json
  articulate models fetch me/my-weights
  articulate models verify
  articulate models convert mcnet final-checkpoint.pth.tar
  articulate models publish runs/mine --repo-id me/my-weights --licence cc-by-nc-4.0 --dry-run"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="one line for each weights file")
    listing.add_argument("--stage", help="only those of one stage")
    add_json(listing)
    show = actions.add_parser("show", help="everything about one weights file")
    show.add_argument("name", metavar="NAME", help="name of the weights, as in the list, or a safetensors file")
    add_json(show)
    fetch = actions.add_parser("fetch", help="fetch weights from the Hub, or the newest of a branch, and verify them")
    fetch.add_argument("names", metavar="NAME", nargs="+", help="a card's name, or owner/name@revision:file")
    fetch.add_argument("--stage", help="the stage that they are for (default: all that the repository has)")
    add_json(fetch)
    add_quiet(fetch)
    verify = actions.add_parser("verify", help="read weights anew and compare them with their cards")
    verify.add_argument(
        "names", metavar="NAME", nargs="*", help="cards or safetensors files (default: all that are here)"
    )
    add_json(verify)
    models_convert.add_arguments(actions.add_parser("convert", help="make weights files of published checkpoints"))
    models_publish.add_arguments(actions.add_parser("publish", help="publish weights on the Hugging Face Hub"))


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    actions = {"list": _list, "show": _show, "fetch": _fetch, "verify": _verify}
    actions |= {"convert": models_convert.run, "publish": models_publish.run}
    return actions[arguments.action](arguments)


def _list(arguments: argparse.Namespace) -> int:
    from ...models_hub import cards

    table = cards.cards()
    if arguments.stage:
        table = {name: card for name, card in table.items() if card.get("stage", name) == arguments.stage}
    facts = {name: {**card, "path": _place(name, card)} for name, card in table.items()}
    if arguments.json:
        print_json(facts)
        return 0
    for name, card in facts.items():
        size = f"{card['bytes'] / 1e6:6.2f} MB" if "bytes" in card else " " * 9
        here = cards.source(card) if card["path"] else f"{cards.source(card)}, not here"
        print(f"{name:20s} {card.get('stage', name):20s} {size}  {card.get('title', '')} ({here})")
    return 0


def _place(name: str, card: dict[str, Any]) -> str | None:
    """Where a card's file lies on this machine, if it does."""
    from ...models_hub import cards, finding

    stage = card.get("stage", name)
    if cards.source(card) == cards.EMBEDDED:
        places = [cards.WEIGHTS_FOLDER / f"{name}.safetensors"]
    elif cards.source(card) == "hub":
        from ...models_hub import hub
        from ...models_hub.references import Reference

        cached = hub.cached(Reference(card["repository"], card["commit"], card["file"]))
        places = [cached] if cached else []
    else:
        places = [folder / cards.file_name(name, card) for folder in finding.model_folders(stage)]
    return next((str(place) for place in places if place.is_file()), None)


def _show(arguments: argparse.Namespace) -> int:
    from ...models_hub import cards

    card = cards.cards().get(arguments.name)
    if card is None and not Path(arguments.name).is_file():
        raise cards.unknown_card(arguments.name)
    place = _place(arguments.name, card) if card else arguments.name
    facts = {**(card or {}), "path": place, **(_inside(Path(place)) if place else {})}
    if arguments.json:
        print_json(facts)
        return 0
    width = max(map(len, facts))
    for key, value in facts.items():
        print(f"{key:{width}s}  {value}")
    return 0


def _inside(path: Path) -> dict[str, Any]:
    """What a file's tensors say."""
    from ...models_hub.loading import inspect_weights

    if path.suffix != ".safetensors":
        return {}
    architecture, sizes, header = inspect_weights(path)
    known = {"architecture", "config"}
    return {
        "architecture": architecture.name,
        "stages": list(architecture.stages),
        "sizes": sizes,
        "takes": architecture.limits(),
        "tensors": len(header.shapes),
        "stored_as": sorted(set(header.types.values())),
        "header": {key: value for key, value in header.metadata.items() if key not in known},
    }


def _fetch(arguments: argparse.Namespace) -> int:
    from ...models_hub.errors import WeightsError
    from ...models_hub.files import known_sha256
    from ...models_hub.loading import inspect_weights

    fetched = []
    for name in arguments.names:
        for stage in _stages_of(name, arguments.stage):
            path = _fetch_one(stage, name, arguments.quiet)
            architecture, _, _ = inspect_weights(path, stage or None)
            if stage and stage not in architecture.stages:
                raise WeightsError(f"{path} holds a {architecture.name}, which stage {stage!r} cannot use.")
            fetched.append(
                {
                    "name": name,
                    "stage": stage or architecture.stages[0],
                    "path": str(path),
                    "bytes": path.stat().st_size,
                    "sha256": known_sha256(path),
                }
            )
    if arguments.json:
        print_json(fetched)
    else:
        for entry in fetched:
            print(f"{entry['name']}: {entry['stage']}, {entry['bytes'] / 1e6:.2f} MB, verified, {entry['path']}")
    return 0


def _stages_of(name: str, stage: str | None) -> list[str]:
    """The stages that a name has files for; "" where only the file itself can tell."""
    from ...models_hub import cards, hub, references
    from ...models_hub.errors import WeightsError

    if name in cards.cards():
        return [cards.cards()[name].get("stage", name)]
    if not references.is_reference(name):
        raise cards.unknown_card(name)
    reference = references.parse(name)
    if stage or reference.file:
        return [stage or ""]
    listed = sorted(hub.published_files(reference, refresh=True)[1])
    if not listed:
        raise WeightsError(f"{name} does not say which of its files is for which stage; add --stage, or :file.")
    return listed


def _fetch_one(stage: str, name: str, quiet: bool) -> Path:
    from tqdm import tqdm

    from ...models_hub import finding

    with tqdm(desc=name, unit="B", unit_scale=True, leave=False, disable=quiet or None) as bar:

        def progress(done: int, in_all: int) -> None:
            bar.total = in_all
            bar.update(done - bar.n)

        return finding.find(stage, name, progress=progress, refresh=True)


def _verify(arguments: argparse.Namespace) -> int:
    from ...models_hub import cards

    table = cards.cards()
    names = arguments.names or [name for name, card in table.items() if _place(name, card)]
    results = {name: _problem(name, table.get(name)) for name in names}
    if arguments.json:
        print_json({name: {"ok": not problem, "problem": problem or None} for name, problem in results.items()})
    else:
        for name, problem in results.items():
            print(f"{name}: {problem or 'good'}")
    return 1 if any(results.values()) else 0


def _problem(name: str, card: dict[str, Any] | None) -> str:
    """What is wrong with a file, read from beginning to end; empty if nothing."""
    from ...models_hub import cards, files, loading
    from ...models_hub.errors import WeightsError

    place = _place(name, card) if card else name
    if card is None and not Path(name).is_file():
        return str(cards.unknown_card(name))
    if place is None:
        return f"it is not here. {card.get('how', '')}".strip()
    path = Path(place)
    try:
        if card and "sha256" in card and files.sha256(path) != card["sha256"]:
            found = f"{path.stat().st_size} bytes, sha256 {files.sha256(path)[:12]}..."
            return f"{path} has {found}, but its card says {card['bytes']} bytes, sha256 {card['sha256'][:12]}..."
        if path.suffix == ".safetensors":
            loading.read_weights(path)
    except WeightsError as error:
        return str(error)
    return ""
