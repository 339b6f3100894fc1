"""Do the frame critics tell real mouths from made ones? On people never trained on, with the embedded generator.

Half is chance, which a critic reaches when the generator has nothing left to learn from it. Windows are those of the
training: 96 pixels around the mouth, driven from each clip's frame with the most closed mouth.
"""

from pathlib import Path

import numpy as np
import torch

from ..loading import load_network
from ..networks.density import density_maps
from ..networks.ibug68 import LIPS
from ..training.footage import SIZE, mouth_opening, read_clip, read_manifest
from ..training.render import CELL, WINDOW, render
from ..types import Progress
from .intervals import interval

PAIRS = 3  # neighbouring frames of each clip that are made


@torch.no_grad()
def evaluate_critics(data: Path, split: str, progress: Progress | None = None) -> dict[str, float | list[float]]:
    """Measure the frame critic and the difference critic.

    Args:
        data: folder of manifest.csv and clips/.
        split: of the people.
        progress: told after every clip.

    Returns:
        `frame_critic_told_apart`: share of windows whose real picture scores above the made one;
        `difference_critic_told_apart`: the same for changes between neighbouring frames; both with a 95 % interval
        over people, `_interval`; and the number of windows.
    """
    networks = {stage: load_network(stage) for stage in ("warper", "generator")}
    frame, difference = load_network("frame_critic"), load_network("difference_critic")
    rows = [row for row in read_manifest(data) if row["kind"] == "clip" and row["split"] == split]
    single: list[tuple[str, bool]] = []
    change: list[tuple[str, bool]] = []
    for done, row in enumerate(rows):
        frames, points, valid = read_clip(data, row["id"])
        source = int(mouth_opening(points).argmin())
        starts = np.linspace(0, len(frames) - 2, PAIRS + 2).round().astype(int)[1:-1]
        index = torch.from_numpy(np.stack([starts, starts + 1], 1).flatten())  # pairs in a row
        if not valid[index].all():
            continue
        pictures = torch.from_numpy(frames).permute(0, 3, 1, 2)
        real, marks = pictures[index].float() / 255, torch.from_numpy(points)[index]
        centre = (marks[:, list(LIPS)].mean(1).flip(-1) + 1) / 2 - WINDOW / 2
        corners = ((centre.clamp(0, 1 - WINDOW) / CELL).round() * CELL)[::2].repeat_interleave(2, 0)
        start = torch.from_numpy(points[source : source + 1])
        every = torch.arange(len(index))
        crop = pictures[source : source + 1].float() / 255
        rendered = render(networks, crop, start, marks, every, corners, WINDOW)
        windows = (rendered.cut(real), rendered.made)
        density = 8 * rendered.cut(density_maps(marks, SIZE, 2.0))
        scores = [frame.judge(window, density)[0].mean((1, 2, 3)) for window in windows]
        single += [(row["person"], right) for right in (scores[0] > scores[1]).tolist()]
        step = density[1::2] - density[::2]
        scores = [difference.judge(window[::2], window[1::2], step)[0].mean((1, 2, 3)) for window in windows]
        change += [(row["person"], right) for right in (scores[0] > scores[1]).tolist()]
        if progress is not None:
            progress(done + 1, len(rows))
    result: dict[str, float | list[float]] = {}
    for name, judgements in (("frame", single), ("difference", change)):
        people, values = [person for person, _ in judgements], [[right] for _, right in judgements]
        result[f"{name}_critic_told_apart"] = float(np.mean(values))
        result[f"{name}_critic_told_apart_interval"] = interval(people, values)
    return result | {"critic_windows": len(single)}
