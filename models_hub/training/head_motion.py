"""Measures blinks, brows and head motion: `python -m articulate train head_motion --data DIR --output DIR`.

A closed form over the landmarks of talking people of the train split, everybody counting alike; no steps, no weights.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..stages.motion_table import STORED, Blinks, MotionTable
from .fit import prepare
from .footage import read_manifest, read_points
from .motion_statistics import (
    HeadCurves,
    brow_profile,
    change,
    closed_share,
    find_blinks,
    fit_wander,
    gap_regularity,
    head_curves,
    without_pose,
)  # fmt: skip

FPS = 25.0  # of the clips
MOTIONS = ("roll", "x", "y", "size", "brow")
_ENOUGH = 5  # blinks of a person that tell how they differ


def add_arguments(parser: ArgumentParser) -> None:
    """Options of this measurement."""
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv and clips/")
    parser.add_argument("--output", type=Path, default=Path("runs/head_motion"), help="folder for the table")
    parser.add_argument("--seed", type=int, default=0, help="seed of the people drawn for the intervals")
    parser.add_argument("--draws", type=int, default=200, help="how often people are drawn; 0 gives no intervals")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")
    parser.add_argument("--install", action="store_true", help="put the table into the package")


@dataclass(frozen=True)
class Person:
    """What one person's clips say.

    Attributes:
        seconds: of footage.
        rate: blinks a minute.
        gaps: whole and cut times between blinks, seconds.
        durations: (N, 3) closing, hold and opening of whole blinks, seconds. depths: (N,) of all.
        changes: of each motion, as `change` gives them.
        profile: (5,) of the brows.
    """

    seconds: float
    rate: float
    gaps: tuple[np.ndarray, np.ndarray]
    durations: np.ndarray
    depths: np.ndarray
    changes: dict[str, np.ndarray]
    profile: np.ndarray


def measure(clips: list[tuple[np.ndarray, np.ndarray]], fps: float = FPS) -> Person:
    """Measure one person.

    Args:
        clips: of each, landmarks (T, 68, 2) and which frames (T,) are valid.
        fps: frames a second.
    """
    blinks, whole, cut = [], [], []
    for points, _ in clips:
        found = find_blinks(closed_share(torch.from_numpy(points), fps), fps)
        blinks += found
        peaks = np.array([blink.peak for blink in found])
        whole += list(np.diff(peaks))
        cut += list(len(points) / fps - peaks[-1:])
    curves = [head_curves(torch.from_numpy(points), fps, valid) for points, valid in clips]
    motions = {name: [clip.motions[name] for clip in curves] for name in MOTIONS} | {"brow": without_pose(curves)}
    seconds = sum(len(points) for points, _ in clips) / fps
    durations = np.array([(b.closing, b.hold, b.opening) for b in blinks]).reshape(-1, 3)
    return Person(
        seconds,
        60 * len(blinks) / seconds,
        (np.array(whole), np.array(cut)),
        durations[np.isfinite(durations).all(1)],
        np.array([blink.depth for blink in blinks]),
        {name: change(_usable(values, curves), fps) for name, values in motions.items()},
        brow_profile(curves),
    )


def _usable(values: list[np.ndarray], clips: list[HeadCurves]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(curve, clip.usable) for curve, clip in zip(values, clips, strict=True)]


def summarise(people: list[Person]) -> MotionTable:
    """The typical person: medians of what people's own clips say.

    Raises:
        InputError: too few blinks were seen.
    """
    blinking = [person for person in people if len(person.durations)]
    often = [person for person in blinking if len(person.durations) >= _ENOUGH and len(person.gaps[0]) >= _ENOUGH]
    if not often:
        raise InputError(f"Nobody blinks {_ENOUGH} times in a row in this footage; give --data more or longer clips.")

    def typical(value: Callable[[Person], Any], of: list[Person] = people) -> np.ndarray:
        return np.nanmedian(np.array([value(person) for person in of]), axis=0)

    closing, hold, opening = (float(value) for value in typical(lambda p: np.median(p.durations, axis=0), blinking))
    eyes = Blinks(
        float(typical(lambda p: p.rate)),
        gap_regularity([person.gaps for person in often]),
        float(typical(lambda p: np.median(p.depths), blinking)),
        float(typical(lambda p: p.depths.std(ddof=1), often)),
        closing, hold, opening,
        float(typical(lambda p: np.log(p.durations.sum(1)).std(ddof=1), often)),
    )  # fmt: skip
    wanders = {name: fit_wander(typical(lambda p, name=name: p.changes[name]))[0] for name in MOTIONS}
    profile = typical(lambda p: p.profile)
    return MotionTable(eyes, **wanders, brow_profile=tuple(float(value) for value in profile / profile.mean()))


def intervals(people: list[Person], draws: int, seed: int) -> dict[str, dict[str, tuple[float, float]]]:
    """Where nineteen in twenty tables of as many people lie, drawn from these with replacement."""
    random = np.random.default_rng(seed)
    tables = []
    for _ in range(draws):
        chosen = [people[place] for place in random.integers(0, len(people), len(people))]
        if sum(len(person.gaps[0]) >= _ENOUGH for person in chosen):
            tables.append(_numbers(summarise(chosen)))
    if not tables:
        return {}
    return {
        part: {name: tuple(np.quantile([table[part][name] for table in tables], (0.025, 0.975))) for name in numbers}
        for part, numbers in tables[0].items()
    }


def _numbers(table: MotionTable) -> dict[str, dict[str, float]]:
    return {"blink": asdict(table.blink)} | {name: asdict(getattr(table, name)) for name in MOTIONS}


def table_text(table: MotionTable, header: str, ranges: dict[str, dict[str, tuple[float, float]]]) -> str:
    """The table as a TOML file, with its ranges as comments."""
    lines = [f"# {line}".rstrip() for line in header.splitlines()]
    for part, numbers in _numbers(table).items():
        lines += ["", f"[{part}]"]
        for name, value in numbers.items():
            low, high = ranges.get(part, {}).get(name, (None, None))
            rounded = float(f"{value:.4g}")  # not 20, which TOML would read as a whole number
            lines.append(f"{name} = {rounded}" + (f"  # {low:.3g} to {high:.3g}" if low is not None else ""))
        if part == "brow":
            lines.append(f"profile = [{', '.join(f'{value:.3f}' for value in table.brow_profile)}]")
    return "\n".join(lines) + "\n"


def run(arguments: Namespace) -> None:
    """Measure everybody and write head_motion.toml.

    Raises:
        InputError: the folder has no manifest, or no talking people.
    """
    prepare(arguments)
    footage: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for row in read_manifest(arguments.data):
        # With sound they talk; clips without are mostly faces made for a camera, and blinks on request.
        if row["kind"] == "clip" and row["split"] == "train" and row["audio"] == "yes":
            clip = read_points(arguments.data / "clips" / f"{row['id']}.npz")
            footage.setdefault(row["person"], []).append(clip)
    if not footage:
        raise InputError(f"{arguments.data} holds no clips with sound in its train split; give footage of talking.")
    people = [measure(clips) for _, clips in sorted(footage.items())]
    table = summarise(people)
    ranges = intervals(people, arguments.draws, arguments.seed)
    for name in MOTIONS:
        changes = np.nanmedian([person.changes[name] for person in people], axis=0)
        wander, tremble, error = fit_wander(changes)
        print(f"{name}: amplitude {wander.amplitude:.4g}, time {wander.time:.3g} s, tremble of the landmarks "
              f"{tremble:.4g}, fit within {100 * error:.0f} % of the squared changes")  # fmt: skip
    seconds = sum(person.seconds for person in people)
    header = (
        "How a typical talking person blinks and moves brows and head; the fields are explained in motion_table.py.\n"
        "Made by: articulate train head_motion --data DIR --install\n"
        f"Medians over {len(people)} people, everybody counting alike; {seconds:.0f} s of footage with sound (train "
        "split).\nComments: where 95 % of such tables lie when the people are drawn anew. These are statistics; no "
        "footage\nis stored. For research and demonstration; see README."
    )
    text = table_text(table, header, ranges)
    print(text)
    for path in [arguments.output / STORED.name, *([STORED] if arguments.install else [])]:
        path.write_text(text, encoding="utf-8")
