"""`articulate evaluate`: the measured figures, on people never trained on."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .common import add_json, add_quiet, print_json

SUMMARY = "measure every stage on real footage of people never trained on"
EXAMPLES = """examples:
  articulate evaluate --data DIR --split val --json
  articulate evaluate --data DIR --only speech,outside --output out/evaluation
  articulate evaluate --data DIR --only fine_tune --people ann,bob --output out/tuned

DIR holds manifest.csv, clips/, pictures/ and pictures.csv. Contact sheets are written to --output."""

PARTS = ("faces", "speech", "reenactment", "appearance", "talking", "outside", "native", "reopened", "blinks", "sync")
OPTIONAL = ("critics", "fine_tune")  # the latter takes minutes for each person: only when they are named

REQUIRED = {
    "face_found": (0.95, "at least"),
    "landmark_error_eye_distance": (0.04, "at most"),
    "mouth_opening_correlation": (0.55, "at least"),
    "lip_error_reduction": (0.20, "at least"),
    "reenactment_l1_reduction": (0.33, "at least"),
    "reenactment_mouth_l1_reduction": (0.55, "at least"),
    "inner_mouth_l1_reduction": (0.25, "at least"),
    "mouth_sharpness": (0.7, "at least"),
    "eye_sharpness": (0.7, "at least"),
    "temporal_energy": (1.3, "at most"),
    "identity_distance": (1.0, "at most"),
    "talking_sync_within_one": (0.80, "at least"),
    "silence_opening": (0.05, "at most"),
    "still_psnr": (45.0, "at least"),
    "outside_psnr": (45.0, "at least"),
    "sync_offset_within_one": (0.80, "at least"),
    "sync_shift_accuracy": (0.85, "at least"),
}
"""What the embedded weights are meant to reach."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("--data", required=True, metavar="DIR", type=Path, help="folder of the footage")
    parser.add_argument("--split", default="val", choices=("train", "val"), help="which people (%(default)s)")
    parser.add_argument("--only", default=",".join(PARTS), metavar="PART,...",
                        help="measure only these (%(default)s)")  # fmt: skip
    parser.add_argument("--people", metavar="NAME,...", help="tune to these alone (with --only fine_tune)")
    parser.add_argument("--output", default="out/evaluation", metavar="DIR", type=Path,
                        help="where contact sheets are written (%(default)s)")  # fmt: skip
    add_json(parser)
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure, and print the figures beside what is required."""
    from ...models_hub.errors import InputError
    from ...models_hub.training.parts import EVALUATIONS, check_parts
    from ...nodes.host import host_progress
    from ...nodes.standin.execution import Execution, executing

    chosen = [part.strip() for part in arguments.only.split(",") if part.strip()]
    unknown = sorted(set(chosen) - {*PARTS, *OPTIONAL})
    if unknown or not chosen:
        raise InputError(
            f"--only {arguments.only!r} names no part that can be measured; choose from {', '.join(PARTS + OPTIONAL)}."
        )
    if not (arguments.data / "manifest.csv").is_file():
        raise InputError(f"{arguments.data} holds no manifest.csv; give --data the folder that has clips/ in it.")
    for part in chosen:
        check_parts(arguments.data, EVALUATIONS[part], f"evaluate --only {part}")
    figures: dict[str, Any] = {}
    for part in chosen:
        with executing(Execution(quiet=arguments.quiet, node_title=part)):
            measure = _measure(part, names_of(arguments.people))
            figures |= measure(arguments.data, arguments.split, arguments.output, host_progress(1))
    if arguments.json:
        print_json(figures)
        return 0
    for key, value in figures.items():
        if isinstance(value, list):  # a 95 % interval over people, beside its figure
            print(f"{key:48s} {value[0]:.4f} to {value[1]:.4f}")
            continue
        line = f"{key:36s} {value:10.4f}" if isinstance(value, float) else f"{key:36s} {value!s:>10s}"
        if key in REQUIRED:
            limit, direction = REQUIRED[key]
            reached = value >= limit if direction == "at least" else value <= limit
            line += f"   {direction} {limit:g}: {'reached' if reached else 'NOT reached'}"
        print(line)
    print(f"Contact sheets: {arguments.output}")
    return 0


def names_of(text: str | None) -> tuple[str, ...]:
    """Names with commas between them."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def _measure(part: str, people: tuple[str, ...] = ()) -> Callable[..., dict[str, Any]]:
    match part:
        case "faces":
            from ...models_hub.evaluation.faces import evaluate_faces

            return lambda data, split, _output, progress: evaluate_faces(data, split, progress)
        case "speech":
            from ...models_hub.evaluation.speech import evaluate_speech

            return lambda data, split, _output, progress: evaluate_speech(data, split, progress=progress)
        case "sync":
            from ...models_hub.evaluation.sync import evaluate_sync

            return lambda data, split, _output, progress: evaluate_sync(data, split, progress)
        case "critics":
            from ...models_hub.evaluation.critics import evaluate_critics

            return lambda data, split, _output, progress: evaluate_critics(data, split, progress)
        case "fine_tune":
            from ...models_hub.evaluation.fine_tune import evaluate_fine_tune

            return lambda data, split, output, progress: evaluate_fine_tune(
                data, split, output, only=people, progress=progress
            )
        case "appearance":
            from ...models_hub.evaluation.appearance import evaluate_appearance

            return lambda data, split, _output, progress: evaluate_appearance(data, split, progress)
        case "talking":
            from ...models_hub.evaluation.talking import evaluate_talking

            return lambda data, split, _output, progress: evaluate_talking(data, split, progress)
        case "blinks":
            from ...models_hub.evaluation.blinks import evaluate_blinks

            return lambda data, split, _output, progress: evaluate_blinks(data, split, progress)
        case "native":
            from ...models_hub.evaluation.native import evaluate_native

            return lambda data, split, _output, progress: evaluate_native(data, split, progress)
        case "reopened":
            from ...models_hub.evaluation.reopened import evaluate_reopened

            return lambda data, split, _output, progress: evaluate_reopened(data, split, progress)
        case "reenactment":
            from ...models_hub.evaluation.reenactment import evaluate_reenactment

            return evaluate_reenactment
        case _:
            from ...models_hub.evaluation.outside import evaluate_outside

            return evaluate_outside
