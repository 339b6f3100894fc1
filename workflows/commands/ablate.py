"""`articulate ablate`: what each loss buys, on some footage."""

import argparse
import sys
from pathlib import Path

from .common import add_quiet

SUMMARY = "fit some footage with one loss more at a time, and compare"
EXAMPLES = """examples:
  articulate ablate clips/ --steps 300 -o runs/ablation
  articulate ablate me.mp4 -o runs/ablation --only "+ density supervision (CPNet)"
  articulate ablate DIR --preset audio-to-lip --steps 300 -o runs/context
  articulate ablate DIR --preset sync-critic -o runs/windows

fine-tune: every variant takes the same steps with the same seed on the first two thirds of the footage; the last third
is only measured. audio-to-lip trains encoders that hear 0.2 to 2 s, from scratch, and sync-critic measures the critic
over windows of 0.2 to 2 s; DIR holds manifest.csv and clips/. Written: table.md, table.json, table.png, and a log for
each variant."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("footage", nargs="+", metavar="FOOTAGE", type=Path,
                        help="videos of one person, or folders; for sound, the folder of manifest.csv")  # fmt: skip
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", type=Path, help="where the table is written")
    parser.add_argument("--preset", default="fine-tune", metavar="PRESET",
                        help="fine-tune, audio-to-lip or sync-critic (%(default)s)")  # fmt: skip
    parser.add_argument("--only", action="append", default=[], metavar="VARIANT", help="this variant; may be repeated")
    parser.add_argument("--steps", type=int, default=300, help="steps of every variant (%(default)s)")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate (%(default)s)")
    parser.add_argument("--rank", type=int, default=8, help="rank of the adapters (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (%(default)s)")
    parser.add_argument("--devices", default="1", help="how many (%(default)s)")
    parser.add_argument("--accelerator", default="auto", help="cpu, cuda, mps or auto (%(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (all)")
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Fit all variants, and print the table."""
    import torch

    from ...models_hub.errors import InputError
    from ...models_hub.training.ablation import PRESETS, SOUND_PRESETS, ablate
    from ...models_hub.training.material import gather, open_footage
    from ...models_hub.training.settings import TuneSettings

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.preset in SOUND_PRESETS:
        return _sound(arguments)
    if arguments.preset not in PRESETS:
        known = ", ".join((*PRESETS, *SOUND_PRESETS))
        raise InputError(f"There is no preset {arguments.preset!r}; there are {known}.")
    unknown = sorted(set(arguments.only) - set(PRESETS[arguments.preset]))
    if unknown:
        raise InputError(f"There is no variant {unknown[0]!r}; there are {', '.join(PRESETS[arguments.preset])}.")
    settings = TuneSettings(
        steps=arguments.steps,
        rate=arguments.rate,
        rank=arguments.rank,
        seed=arguments.seed,
        devices=arguments.devices,
        accelerator=arguments.accelerator,
        save_every=arguments.steps,
    )
    material = gather(open_footage(arguments.footage))
    for sentence in material.report if not arguments.quiet else ():
        print(sentence, file=sys.stderr)
    rows, table = ablate(material, arguments.preset, settings, arguments.output, tuple(arguments.only))
    print(table.markdown(rows), end="")
    return 0


def _sound(arguments: argparse.Namespace) -> int:
    from ...models_hub.training.ablation_sound import ablate_context, ablate_windows
    from ...models_hub.training.parts import TRAININGS, check_parts

    data, folder = arguments.footage[0], arguments.output
    read = TRAININGS["sync_critic" if arguments.preset == "sync-critic" else "predictor"]
    check_parts(data, read, f"ablate --preset {arguments.preset}")
    if arguments.preset == "sync-critic":
        rows, table = ablate_windows(data, folder)
    else:
        rows, table = ablate_context(data, arguments.steps, arguments.seed, folder, tuple(arguments.only))
    print(table.markdown(rows), end="")
    return 0
