"""`articulate finetune`: footage of a person -> weights for that person."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from .common import add_json, add_quiet, print_json

CLIP_WEIGHT = 0.1
"""Of CPNet's L_clip where a CLIP model is given and --weight says nothing; the Fine-tune node takes the same."""

SUMMARY = "tune the networks to a person in some footage"
EXAMPLES = """examples:
  articulate finetune me_talking.mp4 --portrait me.jpg -o models/articulate/generator/me.safetensors
  articulate finetune clips/ -o me.safetensors --steps 800 --parts generator,warper,memory,predictor
  articulate finetune clips/ -o me.safetensors --devices 4 --weight frame=1 --weight sync_audio=0.03
  articulate finetune clips/ -o me.safetensors --resume
  articulate finetune DIR --preset audio-to-lip -o runs/audio_to_lip

The generator's weights go to FILE, those of other stages beside it: FILE's name with _warper, _landmark_predictor.
Checkpoint, log (JSON lines) and plot lie in FILE's folder under NAME.fit. A killed tuning goes on with --resume.

--preset trains an embedded network from scratch, on a folder with manifest.csv, clips/, photos/, pictures/ and
speech/; --output is then a folder. Its own options: --option cache=DIR --option install (articulate train PRESET
--help lists them)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    from ...models_hub.training import PRESETS
    from ...models_hub.training.settings import PARTS, TuneSettings

    default = TuneSettings()
    parser.add_argument("footage", nargs="+", metavar="FOOTAGE", type=Path,
                        help="videos of one talking person, or folders of such; a minute is good")  # fmt: skip
    parser.add_argument("-o", "--output", required=True, metavar="FILE.safetensors", type=Path,
                        help="weights file to write (with --preset: a folder)")  # fmt: skip
    parser.add_argument("--preset", choices=PRESETS, metavar="PRESET",
                        help=f"train an embedded network from scratch instead: {', '.join(PRESETS)}")  # fmt: skip
    parser.add_argument("--option", action="append", default=[], metavar="NAME[=X]",
                        help="an option of the preset's own; may be repeated")  # fmt: skip
    parser.add_argument("--portrait", metavar="PICTURE", help="picture that will be animated, if no frame of FOOTAGE")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist, begin anew")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--steps", type=int, help=f"optimiser steps ({default.steps}; a preset's own)")
    parser.add_argument("--parts", default=",".join(default.parts), metavar="PART,...",
                        help=f"what is trained, of {', '.join(PARTS)} (%(default)s)")  # fmt: skip
    parser.add_argument("--rank", type=int, default=default.rank,
                        help="rank of the adapters; 0 trains all weights, for every face (%(default)s)")  # fmt: skip
    parser.add_argument("--rate", type=float, help=f"learning rate ({default.rate}; a preset's own)")
    parser.add_argument("--frames", type=int, default=default.frames, help="frames in a batch (%(default)s)")
    parser.add_argument("--hold-back", type=float, default=default.hold_back, metavar="SHARE",
                        help="share of the footage that is watched, not learned (%(default)s)")  # fmt: skip
    parser.add_argument("--patience", type=int, default=default.patience,
                        help="looks at it without improvement that end the tuning; 0 never (%(default)s)")  # fmt: skip
    parser.add_argument("--weight", action="append", default=[], metavar="LOSS=X",
                        help="weight of a loss, such as density=1; an unknown name lists all")  # fmt: skip
    parser.add_argument("--generator", default="embedded", metavar="WEIGHTS", help="generator to start from")
    parser.add_argument("--warper", default="embedded", metavar="WEIGHTS", help="warper to start from")
    parser.add_argument("--vgg", default="", metavar="FILE", help="VGG-19 weights for the perceptual loss")
    parser.add_argument("--clip-vision", default="", metavar="DIR",
                        help="CLIP model, a folder as transformers saves it or owner/name of the Hub: what it sees in "
                             "--portrait guides attention condensers in the generator; needs transformers")  # fmt: skip
    parser.add_argument("--seed", type=int, default=default.seed, help="of everything random (%(default)s)")
    parser.add_argument("--save-every", type=int, default=default.save_every, metavar="STEPS",
                        help="steps between checkpoints (%(default)s)")  # fmt: skip
    parser.add_argument("--look-every", type=int, default=default.look_every, metavar="STEPS",
                        help="steps between looks at what is held back (%(default)s)")  # fmt: skip
    parser.add_argument("--devices", default=default.devices, help="how many GPUs, or auto (%(default)s)")
    parser.add_argument("--accelerator", default=default.accelerator, help="cpu, cuda, mps or auto (%(default)s)")
    parser.add_argument("--precision", default=default.precision, help="32-true, bf16-mixed, ... (%(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (all)")
    add_json(parser)
    add_quiet(parser)


def loss_weights(pairs: list[str]) -> Any:
    """["LOSS=X", ...] over the defaults.

    Raises:
        WorkflowError: another form, or an unknown loss.
    """
    from ...models_hub.errors import WorkflowError
    from ...models_hub.training.objective import LOSSES, LossWeights

    values = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        try:
            values[name] = float(text)
        except ValueError:
            raise WorkflowError(f"--weight {pair!r} is not of the form LOSS=X, such as density=1.") from None
        if name not in LOSSES:
            raise WorkflowError(f"--weight {pair!r}: there is no loss {name!r}; there are {', '.join(LOSSES)}.")
    return LossWeights(**values)


def output_files(output: Path, parts: tuple[str, ...]) -> dict[str, Path]:
    """The file of each tuned stage: the generator's (or that of the only stage) is `output` itself."""
    from ...models_hub.stages.fine_tune import tuned_stages

    stages = tuned_stages(parts)
    first = "generator" if "generator" in stages else stages[0]
    return {stage: output if stage == first else output.with_name(f"{output.stem}_{stage}{output.suffix}")
            for stage in stages}  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Tune, and print where the weights are."""
    import torch

    from ...models_hub.errors import InputError
    from ...models_hub.media import read_picture
    from ...models_hub.media.files import check_readable, check_writable
    from ...models_hub.stages.face import locate_face
    from ...models_hub.stages.fine_tune import Base, fine_tune
    from ...models_hub.training.material import open_footage
    from ...models_hub.training.settings import TuneSettings
    from ...nodes.standin.execution import Execution, executing

    if arguments.preset or arguments.option:
        return train_preset(arguments)
    names = ("steps", "rank", "rate", "frames", "hold_back", "patience", "seed", "save_every", "look_every",
             "devices", "accelerator", "precision")  # fmt: skip
    parts = tuple(part.strip() for part in arguments.parts.split(",") if part.strip())
    given = {name: getattr(arguments, name) for name in names}
    settings = TuneSettings(parts=parts, **{name: value for name, value in given.items() if value is not None})
    weights = loss_weights(arguments.weight)
    if arguments.output.suffix != ".safetensors":
        raise InputError(f"{arguments.output} does not end in .safetensors, as weights files do; name it so.")
    folder = arguments.output.with_suffix(".fit")
    helper = int(os.environ.get("LOCAL_RANK", "0")) > 0  # one of several processes, and not the one that writes
    for file in output_files(arguments.output, parts).values() if not helper else ():
        check_writable(file, arguments.overwrite or arguments.resume)
    if not (arguments.resume or arguments.overwrite or helper) and (folder / "checkpoint.pt").exists():
        raise InputError(f"{folder} holds an unfinished tuning; go on with --resume, or begin anew with --overwrite.")
    for path in arguments.footage:
        if not path.is_dir():
            check_readable(path, "video")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    portrait = locate_face(read_picture(arguments.portrait)) if arguments.portrait else None
    embedding = clip_embedding(arguments.clip_vision, portrait)
    if embedding is not None:
        settings = replace(settings, condenser=True)
        weights = weights if weights.clip else replace(weights, clip=CLIP_WEIGHT)
    quiet = arguments.quiet or helper
    with executing(Execution(quiet=quiet, node_title="Tuning")), _said_when_cancelled(folder, quiet):
        result = fine_tune(
            open_footage(arguments.footage),
            output_files(arguments.output, parts),
            folder,
            settings,
            weights,
            portrait,
            Base(arguments.warper, arguments.generator, vgg=arguments.vgg),
            embedding=embedding,
            resume=arguments.resume,
            watch=_bar(settings.steps),
            tell=(lambda sentence: None) if quiet else (lambda sentence: print(sentence, file=sys.stderr)),
        )
    if helper:
        return 0
    (folder / "checkpoint.pt").unlink(missing_ok=True)  # it is finished; the log and the plot stay
    if arguments.json:
        known = ("step", "skipped", "before", "best", "best_step", "ended")
        state = {name: getattr(result.state, name) for name in known}
        files = {stage: str(path) for stage, path in result.files.items()}
        print_json({"files": files, "plot": str(result.plot or ""), "report": result.report, **state})
    else:
        for path in result.files.values():
            print(path)
    return 0


def clip_embedding(source: str, portrait: Any) -> Any:
    """What CLIP sees in the portrait's picture, (1, E); nothing if no CLIP model is given.

    Raises:
        InputError: there is no portrait, or transformers is not installed.
    """
    from ...models_hub.errors import InputError
    from ...models_hub.stages.clip_vision import image_embedding

    if not source:
        return None
    if portrait is None:
        raise InputError("--clip-vision looks at the portrait; give it too, as --portrait PICTURE.")
    return image_embedding(portrait.picture, source)


def train_preset(arguments: argparse.Namespace) -> int:
    """Train an embedded network from scratch, with its own command's options.

    Raises:
        WorkflowError: several folders, options of a tuning, or --option without --preset.
    """
    from ...models_hub.errors import WorkflowError
    from ...models_hub.training.settings import TuneSettings
    from .train import train

    if not arguments.preset:
        raise WorkflowError("--option is for the options of a --preset; name one, or leave --option out.")
    if len(arguments.footage) != 1:
        raise WorkflowError(
            f"--preset {arguments.preset} learns from one folder that holds manifest.csv, but {len(arguments.footage)} "
            "paths were given; name that folder alone."
        )
    default = vars(TuneSettings()) | {
        "parts": ",".join(TuneSettings().parts),
        "portrait": None,
        "weight": [],
        "vgg": "",
        "clip_vision": "",
    }
    default |= {"generator": "embedded", "warper": "embedded"}
    for name in ("parts", "rank", "frames", "hold_back", "patience", "weight", "generator", "warper", "vgg",
                 "clip_vision", "portrait", "save_every", "look_every", "precision"):  # fmt: skip
        if getattr(arguments, name) != default[name]:
            raise WorkflowError(
                f"--preset {arguments.preset} trains from scratch and knows no "
                f"--{name.replace('_', '-')}; leave it out, or name the preset's own options by --option."
            )
    options = ["--data", str(arguments.footage[0]), "--output", str(arguments.output), "--seed", str(arguments.seed)]
    options += ["--threads", str(arguments.threads)]
    for name in ("steps", "rate"):
        if getattr(arguments, name) is not None:
            options += [f"--{name}", str(getattr(arguments, name))]
    options += ["--resume"] * arguments.resume
    for name in ("devices", "accelerator"):
        if getattr(arguments, name) != default[name]:
            options += [f"--{name}", getattr(arguments, name)]
    for option in arguments.option:
        name, equals, value = option.partition("=")
        options += [f"--{name.lstrip('-')}"] + ([value] if equals else [])
    return train(arguments.preset, options)


@contextmanager
def _said_when_cancelled(folder: Path, quiet: bool) -> Iterator[None]:
    """Say how a cancelled tuning goes on."""
    try:
        yield
    except KeyboardInterrupt:
        if (folder / "checkpoint.pt").exists() and not quiet:
            print(f"What was learned is kept in {folder}; --resume goes on from there.", file=sys.stderr)
        raise


def _bar(steps: int) -> Any:
    from ...nodes.host import host_progress

    progress = host_progress(steps)
    return lambda done, in_all, _preview: progress(done, in_all)
