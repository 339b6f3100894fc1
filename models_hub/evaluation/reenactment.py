"""How well real landmarks move a real face: every val clip drives one of its own frames.

Two sources per clip, its most closed and its widest mouth; both are driven to frames spread over the
clip by the shipped landmarks. Errors are L1 in 0..1 at 256x256, averaged over all frames, against
copying the source. The mouth region is the box of the real lips, grown by a quarter of its width;
the inner mouth is the polygon of points 60-67 where it is open.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..loading import EMBEDDED
from ..networks.blocks import warp
from ..networks.ibug68 import DENSITY_REGIONS, LIPS
from ..networks.landmark_motion import inner_mouth_mask
from ..stages.generator import generate_stream
from ..stages.warper import warp_stream
from ..training.footage import mouth_opening, read_clip, read_manifest
from ..types import Density, Face, Landmarks, Progress, Window
from .intervals import by_person, interval, reduction

FRAMES = 8  # driven from each source
OPEN = 0.08  # inner lips this far apart, in eye distances, count as open


def region_box(points: Tensor, size: int, region: Sequence[int] = LIPS) -> tuple[slice, slice]:
    """Rows and columns of the mouth (or another region) of points (68, 2) in a square of `size` pixels."""
    chosen = (points[list(region)] + 1) * (size / 2)
    low, high = chosen.amin(0), chosen.amax(0)
    margin = (high[0] - low[0]) / 4
    low, high = (low - margin).floor().int().clamp(0, size - 8), (high + margin).ceil().int().clamp(8, size)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def drive(
    frames: Tensor, points: Tensor, source: int, targets: list[int], warper: str, generator: str
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Drive one frame of a clip to others; yields target, warped source and generated frame (3, S, S)."""
    face = Face(
        frames[source : source + 1],
        points[source],
        torch.eye(2, 3),
        frames[source].permute(1, 2, 0),
        (0.0, 0.0, 0.0, 0.0),
    )
    landmarks = Landmarks(points[targets], torch.ones(len(targets), dtype=torch.bool))
    density = Density(landmarks, tuple(map(tuple, DENSITY_REGIONS)))
    stream = generate_stream(warp_stream(face, density, warper, window=Window()), generator)
    for chunk in stream:
        warped = warp(face.crop.expand(len(chunk.flow), -1, -1, -1), chunk.flow)
        for index in range(len(warped)):
            yield targets[chunk.start + index], warped[index], chunk.frames[index]


def evaluate_reenactment(
    data: Path,
    split: str,
    output: Path | None = None,
    progress: Progress | None = None,
    warper: str = EMBEDDED,
    generator: str = EMBEDDED,
) -> dict[str, float | list[float]]:
    """Measure the warper and the generator on real footage.

    Args:
        data: folder of manifest.csv and clips/.
        split: "val" (people never trained on) or "train".
        output: folder for a contact sheet (source, real, warped, generated, mouths), if given.
        progress: told after every clip.
        warper, generator: weights.

    Returns:
        `reenactment_l1_reduction`, `reenactment_mouth_l1_reduction`, `inner_mouth_l1_reduction` from the
        closed-mouth source with 95 % intervals over people (`_interval`) and with everybody counting the same however
        many clips there are of them (`_by_person`), the same with `_from_open`, and the L1 values behind them.
    """
    rows = [row for row in read_manifest(data) if row["kind"] == "clip" and row["split"] == split]
    sums: dict[str, list[float]] = defaultdict(list)
    people: dict[str, list[str]] = defaultdict(list)
    shown: list[list[Tensor]] = []
    for done, row in enumerate(rows):
        clip, points, valid = read_clip(data, row["id"])
        usable = np.flatnonzero(valid)
        opening = mouth_opening(points[usable])
        targets = np.unique(usable[np.linspace(0, len(usable) - 1, FRAMES + 2).round().astype(int)[1:-1]])
        closed, widest = int(usable[opening.argmin()]), int(usable[opening.argmax()])
        needed = sorted({closed, widest, *map(int, targets)})
        place = {frame: index for index, frame in enumerate(needed)}
        frames = torch.from_numpy(clip[needed]).permute(0, 3, 1, 2).float() / 255
        marks = torch.from_numpy(points[needed])
        for source, suffix in ((closed, ""), (widest, "_from_open")):
            others = [place[int(target)] for target in targets if target != source]
            picture = place[widest] if suffix == "" and widest not in targets else others[-1]
            for target, warped, made in drive(frames, marks, place[source], others, warper, generator):
                _measure(sums, suffix, frames[place[source]], frames[target], warped, made, marks[target])
            if output is not None:
                [(_, warped, made)] = drive(frames, marks, place[source], [picture], warper, generator)
                shown.append([frames[place[source]], frames[picture], warped, made, marks[picture]])
        for name, values in sums.items():
            people[name] += [row["person"]] * (len(values) - len(people[name]))
        if progress is not None:
            progress(done + 1, len(rows))
    means = {name: float(np.mean(values)) for name, values in sums.items()}
    result: dict[str, float | list[float]] = {}
    for suffix in ("", "_from_open"):
        for name, made, before in (
            ("reenactment_l1_reduction", f"generated_l1{suffix}", f"copy_l1{suffix}"),
            ("reenactment_mouth_l1_reduction", f"generated_mouth_l1{suffix}", f"copy_mouth_l1{suffix}"),
            ("inner_mouth_l1_reduction", f"generated_inner_mouth_l1{suffix}", f"warped_inner_mouth_l1{suffix}"),
        ):
            table = np.array([sums[made], sums[before]]).T
            result[f"{name}{suffix}"] = reduction(table)
            result[f"{name}{suffix}_by_person"] = reduction(by_person(people[made], table))
            result[f"{name}{suffix}_interval"] = interval(people[made], table, reduction)
    result |= {f"reenactment_{name}": value for name, value in means.items()}
    result["reenactment_frames"] = len(sums["copy_l1"])
    if output is not None:
        from .sheets import save_reenactment_sheet

        save_reenactment_sheet(shown, output / "reenactment.png")
    return result


def _measure(
    sums: dict[str, list[float]],
    suffix: str,
    source: Tensor,
    real: Tensor,
    warped: Tensor,
    made: Tensor,
    points: Tensor,
) -> None:
    rows, columns = region_box(points, real.shape[-1])
    inner = inner_mouth_mask(points[None], real.shape[-1])[0, 0] > 0.5
    is_open = float(mouth_opening(points.numpy())) > OPEN and bool(inner.any())
    for name, frame in (("copy", source), ("warped", warped), ("generated", made)):
        error = (frame - real).abs()
        sums[f"{name}_l1{suffix}"].append(float(error.mean()))
        sums[f"{name}_mouth_l1{suffix}"].append(float(error[:, rows, columns].mean()))
        if is_open:
            sums[f"{name}_inner_mouth_l1{suffix}"].append(float(error[:, inner].mean()))
