"""Windows of mouths to learn painting from: driven sources beside what the real frames show there.

Pairs of one clip, most of them from closed mouths to open ones, and pictures of people who show their teeth: their
mouths are closed by the frame generator itself, and the picture is what should come back. The pictures triple the
number of people, and it is people that are scarce.
"""

import hashlib
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import ArticulateError
from ..networks.blocks import sample, warp
from ..networks.generator import FrameGenerator
from ..networks.ibug68 import LIPS, MIRROR
from ..networks.mouth_painter import COLUMNS, ROWS, MouthWindow, face_colours, shown_at
from ..networks.warper import MemoryWarper
from ..stages.face import locate_face
from ..stages.landmark_predictor import neutral_points
from ..types import Face, Window
from .face_data import face_pictures, photo_rows, read_image
from .fit import save_checkpoint
from .footage import SIZE, manifest_digest, mouth_opening, pack_footage, read_points

SOURCES, TARGETS = 4, 20  # of a clip; people with long footage give fewer of each clip
LONG = 1500  # frames of one person
SHOWS = 0.04  # opening of a picture's mouth, in eye distances, from which it teaches
LARGEST = 1280  # pixels along a side of a whole picture
CLOSINGS = 4  # ways to close the mouth of a picture
CLOSED, LEFT_OPEN = 0.35, 0.2  # share of a clip's frames that are closed sources; most of a picture's gap that stays


@dataclass
class MouthWindows:
    """N windows of 2 ROWS x 2 COLUMNS pixels, uint8.

    Attributes:
        warped, base, real: (N, 3, h, w), the warped source, the frame without a mouth painter, and the real frame, all
            in the window of the driving mouth.
        own: (N, 3, h, w), the source in the window of its own mouth.
        shown: (N, 1, h, w), how much of the inner mouth the warped source can show.
        local, source_local: (N, 68, 2) landmarks in their windows.
        colours: (N, COLOURS, 3), `face_colours` of the sources.
        opening: (N,), of the real mouth in eye distances.
        people: whose each is.
    """

    warped: Tensor
    base: Tensor
    real: Tensor
    own: Tensor
    shown: Tensor
    local: Tensor
    source_local: Tensor
    colours: Tensor
    opening: Tensor
    people: list[str]

    def __len__(self) -> int:
        return len(self.people)

    def take(self, index: Tensor) -> "MouthWindows":
        """Some of them."""
        tensors = {name: value[index] for name, value in self.tensors().items()}
        return MouthWindows(**tensors, people=[self.people[int(place)] for place in index])

    def tensors(self) -> dict[str, Tensor]:
        """All but the names."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "people"}

    def flipped(self, which: Tensor) -> "MouthWindows":
        """With those left to right that (N,) `which` says."""

        def flip(values: Tensor, mirrored: Tensor) -> Tensor:
            return torch.where(which.view(-1, *[1] * (values.ndim - 1)), mirrored, values)

        def points(values: Tensor) -> Tensor:
            return flip(values, values[:, list(MIRROR)] * values.new_tensor([-1.0, 1.0]))

        made = {name: flip(value, value.flip(-1)) for name, value in self.tensors().items() if value.ndim == 4}
        return replace(self, **made, local=points(self.local), source_local=points(self.source_local))


class Gatherer:
    """Drives faces and keeps the windows.

    Args:
        warper, generator: by which faces are driven; the generator without its mouth painter.
    """

    def __init__(self, warper: MemoryWarper, generator: FrameGenerator) -> None:
        self.warper, self.generator = warper, generator
        self.parts: list[dict[str, Tensor]] = []
        self.people: list[str] = []

    @torch.no_grad()
    def frames(
        self, source: Tensor, source_points: Tensor, points: Tensor, window: Window
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Warped sources and made frames (n, 3, S, S), and the flow (n, h, w, 2)."""
        count, size, cut = len(points), source.shape[-1], window.cut
        spread = self.warper.encode(source, source_points).repeat(count)
        flow, occlusion = self.warper.flow(spread, points)
        features = self.warper.compensate(spread, flow, occlusion, cut)
        hints = self.generator.hints(spread.points, points, flow, size)
        warped = warp(spread.image, flow, "bicubic").clamp(0, 1)
        painted, shaded, blend = self.generator(features, tuple(map(cut, hints)), cut(warped))
        made = warped.clone()
        cut(made).copy_(blend * shaded + (1 - blend) * painted)
        return warped, made, flow

    def add(self, source: Tensor, source_points: Tensor, real: Tensor, points: Tensor, person: str) -> None:
        """Drive a source (1, 3, S, S) with points (1, 68, 2) to real frames (n, 3, S, S) with points (n, 68, 2)."""
        warped, made, flow = self.frames(source, source_points, points, lips_window(points))
        windows, own = MouthWindow(points), MouthWindow(source_points)
        grid, many = windows.grid(2 * ROWS, 2 * COLUMNS), (len(points), -1, -1)
        pictures = {"warped": warped, "base": made, "real": real}
        part = {name: as_bytes(sample(frames, grid)) for name, frames in pictures.items()}
        there = sample(flow.permute(0, 3, 1, 2), grid).permute(0, 2, 3, 1)
        part["shown"] = as_bytes(shown_at(source_points, points, there))
        part["own"] = as_bytes(sample(source, own.grid(2 * ROWS, 2 * COLUMNS))).expand(*many, -1)
        part["local"] = windows.to_window(points)
        part["source_local"] = own.to_window(source_points).expand(many)
        part["colours"] = face_colours(source, source_points).expand(many)
        part["opening"] = torch.from_numpy(mouth_opening(points.numpy()))
        self.parts.append(part)
        self.people += [person] * len(points)

    def add_picture(self, picture: Tensor, points: Tensor, person: str, random: np.random.Generator) -> None:
        """Close the mouth of a picture (1, 3, S, S) in several ways, and open it again."""
        face = Face(picture, points[0], torch.eye(2, 3), picture[0].movedim(0, -1), (0.0, 0.0, 0.0, 0.0))
        neutral = neutral_points(face)
        for number in range(CLOSINGS):
            left = random.uniform(0, LEFT_OPEN) if number else 0.0
            closed = neutral + left * (points[0] - neutral)
            turn, scale = random.normal(0, 0.03), np.exp(random.normal(0, 0.03))
            matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
            centre, shift = closed.mean(0), torch.from_numpy(random.normal(0, 0.03, 2)).float()
            moved = (closed - centre) @ torch.from_numpy(matrix).float().T + centre + shift
            source = self.frames(picture, points, moved[None], Window())[1]
            self.add(source, moved[None], picture, points, person)

    def windows(self) -> MouthWindows:
        """All that was added."""
        names = [field.name for field in fields(MouthWindows) if field.name != "people"]
        tensors = {name: torch.cat([part[name] for part in self.parts]) for name in names}
        return MouthWindows(**tensors, people=self.people)


