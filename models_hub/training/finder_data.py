"""Composed pictures with known faces: any size and place, several at once, or none."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .face_data import LandmarkSet, box_of_points, disturb, face_pictures

CANVAS = 192
"""Pixels along each side of a training picture."""

SMALLEST_SHARE = 0.08
LARGEST_SHARE = 0.92
"""Face sides in sides of the canvas."""


@dataclass(frozen=True)
class Source:
    """A picture at falling resolutions (whole, half, quarter, ...) with the box of its one face."""

    levels: list[np.ndarray]
    box: np.ndarray


def _levels(picture: np.ndarray) -> list[np.ndarray]:
    import cv2

    levels = [picture]
    while min(levels[-1].shape[:2]) >= 48:
        levels.append(cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    return levels


class Composer:
    """Draws training pictures; the generator alone decides what is in one.

    Args:
        data: directory of the training material.
        split: which pictures may be used.
        crops: frames of clips and photos of the same split.
    """

    def __init__(self, data: Path, split: str, crops: LandmarkSet):
        self.pictures = [Source(_levels(picture), boxes[0]) for picture, boxes in face_pictures(data, split)]
        self.crops = crops
        names = np.unique(crops.groups)
        self.groups = [np.flatnonzero(crops.groups == name) for name in names if name.startswith("clip:")]

    def picture(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One training picture.

        Returns:
            (192, 192, 3) uint8, boxes (n, 4) of faces to be found, boxes (m, 4) of faces cut so much that finding
            them is neither right nor wrong.
        """
        kind = generator.random()
        whole = (0, 0, CANVAS, CANVAS)
        if kind < 0.5:
            regions, empty = [whole], 0.0
        elif kind < 0.62:
            regions, empty = [whole], 1.0
        else:
            x, y = generator.integers(CANVAS // 4, 3 * CANVAS // 4, 2)
            rest = CANVAS - x, CANVAS - y
            regions = [(0, 0, x, y), (x, 0, rest[0], y), (0, y, x, rest[1]), (x, y, *rest)]
            if generator.random() < 0.4:  # side by side, as in a portrait of two
                regions = [(0, 0, x, CANVAS), (x, 0, rest[0], CANVAS)]
            empty = 0.35
        canvas = np.empty((CANVAS, CANVAS, 3), np.uint8)
        faces, unclear = [], []
        for left, top, width, height in regions:
            if generator.random() < empty:
                canvas[top : top + height, left : left + width] = self._background(generator, width, height)
                continue
            part, box = self._face(generator, width, height)
            canvas[top : top + height, left : left + width] = part
            inside = np.clip(box[:2] + box[2:], 0, [width, height]) - np.clip(box[:2], 0, [width, height])
            shifted = box + np.array([left, top, 0, 0])
            (faces if inside.prod() > 0.6 * box[2:].prod() else unclear).append(shifted)
        return disturb(canvas, generator), np.reshape(faces, (-1, 4)), np.reshape(unclear, (-1, 4))

    def _source(self, generator: np.random.Generator) -> Source:
        if generator.random() < 0.65:
            return self.pictures[generator.integers(len(self.pictures))]
        group = self.groups[generator.integers(len(self.groups))]
        chosen = group[generator.integers(len(group))]
        frame = np.asarray(self.crops.frames[chosen])
        box = np.array(box_of_points(self.crops.points[chosen]), np.float32)
        return Source(_levels(frame), (box + np.array([1, 1, 0, 0])) * frame.shape[0] / 2)

    def _face(self, generator: np.random.Generator, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """A face of random size, place and tilt in (height, width, 3), and its box."""
        import cv2

        source = self._source(generator)
        side = min(width, height)
        smallest = max(SMALLEST_SHARE * side, 13)
        target = float(np.exp(generator.uniform(np.log(smallest), np.log(LARGEST_SHARE * side))))
        scale = target / source.box[2]
        level = int(np.clip(np.floor(-np.log2(scale)), 0, len(source.levels) - 1))
        picture = source.levels[level]
        shrink = picture.shape[1] / source.levels[0].shape[1]
        angle = np.deg2rad(np.clip(generator.normal(0, 9), -25, 25))
        mirror = -1.0 if generator.random() < 0.5 else 1.0
        turn = scale / shrink * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turn = turn @ np.diag([mirror, 1.0])
        aspect = np.exp(generator.normal(0, 0.05))
        turn = np.diag([aspect, 1 / aspect]) @ turn
        reach = np.minimum(0.42 * target, np.array([width, height]) / 2)
        centre = generator.uniform(reach, np.array([width, height]) - reach)
        middle = (source.box[:2] + source.box[2:] / 2) * shrink
        matrix = np.concatenate([turn, (centre - turn @ middle)[:, None]], axis=1)
        border = generator.random()
        if border < 0.4:
            mode, canvas = cv2.BORDER_REPLICATE, None
        elif border < 0.55:
            mode, canvas = cv2.BORDER_CONSTANT, None  # the finder pads with grey
        else:
            mode, canvas = cv2.BORDER_TRANSPARENT, self._background(generator, width, height)
        result = cv2.warpAffine(
            picture, matrix, (width, height), canvas, cv2.INTER_LINEAR, borderMode=mode, borderValue=(128,) * 3
        )
        return result, np.array([*(centre - target / 2), target, target], np.float32)

    def _background(self, generator: np.random.Generator, width: int, height: int) -> np.ndarray:
        """A place without a face: part of a picture, one colour, noise, round shapes, or a shuffled face."""
        import cv2

        kind = generator.random()
        if kind < 0.12:
            return np.broadcast_to(generator.integers(0, 256, 3).astype(np.uint8), (height, width, 3)).copy()
        if kind < 0.22:
            coarse = generator.integers(0, 256, (*generator.integers(2, 24, 2), 3)).astype(np.uint8)
            return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        if kind < 0.34:
            return self._shapes(generator, width, height)
        if kind < 0.42:
            return self._scrambled(generator, width, height)
        for _ in range(8):
            source = self.pictures[generator.integers(len(self.pictures))]
            picture = source.levels[0]
            limits = np.array(picture.shape[1::-1])
            size = limits.min() * generator.uniform(0.12, 0.8) * np.array([width, height]) / max(width, height)
            corner = generator.uniform(0, 1, 2) * (limits - size)
            overlap = np.minimum(corner + size, source.box[:2] + source.box[2:]) - np.maximum(corner, source.box[:2])
            share = overlap.clip(min=0).prod() / source.box[2:].prod()
            if share < 0.12 or (share < 0.4 and overlap.min() < 0.3 * source.box[2]):
                x, y, w, h = (int(value) for value in (*corner, *np.maximum(size, 4)))
                return cv2.resize(picture[y : y + h, x : x + w], (width, height), interpolation=cv2.INTER_AREA)
        return np.full((height, width, 3), generator.integers(0, 256), np.uint8)

    @staticmethod
    def _shapes(generator: np.random.Generator, width: int, height: int) -> np.ndarray:
        """Shaded ellipses on a ground of one colour: round like faces, and none."""
        import cv2

        result = np.full((height, width, 3), generator.integers(0, 256, 3), np.uint8)
        tone = generator.integers(0, 256, 3)
        for _ in range(generator.integers(1, 12)):
            centre = generator.integers(0, [width, height]).tolist()
            axes = (generator.uniform(0.04, 0.4) * min(width, height) * generator.uniform(0.7, 1.4, 2)).astype(int)
            turn = generator.uniform(0, 180)
            for inset in range(generator.integers(1, 4)):
                colour = np.clip(tone + generator.normal(0, 50, 3), 0, 255).tolist()
                inner = np.maximum(axes * (1 - 0.3 * inset), 1).astype(int).tolist()
                offset = (np.array(centre) + generator.normal(0, 0.1, 2) * axes * inset).astype(int).tolist()
                cv2.ellipse(result, offset, inner, turn, 0, 360, colour, -1 if generator.random() < 0.7 else 2)
        return cv2.GaussianBlur(result, (0, 0), generator.uniform(0.3, 2))

    def _scrambled(self, generator: np.random.Generator, width: int, height: int) -> np.ndarray:
        """A face cut into tiles that are shuffled: its colours and parts, and no face."""
        import cv2

        source = self._source(generator)
        x, y, side = (int(value) for value in source.box[:3])
        patch = cv2.resize(source.levels[0][max(y, 0) : y + side, max(x, 0) : x + side], (192, 192))
        count = int(generator.choice([3, 4, 6]))
        size = 192 // count
        tiles = patch.reshape(count, size, count, size, 3).swapaxes(1, 2).reshape(count * count, size, size, 3)
        tiles = generator.permutation(tiles, axis=0).reshape(count, count, size, size, 3)
        return cv2.resize(tiles.swapaxes(1, 2).reshape(192, 192, 3), (width, height), interpolation=cv2.INTER_AREA)
