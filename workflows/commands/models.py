"""`articulate models`: what is known about the weights."""

import argparse

from .common import add_json, print_json

SUMMARY = "show the weights files, what they were trained on and what they reach"
EXAMPLES = """examples:
  articulate models list
  articulate models show warper --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_json(actions.add_parser("list", help="one line for each weights file"))
    show = actions.add_parser("show", help="everything about one weights file")
    show.add_argument("name", metavar="NAME", help="name of the weights, as in the list")
    add_json(show)


def run(arguments: argparse.Namespace) -> int:
    """Print the cards."""
    from ...models_hub.errors import WeightsError
    from ...models_hub.loading import cards
    from ..graph import nearest

    known = cards()
    if arguments.action == "list":
        if arguments.json:
            print_json(known)
        else:
            for name, card in known.items():
                print(f"{name:20s} {card['bytes'] / 1e6:6.2f} MB  {card.get('title', '')}")
        return 0
    if arguments.name not in known:
        raise WeightsError(
            f"There is no card {arguments.name!r}; known are {', '.join(known) or 'none'}."
            + nearest(arguments.name, list(known))
        )
    card = known[arguments.name]
    if arguments.json:
        print_json(card)
    else:
        width = max(map(len, card))
        for key, value in card.items():
            print(f"{key:{width}s}  {value}")
    return 0