def as_bytes(frames: Tensor) -> Tensor:
    """0..1 as uint8."""
    return (frames * 255).round().clamp(0, 255).byte()


def lips_window(points: Tensor) -> Window:
    """The part of the frame that holds the lips of all of some landmarks (n, 68, 2), on whole cells."""
    lips = points[:, list(LIPS)].flatten(0, 1)
    low, high = ((lips.amin(0) - 0.12 + 1) * 16).floor(), ((lips.amax(0) + 0.12 + 1) * 16).ceil()
    (left, top), (right, bottom) = (edge.clamp(0, 32).div(32).tolist() for edge in (low, high))
    return Window(top, left, bottom, right) if right - left >= 0.25 and bottom - top >= 0.25 else Window()


def gather(
    data: Path,
    cache: Path,
    split: str,
    warper: MemoryWarper,
    generator: FrameGenerator,
    tell: Callable[[str], None] = print,
) -> MouthWindows:
    """Windows of a split, made once under `cache`; always the same ones.

    Args:
        data: folder of manifest.csv, clips/, photos/ and pictures/.
        cache: folder for decoded clips and the windows; windows of other data or networks in it are made anew.
        split: "train", or "val": each clip once from its most closed frame to eight others, no pictures.
        warper, generator: by which faces are driven.
        tell: told how far it is.
    """
    path, origin = cache / f"{split}_mouths.pt", origin_of(data, warper, generator)
    if path.exists():
        try:
            content = torch.load(path, weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError):
            content = {}  # cut short
        if content.pop("origin", "") == origin:
            return MouthWindows(**content)
        tell(f"{path} is of other data or other networks: windows are made anew")
    gatherer, random = Gatherer(warper, generator), np.random.default_rng(0)
    add_clips(gatherer, data, cache, split, random, tell)
    if split == "train":
        add_pictures(gatherer, data, random)
        tell(f"pictures: {len(gatherer.people)} windows")
    windows = gatherer.windows()
    cache.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, {**windows.tensors(), "people": windows.people, "origin": origin})
    return windows


