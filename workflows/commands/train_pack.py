"""Makes the data that is trained on small enough to be carried to another machine."""

import argparse
from pathlib import Path
from typing import Any

from ...models_hub.training import PRESETS
from .common import add_json, add_quiet, print_json

EXAMPLES = """examples:
  articulate train pack --data DIR --output PACKED --for warper
  articulate train pack --data DIR --output PACKED --size 60
  articulate train warper --data PACKED --output runs/warper

PACKED is laid out as DIR is, and every training and evaluate takes it as --data. Files that --for does not need are
left out; the others stay as they are while they fit. Then landmarks are compressed without a loss, and recordings,
pictures and clips of the train split encoded anew, the largest first and no more than needed. The val split stays as it
is."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR",
                        help="folder with manifest.csv, clips/, photos/, pictures/, speech/")  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, metavar="PACKED", help="folder to write")
    parser.add_argument("--size", type=float, default=60.0, metavar="MB",
                        help="of all files together at most, a million bytes each (%(default)g)")  # fmt: skip
    parser.add_argument("--for", dest="readers", nargs="+", default=[], metavar="TRAINING",
                        type=lambda name: name.replace("_", "-"), choices=[*PRESETS, "evaluate"],
                        help=f"what will be run with it: {', '.join(PRESETS)}, evaluate (all)")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace a packed folder that is there")
    add_json(parser)
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Pack, and print what was kept, what was encoded anew, and how large it is."""
    from ...models_hub.training.packing import pack
    from ...nodes.host import host_progress
    from ...nodes.standin.execution import Execution, executing

    with executing(Execution(quiet=arguments.quiet, node_title="Packing")):
        facts = pack(
            arguments.data, arguments.output, arguments.size, arguments.readers, arguments.overwrite, host_progress(1)
        )
    if arguments.json:
        print_json({"path": str(arguments.output), **facts})
        return 0
    for part, told in facts["contents"].items():
        print(f"{part:10s} {told['bytes'] / 1e6:6.2f} of {told['bytes_before'] / 1e6:.2f} MB, {_became(told)}")
    print(f"{arguments.output}: {facts['bytes'] / 1e6:.2f} MB")
    return 0


def _became(told: dict[str, Any]) -> str:
    if not told["encoded"]:
        return f"{told['files']} files unchanged"
    psnr = f" (mean PSNR {told['psnr']:.1f} dB)" if "psnr" in told else ""
    return f"{told['encoded']} of {told['files']} files encoded anew: {' and '.join(told['as'])}{psnr}"
