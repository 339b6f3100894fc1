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

SHIFT = 5  # frames by which the false sound of a pair is off
SECOND = 25


def scores(critic: torch.nn.Module, clip: Lips) -> torch.Tensor:
    """Cosine of every sight of a clip with every sound, (T, T)."""
    places = np.arange(2, len(clip.crops) - 2)
    mel, lips = clip.windows(places, places)
    with torch.no_grad():
        return critic.see(lips) @ critic.hear(mel).T


def evaluate_sync(
    data: Path, split: str, progress: Progress | None = None, weights: str = EMBEDDED
) -> dict[str, float]:
    """Measure the sync critic.

    Args:
        data: folder of manifest.csv and clips/.
        split: of the people.
        progress: told after every clip.
        weights: of the critic.

    Returns:
        `sync_offset_within_one`: share of clips whose best lag, of 31, is at most a frame off;
        `sync_shift_accuracy`: how often the clip's own sound scores above itself 5 frames earlier and later; both also
        for windows of one second, `_second`; and the number of clips.
    """
    critic = load_network("sync_critic", weights)
    clips = read_lips(data, split)
    near, right, near_second, right_second = [], [], [], []
    for done, clip in enumerate(clips):
        lag, _ = measure_lag(critic, [(clip.crops, clip.mel)])
        near.append(abs(lag) <= 1)
        table = scores(critic, clip)
        lines = {shift: torch.diagonal(table, shift) for shift in range(-WIDEST_LAG, WIDEST_LAG + 1)}
        right += [bool(lines[0].mean() > lines[shift].mean()) for shift in (-SHIFT, SHIFT)]
        for start in range(WIDEST_LAG, len(table) - WIDEST_LAG - SECOND, 5):
            rows = torch.arange(start, start + SECOND)
            means = {shift: float(table[rows, rows + shift].mean()) for shift in lines}
            near_second.append(abs(max(means, key=means.get)) <= 1)
            right_second += [means[0] > means[shift] for shift in (-SHIFT, SHIFT)]
        if progress is not None:
            progress(done + 1, len(clips))
    return {
        "sync_offset_within_one": float(np.mean(near)),
        "sync_shift_accuracy": float(np.mean(right)),
        "sync_offset_within_one_second": float(np.mean(near_second)),
        "sync_shift_accuracy_second": float(np.mean(right_second)),
        "sync_clips": len(clips),
    }