def origin_of(data: Path, warper: MemoryWarper, generator: FrameGenerator) -> str:
    """A digest of the list of the data and of the networks that drive faces; what paints mouths is not one of them."""
    digest = hashlib.sha256(manifest_digest(data).encode())
    for name, value in (warper.state_dict() | generator.state_dict()).items():
        if not name.startswith(("mouth.", "detail.")):
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def add_clips(
    gatherer: Gatherer, data: Path, cache: Path, split: str, random: np.random.Generator, tell: Callable[[str], None]
) -> None:
    """Pairs of frames of every clip."""
    footage = pack_footage(data, cache, split)
    opening, frames_of = mouth_opening(footage.points), dict.fromkeys(footage.persons, 0)
    for person, length in zip(footage.persons, footage.lengths, strict=True):
        frames_of[person] += int(length)

    def frames(places: np.ndarray) -> Tensor:
        return torch.from_numpy(footage.frames[places]).permute(0, 3, 1, 2).float() / 255

    points = torch.from_numpy(footage.points)
    for clip, (name, person) in enumerate(zip(footage.names, footage.persons, strict=True)):
        first, length = int(footage.starts[clip]), int(footage.lengths[clip])
        here = opening[first : first + length]
        chosen = pairs_to_learn(here, frames_of[person] > LONG, random) if split == "train" else pairs_to_judge(here)
        for source, targets in chosen:
            source, targets = first + source, first + targets
            gatherer.add(frames([source]), points[[source]], frames(targets), points[targets], person)
        if clip % 25 == 24 or clip + 1 == len(footage.names):
            tell(f"{clip + 1} of {len(footage.names)} clips ({name}): {len(gatherer.people)} windows")


Pairs = Iterator[tuple[int, np.ndarray]]  # a source and the targets that it is driven to, places within the clip


def pairs_to_learn(opening: np.ndarray, long: bool, random: np.random.Generator) -> Pairs:
    """Mostly from closed mouths, mostly to open ones; fewer of a clip whose person has `long` footage."""
    length, order = len(opening), np.argsort(opening)
    some = random.integers(0, max(1, int(CLOSED * length)), SOURCES // 2 if long else SOURCES - 1)
    chance = np.clip(opening, 0.02, 0.3)
    count = min(length, 14 if long else TARGETS)
    for source in [order[0], *order[some[1:]], random.choice(order)]:
        yield source, np.unique(random.choice(length, count, p=chance / chance.sum()))


def pairs_to_judge(opening: np.ndarray) -> Pairs:
    """From the most closed mouth to eight frames spread over the clip."""
    source, spread = np.argsort(opening)[0], np.linspace(0, len(opening) - 1, 10).round().astype(int)[1:-1]
    yield source, np.setdiff1d(spread, [source])


def located_faces(data: Path, split: str) -> Iterator[tuple[int, np.ndarray, Face]]:
    """The largest face of a split's whole pictures: the picture's number, the picture (H, W, 3) uint8, the face."""
    for number, (picture, _) in enumerate(face_pictures(data, split, LARGEST)):
        try:
            yield number, picture, locate_face(torch.from_numpy(picture.copy()).float() / 255)
        except ArticulateError:
            continue  # a drawing, a profile


def add_pictures(gatherer: Gatherer, data: Path, random: np.random.Generator) -> None:
    """The train split's photos, and the largest faces of its whole pictures, that show what is between the lips."""
    import cv2

    for row in photo_rows(data, "train"):
        points, _ = read_points(data / "photos" / f"{row['id']}.npz")
        if mouth_opening(points)[0] > SHOWS:
            photo = read_image(data / "photos" / f"{row['id']}.jpg")
            photo = cv2.resize(photo, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
            picture = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255
            gatherer.add_picture(picture, torch.from_numpy(points[:1]), f"photo {row['id']}", random)
    for number, _, face in located_faces(data, "train"):
        if mouth_opening(face.points.numpy()) > SHOWS:
            gatherer.add_picture(face.crop, face.points[None], f"picture {number}", random)
