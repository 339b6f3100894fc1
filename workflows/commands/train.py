"""`articulate train`: the training commands, one for each network."""

import argparse
from types import ModuleType

from ...models_hub.training import COMMANDS, PRESETS, training_module
from ...models_hub.training.parts import TRAININGS, check_parts
from . import train_pack

SUMMARY = "train one of the embedded networks from scratch"
EXAMPLES = """examples:
  articulate train finder --data DIR --output runs/finder
  articulate train warper --data DIR --output runs/warper --resume
  articulate train warper --help
  articulate train pack --data DIR --output PACKED --for warper   (the data, small enough to be carried elsewhere)

The same trainings are presets of finetune: articulate finetune DIR --preset warper -o runs/warper. DIR holds
manifest.csv, clips/, photos/, pictures/ and speech/. Checkpoint, log (JSON lines) and plot are written to --output."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The networks; the options of each are its own and are read when it is chosen."""
    parser.add_argument("network", choices=sorted({*COMMANDS, *PRESETS, "pack"}), metavar="NETWORK",
                        help=f"which network: {', '.join(PRESETS)}; or pack: its data")  # fmt: skip
    parser.add_argument("options", nargs=argparse.REMAINDER, help="its options; NETWORK --help shows them")


def run(arguments: argparse.Namespace) -> int:
    """Read the network's own options and train it, or pack what is trained on."""
    if arguments.network == "pack":
        return _with_options(train_pack, "pack", arguments.options, train_pack.EXAMPLES)
    return train(arguments.network, arguments.options)


def train(network: str, options: list[str]) -> int:
    """Train a network with its own options; returns the exit code.

    Raises:
        InputError: there is no such network, or what it learns from cannot be used.
    """
    return _with_options(training_module(network), network, options)


def _with_options(module: ModuleType, name: str, options: list[str], examples: str | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog=f"articulate train {name}", description=module.__doc__, epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter if examples else argparse.HelpFormatter,
    )  # fmt: skip
    module.add_arguments(parser)
    try:
        chosen = parser.parse_args(options)
    except SystemExit as end:  # --help, or a wrong option, already explained
        return end.code if isinstance(end.code, int) else 2
    needed = TRAININGS.get(name.replace("-", "_"))
    if needed:
        check_parts(chosen.data, needed, f"train {name}")
    module.run(chosen)
    return 0
