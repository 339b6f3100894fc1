"""Clips as arrays: decoded once, mapped from disk."""

import csv
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..networks.ibug68 import COUNT

SIZE = 256


def read_manifest(data: Path) -> list[dict[str, str]]:
    """Rows of manifest.csv.

    Raises:
        InputError: the folder has none.
    """
    path = data / "manifest.csv"
    if not path.is_file():
        raise InputError(f"{data} holds no manifest.csv; give --data the folder that has clips/ and photos/ in it.")
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def manifest_digest(data: Path) -> str:
    """What tells a data folder from another: a digest of its list of clips and pictures."""
    read_manifest(data)  # says what is wrong where there is none
    return hashlib.sha256((data / "manifest.csv").read_bytes()).hexdigest()


def read_points(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (T, 68, 2) in -1..1 of a clip or photo, and which frames (T,) are valid."""
    with np.load(path) as file:
        points = file["points"][:, :COUNT].astype(np.float32) / 2048 - 1
        valid = file["valid"] if "valid" in file.files else np.ones(len(points), bool)
    return points, valid.astype(bool)


def decode_clip(path: Path) -> np.ndarray:
    """All frames of a short clip, (T, 256, 256, 3) uint8."""
    import av

    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def read_clip(data: Path, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames (T, 256, 256, 3) uint8 of a clip, their landmarks (T, 68, 2) in -1..1, and which (T,) are valid."""
    points, valid = read_points(data / "clips" / f"{name}.npz")
    frames = decode_clip(data / "clips" / f"{name}.mp4")
    count = min(len(frames), len(points))
    return frames[:count], points[:count], valid[:count]


@dataclass(frozen=True)
class Footage:
    """Frames of many clips end to end.

    Attributes:
        frames: (N, 256, 256, 3) uint8, mapped from disk.
        points: (N, 68, 2) float32 in -1..1.
        starts, lengths: of each clip.
        names, persons: of each clip.
    """

    frames: np.ndarray
    points: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    names: list[str]
    persons: list[str]

    def take(self, places: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Frames (n, 3, 256, 256) in 0..1 and their landmarks (n, 68, 2)."""
        places = list(places)
        return torch.from_numpy(self.frames[places]).permute(0, 3, 1, 2).float() / 255, torch.from_numpy(
            self.points[places]
        )


def pack_footage(data: Path, cache: Path, split: str) -> Footage:
    """Decode a split's clips into `cache` unless they are there, and map them.

    Args:
        data: folder of manifest.csv and clips/.
        cache: folder for frames (0.2 MB each) and points; what is of other data there is decoded anew.
        split: "train" or "val".
    """
    cache.mkdir(parents=True, exist_ok=True)
    index, frames, points = (cache / f"{split}_{name}" for name in ("index.json", "frames.npy", "points.npy"))
    origin = manifest_digest(data)
    known = json.loads(index.read_text(encoding="utf-8")) if index.exists() else {}
    if not isinstance(known, dict) or known.get("origin") != origin:
        rows = [row for row in read_manifest(data) if row["kind"] == "clip" and row["split"] == split]
        total = sum(int(row["frames"]) for row in rows)
        store = np.lib.format.open_memmap(frames, mode="w+", dtype=np.uint8, shape=(total, SIZE, SIZE, 3))
        marks, clips, filled = [], [], 0
        for row in rows:
            clip, landmarks, valid = read_clip(data, row["id"])
            count = min(len(clip), total - filled)
            valid = valid[:count]
            kept = int(valid.sum())
            store[filled : filled + kept] = clip[:count][valid]
            marks.append(landmarks[:count][valid])
            clips.append({"id": row["id"], "person": row["person"], "start": filled, "length": kept})
            filled += kept
        store.flush()
        np.save(points, np.concatenate(marks))
        temporary = index.with_suffix(".part")
        temporary.write_text(json.dumps({"origin": origin, "clips": clips}), encoding="utf-8")
        os.replace(temporary, index)
    clips = json.loads(index.read_text(encoding="utf-8"))["clips"]
    return Footage(
        np.load(frames, mmap_mode="r"),
        np.load(points),
        np.array([clip["start"] for clip in clips]),
        np.array([clip["length"] for clip in clips]),
        [clip["id"] for clip in clips],
        [clip["person"] for clip in clips],
    )


def mouth_opening(points: np.ndarray) -> np.ndarray:
    """Distance of the inner lips (points 62, 66) in eye distances, for points (..., 68, 2)."""
    eyes = points[..., 36:42, :].mean(-2) - points[..., 42:48, :].mean(-2)
    gap = points[..., 62, :] - points[..., 66, :]
    return np.linalg.norm(gap, axis=-1) / np.linalg.norm(eyes, axis=-1)
