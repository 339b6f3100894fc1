"""Training material for finding faces and their landmarks: read once, kept as uint8 arrays.

`DIR` holds `manifest.csv`, `clips/ID.mp4` with `ID.npz`, `photos/ID.jpg` with `ID.npz`, and `pictures/` with
`pictures.csv`. Only rows whose split is asked for are ever opened.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import MediaError
from ..networks.ibug68 import COUNT
from ..stages.crop import BOX_SCALE, BOX_SHIFT
from ..types import CROP_SIZE

POINT_UNITS = 4096
"""The shipped points count the side of a crop in this many parts."""


@dataclass(frozen=True)
class LandmarkSet:
    """Face crops with their points.

    Attributes:
        frames: (N, 256, 256, 3) uint8 RGB.
        points: (N, 68, 2) float32 in crop units.
        groups: (N,) whom each frame shows, so that long clips do not outweigh short ones.
    """

    frames: np.ndarray
    points: np.ndarray
    groups: np.ndarray

    def summary(self) -> str:
        """What it holds, in words."""
        clips = np.array([name.startswith("clip:") for name in self.groups])
        people, stills = len(set(self.groups[clips])), int((~clips).sum())
        return f"{clips.sum()} frames of clips of {people} people, {stills} photos, paintings and generated faces"


def rows(data: Path, table: str) -> list[dict[str, str]]:
    """The lines of a table of the data directory.

    Raises:
        MediaError: it is not there.
    """
    path = Path(data) / table
    if not path.is_file():
        raise MediaError(f"{path} does not exist; give the directory that holds {table} with --data.")
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_image(path: Path) -> np.ndarray:
    """A picture as (H, W, 3) uint8 RGB."""
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def shipped_points(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Points (T, 68, 2) float32 in crop units and validity (T,) of a clip's or photo's `ID.npz`."""
    with np.load(path) as archive:
        points = archive["points"][:, :COUNT].astype(np.float32) * (2 / POINT_UNITS) - 1
        valid = archive["valid"].astype(bool) if "valid" in archive else np.ones(len(points), bool)
    return points, valid


def clip_frames(path: Path, stride: int = 1) -> Iterator[tuple[int, np.ndarray]]:
    """Every `stride`-th frame of a video as (index, (H, W, 3) uint8 RGB)."""
    import av

    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % stride == 0:
                yield index, frame.to_ndarray(format="rgb24")


def box_of_points(points: np.ndarray) -> tuple[float, float, float, float]:
    """The face box (x, y, width, height) that belongs to points (68, 2), in the same units."""
    low, high = points.min(axis=0), points.max(axis=0)
    side = float((high - low).max())
    centre = (low + high) / 2 + np.asarray(BOX_SHIFT) * side
    side *= BOX_SCALE
    return float(centre[0] - side / 2), float(centre[1] - side / 2), side, side


def landmark_set(data: Path, split: str, cache: Path, frames_a_second: float = 3.0) -> LandmarkSet:
    """Frames of clips and all photos of a split, made once under `cache` and mapped into memory.

    Args:
        data: directory of the training material.
        split: "train" or "val".
        cache: directory for the arrays.
        frames_a_second: how densely clips are sampled.
    """
    folder = Path(cache) / f"landmarks-{split}-{frames_a_second:g}"
    if not (folder / "groups.npy").is_file():
        _write_landmark_set(Path(data), split, folder, frames_a_second)
    return LandmarkSet(
        np.load(folder / "frames.npy", mmap_mode="r"), np.load(folder / "points.npy"), np.load(folder / "groups.npy")
    )


