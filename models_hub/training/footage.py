"""Clips as arrays: decoded once, mapped from disk, sampled as sources and driven frames."""

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
from torch.nn import functional as F

from ..errors import InputError
from ..networks.blocks import sample
from ..networks.ibug68 import COUNT, MIRROR

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


@dataclass
class PairBatch:
    """Sources and the frames they are driven to.

    Attributes:
        source: (S, 3, 256, 256) in 0..1; source_points: (S, 68, 2).
        driving: (S * D, 3, 256, 256), the frames of each source in a row. driving_points: (S * D, 68, 2).
    """

    source: Tensor
    source_points: Tensor
    driving: Tensor
    driving_points: Tensor

    def to(self, device: torch.device) -> "PairBatch":
        """The same on a device."""
        return PairBatch(*(value.to(device) for value in vars(self).values()))


class PairSampler:
    """Draws sources and driven frames of one clip each, with the pairs that teach most.

    Half of the pairs go from the most closed of eight frames to the widest (half of these to the next widest
    too), a fifth the other way.

    Args:
        footage: from `pack_footage`.
        seed: of order and augmentation.
        sources, driven: sources in a batch, frames driven from each (2 to 6).
        widest: always from the most closed frame to the widest ones, to learn the inside of mouths.
    """

    def __init__(self, footage: Footage, seed: int, sources: int = 4, driven: int = 4, widest: bool = False) -> None:
        self.footage, self.sources, self.driven, self.widest = footage, sources, driven, widest
        self.random = np.random.default_rng(seed)
        self.opening = mouth_opening(footage.points)
        # Long clips and people with many clips would drown the others.
        seconds = {
            p: sum(n for n, q in zip(footage.lengths, footage.persons, strict=True) if p == q)
            for p in set(footage.persons)
        }
        weight = np.array([n / seconds[p] ** 0.6 for n, p in zip(footage.lengths, footage.persons, strict=True)])
        self.weight = weight / weight.sum()

    def _indices(self, neighbours: bool, random: np.random.Generator) -> list[int]:
        clip = random.choice(len(self.weight), p=self.weight)
        start, length = int(self.footage.starts[clip]), int(self.footage.lengths[clip])
        draws = start + random.integers(0, length, 8)
        by_opening = draws[np.argsort(self.opening[draws])]
        kind = random.random()
        if kind < 0.5 or self.widest:
            source, targets = by_opening[0], by_opening[::-1]
        elif kind < 0.7:
            source, targets = by_opening[-1], by_opening
        else:
            source, targets = draws[0], draws[1:]
        if self.widest or (kind < 0.5 and random.random() < 0.5):
            others = targets[1 : self.driven]
        else:
            others = random.choice(targets[1:7], self.driven - 1, False)
        chosen = [int(source), int(targets[0]), *map(int, others)]
        if neighbours:
            chosen[1] = max(start, min(chosen[1], start + length - 2))
            chosen[2] = min(chosen[1] + 1, start + length - 1)
        return chosen

    def __call__(self, neighbours: bool = False, random: np.random.Generator | None = None) -> PairBatch:
        """One batch, augmented: the same colour, geometry and flip for all frames of a source.

        Args:
            neighbours: make the first two driven frames of each source neighbours in time.
            random: what is drawn from instead of the seed's own generator.
        """
        random = random or self.random
        sources, driving, source_points, driving_points = [], [], [], []
        for _ in range(self.sources):
            images, points = self.footage.take(self._indices(neighbours, random))
            images, points = augment(images, points, random)
            sources.append(images[:1])
            driving.append(images[1:])
            source_points.append(points[:1])
            driving_points.append(points[1:])
        return PairBatch(*(torch.cat(parts) for parts in (sources, source_points, driving, driving_points)))


def augment(images: Tensor, points: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """One random flip, similarity and colour change, the same for all frames.

    Args:
        images: (N, 3, H, W) in 0..1.
        points: (N, 68, 2) in -1..1.
    """
    if random.random() < 0.5:
        images = images.flip(-1)
        points = points[:, list(MIRROR)] * torch.tensor([-1.0, 1.0])
    if random.random() < 0.7:
        angle, scale = random.normal(0, 0.06), np.exp(random.normal(0, 0.07))
        shift = random.normal(0, 0.04, 2)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
        matrix = torch.tensor(np.concatenate([turn, shift[:, None]], 1), dtype=torch.float32)
        grid = F.affine_grid(matrix[None].expand(len(images), -1, -1), list(images.shape), align_corners=False)
        images = sample(images, grid)
        points = (points - matrix[:, 2]) @ torch.linalg.inv(matrix[:, :2]).T
    # A brightness that rises from one side to the other: light is what few people teach least.
    height, width = images.shape[-2:]
    tilt = random.normal(0, 0.2, 2)
    ramp = tilt[0] * torch.linspace(-1, 1, height)[:, None] + tilt[1] * torch.linspace(-1, 1, width)
    images = images * ramp.float().exp()
    gain = torch.tensor(np.exp(random.normal(0, 0.15) + random.normal(0, 0.15, 3)), dtype=torch.float32)
    grey = images.mean(1, keepdim=True)
    saturation = float(np.clip(random.normal(1, 0.2), 0.2, 1.5)) if random.random() > 0.05 else 0.0
    images = grey + (images - grey) * saturation
    images = images * gain[None, :, None, None] + random.normal(0, 0.03)
    gamma = float(np.exp(random.normal(0, 0.15)))
    return images.clamp(0, 1) ** gamma, points
