"""Which frames a fit sees at a step: a function of seed and step alone, so that a resumed fit sees the same ones."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..networks.audio_to_lip import STEP, UNIT
from ..networks.sync_critic import FRAMES, lower_faces
from .footage import mouth_opening
from .material import Material, Take
from .picture_augmentation import augment

AWAY = 3  # frames: least distance of another time's lips (CALS's discriminative loss)


@dataclass  # not frozen: Lightning Fabric converts its tensors
class TuneBatch:
    """A source and the frames it is driven to; the first `run` of these follow each other in time.

    Attributes:
        source: (1, 3, 256, 256) in 0..1; source_points: (1, 68, 2).
        driving: (N, 3, 256, 256); points: (N, 68, 2).
        run: consecutive frames at the start; at least 1.
        mel: (1, 20, 64) sound of the first five frames; None where it is unknown.
        other: (1, 5, 32, 64) real lips of another time of the same take; None where the run is too short.
    """

    source: Tensor
    source_points: Tensor
    driving: Tensor
    points: Tensor
    run: int
    mel: Tensor | None = None
    other: Tensor | None = None

    def to(self, device: torch.device) -> "TuneBatch":
        """The same on a device."""
        values = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in vars(self).items()}
        return TuneBatch(**values)


class Untouched:
    """A batch that Fabric hands on as it is: with the others' numbers it would round landmarks to bfloat16."""

    def __init__(self, batch: TuneBatch) -> None:
        self.batch = batch


def pictures(take: Take, index: np.ndarray | list[int]) -> Tensor:
    """Frames (n, 3, 256, 256) in 0..1 of a take."""
    return take.frames[torch.as_tensor(np.asarray(index))].permute(0, 3, 1, 2).float() / 255


def split_material(material: Material, share: float) -> tuple[list[Take], list[Take]]:
    """What is learned from, and the last part, which is held back; cut in time.

    Args:
        material: from `gather`.
        share: of the frames that is held back, at least a second of them if any.
    """
    total = sum(map(len, material.takes))
    held = max(25, round(share * total)) if share > 0 else 0
    learned: list[Take] = []
    kept: list[Take] = []
    left = total - held
    for take in material.takes:
        count = min(len(take), max(0, left))
        left -= len(take)
        # A few frames at the cut are too like their neighbours across it; they are given up.
        for part, first, stop in ((learned, 0, count), (kept, count + (AWAY if 0 < count < len(take) else 0), None)):
            piece = piece_of(take, first, stop)
            if len(piece) > FRAMES:
                part.append(piece)
    return learned, kept


def piece_of(take: Take, first: int, stop: int | None = None) -> Take:
    """Frames first..stop of a take, with their sound."""
    stop = len(take) if stop is None else stop
    mel = None if take.mel is None else take.mel[first * STEP : stop * STEP]
    return Take(take.name, take.frames[first:stop], take.points[first:stop], mel)


def reference_frame(takes: list[Take]) -> tuple[Take, int]:
    """The frame with the most closed mouth: what a portrait usually looks like."""
    best = [(float(opening.min()), place, int(opening.argmin())) for place, opening in enumerate(map(openings, takes))]
    _, place, index = min(best)
    return takes[place], index


def openings(take: Take) -> np.ndarray:
    """Mouth opening of every frame, in eye distances."""
    return mouth_opening(take.points.numpy())


def sound_window(take: Take, middle: int) -> Tensor:
    """(20, 64) mel around a frame, as the sync critic hears it."""
    first = middle * STEP - (UNIT - STEP) // 2
    return take.mel[torch.arange(first, first + UNIT).clamp(0, len(take.mel) - 1)]


class TuneSampler:
    """Draws a batch for a step.

    Args:
        takes: what is learned from.
        seed: of everything that is random.
        frames: driven from the source in each batch.
        run: how many of them follow each other in time.
    """

    def __init__(self, takes: list[Take], seed: int, frames: int, run: int) -> None:
        self.takes, self.seed, self.frames, self.run = takes, seed, max(frames, run), run
        self.openings = [openings(take) for take in takes]
        self.weights = np.array([len(take) for take in takes], float)
        self.weights /= self.weights.sum()
        self.reference = reference_frame(takes)

    def __call__(self, step: int, rank: int = 0) -> tuple[TuneBatch, torch.Generator]:
        """The batch of a step (on the device number `rank`), and the numbers for what else is random in it."""
        random = np.random.default_rng((self.seed, step, rank))
        place = int(random.choice(len(self.takes), p=self.weights))
        take, opening = self.takes[place], self.openings[place]
        start = int(random.integers(0, max(1, len(take) - self.run + 1)))
        driven = list(range(start, min(start + self.run, len(take))))
        # Half of the others from the widest of some: open mouths are rare and teach most.
        spread = self.frames - len(driven)
        some = random.integers(0, len(take), 3 * spread + 1)
        widest = some[np.argsort(-opening[some])][: (spread + 1) // 2]
        driven += [int(index) for index in (*widest, *random.integers(0, len(take), spread - len(widest)))]
        origin, index = self.reference if random.random() < 0.5 else (take, int(random.integers(0, len(take))))
        frames = torch.cat([pictures(origin, [index]), pictures(take, driven)])
        points = torch.cat([origin.points[index : index + 1], take.points[driven]])
        if random.random() < 0.3:
            frames, points = augment(frames, points, random)
        mel = other = None
        if len(driven) >= FRAMES and self.run >= FRAMES and len(take) >= FRAMES + AWAY:
            places = np.array([at for at in range(len(take) - FRAMES + 1) if abs(at - start) >= AWAY])
            if len(places):
                away = np.arange(FRAMES) + int(random.choice(places))
                other = lower_faces(pictures(take, away), take.points[away])[None]
            if take.mel is not None:
                mel = sound_window(take, start + FRAMES // 2)[None]
        seed = int(random.integers(0, 2**31))
        run = min(self.run, len(take))
        batch = TuneBatch(frames[:1], points[:1].float(), frames[1:], points[1:].float(), run, mel, other)
        return batch, torch.Generator().manual_seed(seed)
