"""What warper and generator learn from: a source, and other frames that it is driven to."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .footage import Footage, mouth_opening
from .picture_augmentation import augment, degrade
from .stills import Stills, bend, moved_like

STILL = 0.2  # share of the sources that are single pictures


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
    too), a fifth the other way. Some sources are single pictures instead, bent by a clip's motion.

    Args:
        footage: from `pack_footage`.
        seed: of order and augmentation.
        sources, driven: sources in a batch, frames driven from each (2 to 6).
        widest: always from the most closed frame to the widest ones, to learn the inside of mouths.
        stills: single pictures; none by default.
    """

    def __init__(
        self,
        footage: Footage,
        seed: int,
        sources: int = 4,
        driven: int = 4,
        widest: bool = False,
        stills: Stills | None = None,
    ) -> None:
        self.footage, self.sources, self.driven, self.widest = footage, sources, driven, widest
        self.stills = stills if stills is not None and len(stills) and not widest else None
        self.random = np.random.default_rng(seed)
        self.opening = mouth_opening(footage.points)
        # Long clips and people with many clips would drown the others.
        seconds = {
            p: sum(n for n, q in zip(footage.lengths, footage.persons, strict=True) if p == q)
            for p in set(footage.persons)
        }
        weight = np.array([n / seconds[p] ** 0.6 for n, p in zip(footage.lengths, footage.persons, strict=True)])
        self.weight = weight / weight.sum()

    def _clip(self, random: np.random.Generator) -> tuple[int, int]:
        """First frame and length of a clip."""
        clip = random.choice(len(self.weight), p=self.weight)
        return int(self.footage.starts[clip]), int(self.footage.lengths[clip])

    def _indices(self, run: int, random: np.random.Generator) -> list[int]:
        """The source and what it is driven to; the first `run` of these follow each other."""
        start, length = self._clip(random)
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
        return [int(source), *in_a_row([int(targets[0]), *map(int, others)], run, start, length)]

    def _still(self, run: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        """A picture, and it again in the places to which somebody else went whose mouth stayed as it was."""
        image, points = self.stills.take(int(random.integers(len(self.stills))))
        start, length = self._clip(random)
        first, *draws = start + random.integers(0, length, 8)
        alike = sorted(draws, key=lambda place: abs(self.opening[place] - self.opening[first]))
        chosen = in_a_row([int(place) for place in alike[: self.driven]], run, start, length)
        moved = moved_like(points[0], torch.from_numpy(self.footage.points[[first, *chosen]]))
        return torch.cat([image, bend(image, points[0], moved)]), torch.cat([points, moved])

    def __call__(self, run: int = 1, random: np.random.Generator | None = None) -> PairBatch:
        """One batch, augmented: the same colour, geometry and flip for all frames of a source.

        Args:
            run: how many of each source's driven frames follow each other in time, from the first on.
            random: what is drawn from instead of the seed's own generator.
        """
        random = random or self.random
        sources, driving, source_points, driving_points = [], [], [], []
        for _ in range(self.sources):
            if self.stills is not None and random.random() < STILL:
                images, points = self._still(run, random)
            else:
                images, points = self.footage.take(self._indices(run, random))
            images, points = augment(images, points, random)
            images = degrade(images, random)
            sources.append(images[:1])
            driving.append(images[1:])
            source_points.append(points[:1])
            driving_points.append(points[1:])
        return PairBatch(*(torch.cat(parts) for parts in (sources, source_points, driving, driving_points)))


def in_a_row(chosen: list[int], run: int, start: int, length: int) -> list[int]:
    """Frames of the clip at `start`, the first `run` of them following the first, as far as the clip goes."""
    if run > 1:
        first = max(start, min(chosen[0], start + length - run))
        chosen[:run] = [min(first + later, start + length - 1) for later in range(run)]
    return chosen
