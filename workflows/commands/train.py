"""`articulate train`: the training commands, one for each network."""

import argparse

from ...models_hub.training import COMMANDS, PRESETS, training_module

SUMMARY = "train one of the embedded networks from scratch"
EXAMPLES = """examples:
  articulate train finder --data DIR --output runs/finder
  articulate train warper --data DIR --output runs/warper --resume
  articulate train warper --help

The same trainings are presets of finetune: articulate finetune DIR --preset warper -o runs/warper. DIR holds
manifest.csv, clips/, photos/, pictures/ and speech/. Checkpoint, log (JSON lines) and plot are written to --output."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The networks; the options of each are its own and are read when it is chosen."""
    parser.add_argument("network", choices=sorted({*COMMANDS, *PRESETS}), metavar="NETWORK",
                        help=f"which network: {', '.join(PRESETS)}")  # fmt: skip
    parser.add_argument("options", nargs=argparse.REMAINDER, help="its options; NETWORK --help shows them")


def run(arguments: argparse.Namespace) -> int:
    """Read the network's own options and train it."""
    return train(arguments.network, arguments.options)


def train(network: str, options: list[str]) -> int:
    """Train a network with its own options; returns the exit code.

    Raises:
        InputError: there is no such network, or what it learns from cannot be used.
    """
    module = training_module(network)
    parser = argparse.ArgumentParser(prog=f"articulate train {network}", description=module.__doc__)
    module.add_arguments(parser)
    try:
        chosen = parser.parse_args(options)
    except SystemExit as end:  # --help, or a wrong option, already explained
        return end.code if isinstance(end.code, int) else 2
    module.run(chosen)
    return 0
