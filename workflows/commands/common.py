"""What the commands share."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ...models_hub.errors import WorkflowError

SAMPLES = "samples/portrait.jpg samples/speech.flac"


def add_json(parser: argparse.ArgumentParser) -> None:
    """The --json option."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON on standard output")


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """The --quiet option."""
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")


def add_device(parser: argparse.ArgumentParser) -> None:
    """The --device and --precision options."""
    parser.add_argument("--device", default="auto", metavar="NAME",
                        help="where the networks run: cpu, cuda, cuda:1, ..., or auto, a GPU where there is one "
                        "(%(default)s)")  # fmt: skip
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto",
                        help="of the networks; float32 gives the frames of ComfyUI on a CPU bit by bit, auto is faster "
                        "where the processor knows bfloat16 (%(default)s)")  # fmt: skip


def print_json(value: Any) -> None:
    """Print a result for other programs."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
    print()


def settings_of(pairs: list[str]) -> dict[str, str]:
    """["NODE.INPUT=VALUE", ...] as a dictionary.

    Raises:
        WorkflowError: one of them has another form.
    """
    settings = {}
    for pair in pairs:
        place, equals, value = pair.partition("=")
        if not equals or "." not in place:
            raise WorkflowError(f"--set {pair!r} is not of the form NODE.INPUT=VALUE, such as 5.seed=7.")
        settings[place.strip()] = value
    return settings


def file_facts(path: Path) -> dict[str, Any]:
    """Where a written file is, how large, and for pictures and videos what is in it."""
    from ...models_hub.errors import MediaError
    from ...models_hub.media import VideoReader

    facts: dict[str, Any] = {"path": str(path), "bytes": path.stat().st_size}
    if path.suffix.lower() in (".mp4", ".mkv", ".webm", ".mov", ".png", ".jpg"):
        try:
            reader = VideoReader(path)
        except MediaError:
            return facts
        facts |= {"width": reader.size[0], "height": reader.size[1]}
        if path.suffix.lower() not in (".png", ".jpg"):
            facts |= {"frames": reader.frame_count, "fps": float(reader.fps), "seconds": reader.duration}
    return facts
