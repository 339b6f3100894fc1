"""`articulate train`: the training commands, one for each network."""

import argparse

from ...models_hub.training import COMMANDS, training_module

SUMMARY = "train one of the networks"
EXAMPLES = """examples:
  articulate train finder --data DIR --output runs/finder
  articulate train warper --help"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The networks; the options of each are its own and are read when it is chosen."""
    parser.add_argument("network", choices=sorted(COMMANDS), help="which network")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="its options; NETWORK --help shows them")


def run(arguments: argparse.Namespace) -> int:
    """Read the network's own options and train it."""
    module = training_module(arguments.network)
    parser = argparse.ArgumentParser(prog=f"articulate train {arguments.network}", description=module.__doc__)
    module.add_arguments(parser)
    try:
        options = parser.parse_args(arguments.options)
    except SystemExit as end:  # --help, or a wrong option, already explained
        return end.code if isinstance(end.code, int) else 2
    module.run(options)
    return 0
