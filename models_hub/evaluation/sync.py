"""Does the sync critic know which sound belongs to which lips? On clips whose sound was confirmed by other means.

Offsets are counted from the measured lag that the footage comes with, where that can be trusted.
"""

from pathlib import Path

import numpy as np
import torch

from ..loading import EMBEDDED, load_network
from ..training.material import WIDEST_LAG, measure_lag
from ..training.sync_critic import Lips, read_lips
from ..types import Progress
from .intervals import interval

SHIFT = 5  # frames by which the false sound of a pair is off
SECOND = 25
WINDOWS = (0.2, 0.4, 0.6, 1.0, 1.4, 2.0)
"""Seconds of sound and lips whose scores are averaged in `sync_windows`."""


def scores(critic: torch.nn.Module, clip: Lips) -> torch.Tensor:
    """Cosine of every sight of a clip with every sound, (T, T)."""
    places = np.arange(2, len(clip.crops) - 2)
    mel, lips = clip.windows(places, places)
    with torch.no_grad():
        return critic.see(lips) @ critic.hear(mel).T


def evaluate_sync(
    data: Path, split: str, progress: Progress | None = None, weights: str = EMBEDDED
) -> dict[str, float | list[float]]:
    """Measure the sync critic.

    Args:
        data: folder of manifest.csv and clips/.
        split: of the people.
        progress: told after every clip.
        weights: of the critic.

    Returns:
        `sync_offset_within_one`: share of clips whose best lag, of 31, is at most a frame off;
        `sync_shift_accuracy`: how often the clip's own sound scores above itself 5 frames earlier and later; both also
        for windows of one second, `_second`; all with a 95 % interval over people, `_interval`; the number of clips.
    """
    critic = load_network("sync_critic", weights)
    clips = read_lips(data, split)
    # By figure: whose each judgement is, and whether it is right.
    names = ("sync_offset_within_one", "sync_shift_accuracy")
    judged: dict[str, list[tuple[str, bool]]] = {f"{name}{span}": [] for span in ("", "_second") for name in names}
    for done, clip in enumerate(clips):
        lag, _ = measure_lag(critic, [(clip.crops, clip.mel)])
        judged["sync_offset_within_one"].append((clip.person, abs(lag) <= 1))
        table = scores(critic, clip)
        lines = {shift: torch.diagonal(table, shift) for shift in range(-WIDEST_LAG, WIDEST_LAG + 1)}
        own = lines[0].mean()
        judged["sync_shift_accuracy"] += [(clip.person, bool(own > lines[shift].mean())) for shift in (-SHIFT, SHIFT)]
        for start in range(WIDEST_LAG, len(table) - WIDEST_LAG - SECOND, 5):
            rows = torch.arange(start, start + SECOND)
            means = {shift: float(table[rows, rows + shift].mean()) for shift in lines}
            judged["sync_offset_within_one_second"].append((clip.person, abs(max(means, key=means.get)) <= 1))
            judged["sync_shift_accuracy_second"] += [
                (clip.person, means[0] > means[shift]) for shift in (-SHIFT, SHIFT)
            ]
        if progress is not None:
            progress(done + 1, len(clips))
    result: dict[str, float | list[float]] = {}
    for name, judgements in judged.items():
        people, values = [person for person, _ in judgements], [[right] for _, right in judgements]
        result[name] = float(np.mean(values))
        result[f"{name}_interval"] = interval(people, values)
    return result | {"sync_clips": len(clips)}


def sync_windows(data: Path, split: str, weights: str = EMBEDDED) -> dict[float, tuple[float, float, int]]:
    """How the critic's judgement depends on how much it hears and sees.

    Returns:
        By seconds of `WINDOWS`: how often true windows score above themselves shifted by 5 frames either way; share
        whose best lag, of 31, is at most a frame off; how many windows were looked at.
    """
    critic = load_network("sync_critic", weights)
    right: dict[float, list[bool]] = {seconds: [] for seconds in WINDOWS}
    near: dict[float, list[bool]] = {seconds: [] for seconds in WINDOWS}
    for clip in read_lips(data, split):
        table = scores(critic, clip)
        if len(table) <= 2 * WIDEST_LAG:
            continue
        shifts = list(range(-WIDEST_LAG, WIDEST_LAG + 1))
        rows = torch.arange(WIDEST_LAG, len(table) - WIDEST_LAG)
        lines = torch.stack([table[rows, rows + shift] for shift in shifts])  # (31, places)
        for seconds in WINDOWS:
            span = round((seconds - 0.2) * 25) + 1  # scores of 0.2 s, a frame apart
            if lines.shape[1] < span:
                continue
            means = lines.unfold(1, span, 1).mean(-1)[:, ::5]
            true = means[WIDEST_LAG]
            right[seconds] += [*(true > means[WIDEST_LAG - SHIFT]), *(true > means[WIDEST_LAG + SHIFT])]
            near[seconds] += list((means.argmax(0) - WIDEST_LAG).abs() <= 1)
    return {
        seconds: (float(np.mean(right[seconds])), float(np.mean(near[seconds])), len(near[seconds]))
        for seconds in WINDOWS
        if near[seconds]
    }