def _write_landmark_set(data: Path, split: str, folder: Path, frames_a_second: float) -> None:
    import cv2

    frames, points, groups = [], [], []
    for row in rows(data, "manifest.csv"):
        if row["split"] != split or row["kind"] == "speech":
            continue
        clip = row["kind"] == "clip"
        shape, valid = shipped_points(data / ("clips" if clip else "photos") / f"{row['id']}.npz")
        if clip:
            stride = max(1, round(25 / frames_a_second))
            pictures = clip_frames(data / "clips" / f"{row['id']}.mp4", stride)
        else:
            pictures = iter([(0, read_image(data / "photos" / f"{row['id']}.jpg"))])
        for index, picture in pictures:
            if index < len(valid) and valid[index]:
                frames.append(cv2.resize(picture, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_AREA))
                points.append(shape[index])
                # Every photo is a group of its own beside the people of the clips: they carry most of the variety.
                groups.append(f"clip:{row['person']}" if clip else f"photo:{row['id']}")
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "frames.npy", np.stack(frames))
    np.save(folder / "points.npy", np.stack(points))
    np.save(folder / "groups.npy", np.array(groups))  # last: its presence says that all are whole


def photo_rows(data: Path, split: str) -> list[dict[str, str]]:
    """The manifest's lines of a split's photos: all that is neither a clip nor a recording."""
    return [
        row for row in rows(data, "manifest.csv") if row["split"] == split and row["kind"] not in ("clip", "speech")
    ]


def face_pictures(data: Path, split: str, longest: int = 640) -> list[tuple[np.ndarray, np.ndarray]]:
    """Whole pictures of a split, at most `longest` pixels along a side, with boxes (n, 4) in their pixels."""
    import cv2

    found = []
    for row in rows(data, "pictures.csv"):
        if row["split"] != split:
            continue
        picture = read_image(Path(data) / "pictures" / row["file"])
        boxes = np.array(row["boxes"].replace(";", " ").split(), dtype=np.float32).reshape(-1, 4)
        scale = min(1.0, longest / max(picture.shape[:2]))
        if scale < 1:
            picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        found.append((picture, boxes * scale))
    return found


def disturb(picture: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Colour, contrast, grey, blur, noise and JPEG: everything that moves no point.

    Args:
        picture: (H, W, 3) uint8.
        generator: where the chances come from.

    Returns:
        A new picture of the same shape and type.
    """
    import cv2

    height, width = picture.shape[:2]
    values = picture.astype(np.float32) / 255
    chance = generator.random(6)
    if chance[0] < 0.15:
        values = np.repeat(values @ np.array([0.299, 0.587, 0.114], np.float32)[:, None], 3, axis=2)
    gain = np.exp(generator.normal(0, 0.12) + generator.normal(0, 0.07, 3)).astype(np.float32)
    values = np.clip(values * gain, 0, 1) ** np.float32(np.exp(generator.normal(0, 0.25)))
    contrast = np.float32(np.exp(generator.normal(0, 0.2)))
    values = (values - 0.5) * contrast + np.float32(0.5 + generator.normal(0, 0.05))
    if chance[1] < 0.15:  # a light from one side
        ramp = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None] * np.float32(generator.normal(0, 0.25))
        values = values * (1 + ramp)
    if chance[2] < 0.25:
        small = generator.uniform(0.3, 0.9)
        low = cv2.resize(
            values, (max(8, int(width * small)), max(8, int(height * small))), interpolation=cv2.INTER_AREA
        )
        values = cv2.resize(low, (width, height), interpolation=cv2.INTER_LINEAR)
    elif chance[3] < 0.15:
        values = cv2.GaussianBlur(values, (0, 0), generator.uniform(0.4, 1.2))
    if chance[4] < 0.3:
        values = values + generator.standard_normal(values.shape, np.float32) * np.float32(
            generator.uniform(0.01, 0.06)
        )
    result = (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)
    if chance[5] < 0.3:
        _, packed = cv2.imencode(".jpg", result, [cv2.IMWRITE_JPEG_QUALITY, int(generator.integers(25, 90))])
        result = cv2.imdecode(packed, cv2.IMREAD_COLOR)
    return result
