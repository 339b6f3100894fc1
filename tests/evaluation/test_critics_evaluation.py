"""How well critics tell real mouths from made ones: a critic that sees it, and one that sees nothing."""

import csv

import numpy as np
import pytest
import torch
from articulate.models_hub.evaluation import critics
from articulate.models_hub.media import write_video


@pytest.fixture(scope="module")
def data(talking_take, tmp_path_factory):
    """A data folder with one clip of the moving sample face."""
    folder = tmp_path_factory.mktemp("critics")
    (folder / "clips").mkdir()
    write_video(folder / "clips" / "a.mp4", iter(talking_take.frames[:12].split(8)), 25, None)
    points = talking_take.points[:12].numpy()
    coded = ((np.concatenate([points, points[:, :2]], 1) + 1) * 2048).round().astype(np.int16)
    np.savez(folder / "clips" / "a.npz", points=coded, valid=np.ones(12, bool))
    with open(folder / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["id", "kind", "split", "person"])
        writer.writeheader()
        writer.writerow({"id": "a", "kind": "clip", "split": "val", "person": "ann"})
    return folder


class Sharpness:
    """Scores a window by its last difference between rows; says the same for every change."""

    def judge(self, frames, *others):
        if len(others) == 2:  # two frames and the change of densities
            return torch.zeros(len(frames), 1, 1, 1), []
        return frames.diff(dim=2).abs().mean((1, 2, 3), keepdim=True), []


def test_real_windows_are_sharper_and_equal_scores_tell_nothing(data, monkeypatch):
    real = critics.load_network
    monkeypatch.setattr(critics, "load_network", lambda stage: Sharpness() if "critic" in stage else real(stage))
    figures = critics.evaluate_critics(data, "val")
    assert figures["critic_windows"] == 2 * critics.PAIRS
    assert figures["frame_critic_told_apart"] > 0.5 and figures["difference_critic_told_apart"] == 0
    monkeypatch.setattr(critics, "load_network", real)
    figures = critics.evaluate_critics(data, "val")
    for name in ("frame_critic_told_apart", "difference_critic_told_apart"):
        assert 0 <= figures[name] <= 1
        assert figures[f"{name}_interval"] == [figures[name]] * 2  # of one person
