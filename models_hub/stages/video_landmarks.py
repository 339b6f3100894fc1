"""Landmarks of a driving video, in the crop of a source face (ART_LANDMARKS)."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import FaceNotFoundError, InputError
from ..loading import load_network
from ..networks.ibug68 import COUNT, RIGID
from ..threads import one_thread
from ..types import Face, Landmarks, Progress
from .crop import Box, crop_matrix, cut_crop, to_pixels
from .face import landmarks_in_box, to_picture
from .face_detection import SMALLEST_FACE, WIDEST_SPREAD, find_faces, insightface_faces, overlap
from .inference import Placed

MODES = ("relative", "absolute")

SMOOTHING = (0.12, 0.76, 0.12)
"""Weights of the frame before, the frame itself and the one after."""

FOLLOW = 0.15
"""How far the crop moves towards the newest landmarks with each frame."""

STRAY = 0.35
"""Crop units that the face may be off the place where a crop should show it, before it is searched anew."""


@dataclass
class _Track:
    """Where the face was last seen; one frame at a time."""

    detector: str
    matrix: Tensor | None = None

    def __call__(self, picture: Tensor) -> Tensor | None:
        """Landmarks (68, 2) in pixels of the next picture (H, W, 3), or None where no face is seen."""
        if self.matrix is not None:
            points = self._follow(picture)
            if points is not None:
                return points
        return self._search(picture)

    @torch.no_grad()
    def _follow(self, picture: Tensor) -> Tensor | None:
        network = Placed(load_network("landmark_estimator"))
        maps = network(cut_crop(picture, self.matrix))
        if network.spread(maps) > WIDEST_SPREAD:
            return None
        points = to_pixels(network.points(maps)[0], self.matrix)
        wanted = crop_matrix(points)
        unit = self.matrix[0, 0]
        drift = (wanted[:, 2] - self.matrix[:, 2]).norm() / unit
        if drift > STRAY or not 0.7 < wanted[0, 0] / unit < 1.4:
            return None
        self.matrix = self.matrix.lerp(wanted, FOLLOW)
        return points

    def _search(self, picture: Tensor) -> Tensor | None:
        """Look at the whole picture: the largest face, or the one nearest to the place where it was lost."""
        found = insightface_faces(picture) if self.detector == "insightface" else find_faces(picture)
        found = [face for face in found if min(face.box[2:]) >= SMALLEST_FACE]
        if not found:
            return None
        chosen = found[0]
        if self.matrix is not None:
            chosen = max(found, key=lambda face: overlap(face.box, self._last_box()))
        points = landmarks_in_box(picture, chosen.box)
        self.matrix = crop_matrix(points)
        return points

    def _last_box(self) -> Box:
        corner, unit = to_pixels(torch.tensor([-0.5, -0.3]), self.matrix), float(self.matrix[0, 0])
        return (*corner.tolist(), unit, unit)


def _single_frames(frames: Iterable[Tensor]) -> Iterator[Tensor]:
    for item in frames:
        if item.ndim == 4:
            yield from item
        elif item.ndim == 3:
            yield item
        else:
            raise InputError(
                f"The driving video gave a frame of shape {tuple(item.shape)}; expected are frames (height, width, 3) "
                "or chunks (n, height, width, 3)."
            )


@one_thread()
def landmarks_from_video(
    frames: Iterable[Tensor],
    fps: float,
    face: Face,
    mode: str = "relative",
    detector: str = "embedded",
    progress: Progress | None = None,
    neutral_frame: int = 0,
) -> Landmarks:
    """Carry a driver's face over to a source face; one frame is held at a time.

    Args:
        frames: (H, W, 3) pictures in 0..1, or chunks (n, H, W, 3) of them, in order.
        fps: their rate.
        face: the source face.
        mode: "relative" adds the driver's motion since its neutral frame, scaled and turned to the source's head, to
            the source's own landmarks; "absolute" takes the driver's landmarks themselves, laid onto the source by
            the driver's first pose.
        detector: "embedded" or "insightface".
        progress: called after each frame; the total is the number of items if `frames` has a length and yields single
            frames, or else the frames so far.
        neutral_frame: the frame (or the next with a face) in which the driver looks as the source does in its picture.

    Returns:
        One entry for each frame; where no face was seen, `visible` is False and the points are interpolated
        between the neighbours, or held at the ends.

    Raises:
        InputError: no frames, an unknown mode or detector, a rate that is not positive.
        FaceNotFoundError: no frame shows a face.
    """
    if mode not in MODES:
        raise InputError(f"The mode {mode!r} is not known; choose {' or '.join(repr(name) for name in MODES)}.")
    if detector not in ("embedded", "insightface"):
        raise InputError(f'The detector {detector!r} is not known; choose "embedded" or "insightface".')
    if not fps > 0:
        raise InputError(f"The driving video's rate is {fps} frames a second; it must be above zero.")
    track = _Track(detector)
    known: list[Tensor | None] = []
    total = len(frames) if hasattr(frames, "__len__") else 0
    for frame in _single_frames(frames):
        known.append(track(to_picture(frame)))
        if progress is not None:
            progress(len(known), max(total, len(known)))
    if not known:
        raise InputError("The driving video has no frames; check that it can be played and is not cut to nothing.")
    visible = torch.tensor([points is not None for points in known])
    if not visible.any():
        raise FaceNotFoundError(
            f"None of the {len(known)} frames of the driving video shows a face; use one in which the head is larger, "
            "upright and turned to the camera."
        )
    filled = smooth(fill(known))
    start = _next_visible(visible, neutral_frame)
    return Landmarks(_transfer(filled, face.points, start, mode), visible, float(fps))


def _next_visible(visible: Tensor, frame: int) -> int:
    if not 0 <= frame < len(visible):
        raise InputError(
            f"The neutral frame {frame} is not in the driving video of {len(visible)} frames; "
            f"choose one from 0 to {len(visible) - 1}."
        )
    seen = visible.nonzero().flatten()
    later = seen[seen >= frame]
    return int(later[0] if len(later) else seen[-1])


def fill(known: list[Tensor | None]) -> Tensor:
    """Points (T, 68, 2) from points or None: linear between neighbours, held at the ends."""
    seen = [index for index, points in enumerate(known) if points is not None]
    result = torch.empty(len(known), COUNT, 2)
    for index in range(len(known)):
        place = bisect_right(seen, index)
        before, after = seen[max(place - 1, 0)], seen[min(place, len(seen) - 1)]
        share = (index - before) / (after - before) if before <= index < after else 0.0
        result[index] = torch.lerp(known[before], known[after], share)
    return result


def smooth(points: Tensor) -> Tensor:
    """A light average over three frames of points (T, 68, 2); a constant stays as it is."""
    series = points.flatten(1).T[:, None]  # (136, 1, T)
    padded = F.pad(series, (1, 1), mode="replicate")
    return F.conv1d(padded, torch.tensor([[SMOOTHING]]))[:, 0].T.view_as(points)


def similarity(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Least-squares turn, scale and shift between point sets.

    Args:
        source, target: (n, 2).

    Returns:
        A (2, 2) and b (2,) with target ~ source @ A.T + b.
    """
    middle, goal = source.mean(dim=0), target.mean(dim=0)
    a, b = source - middle, target - goal
    norm = a.square().sum().clamp(min=1e-12)
    cosine = (a * b).sum() / norm
    sine = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / norm
    turn = torch.stack([torch.stack([cosine, -sine]), torch.stack([sine, cosine])])
    return turn, goal - turn @ middle


def _transfer(driver: Tensor, source: Tensor, start: int, mode: str) -> Tensor:
    """Driver's points (T, 68, 2) in pixels -> points in the source's crop."""
    rigid = list(RIGID)
    turn, shift = similarity(driver[start, rigid], source[rigid])
    if mode == "absolute":
        return driver @ turn.T + shift
    return source + (driver - driver[start]) @ turn.T


def track_points(pictures: Iterable[Tensor], detector: str = "embedded") -> Iterator[Tensor | None]:
    """Landmarks (68, 2) in pixels of each picture (H, W, 3) of a video in order, or None where no face is seen."""
    track = _Track(detector)
    for picture in pictures:
        yield track(picture)
