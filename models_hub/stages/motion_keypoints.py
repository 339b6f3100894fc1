"""MCNet's keypoints of a source and a driving video, and how the motion is carried over (seed 01, section 8)."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ..errors import InputError
from ..loading import load_network
from ..networks.mcnet_keypoints import Keypoints, MCNetKeypointDetector
from ..networks.mcnet_motion import inverse
from ..types import Face, MotionKeypoints, Progress, Stream
from .crop import crop_matrix, cut_crop
from .face import to_picture
from .mcnet import SIZE, source_picture
from .video_landmarks import _single_frames, _Track

STAGE = "mcnet_keypoints"
MOTIONS = ("relative", "absolute")
FRAMINGS = ("face", "whole")


def motion_keypoints(
    frames: Iterable[Tensor],
    fps: float,
    face: Face,
    motion: str = "relative",
    adapt_scale: bool = True,
    best_frame: bool = False,
    framing: str = "face",
    weights: str = STAGE,
    progress: Progress | None = None,
) -> MotionKeypoints:
    """Keypoints that drive MCNet's warper; one frame is held at a time.

    Args:
        frames: (H, W, 3) pictures in 0..1, or chunks (n, H, W, 3) of them, in order.
        fps: their rate.
        face: the source.
        motion: "relative" adds the driver's motion since its reference frame to the source's own keypoints; "absolute"
            passes the driver's keypoints on as they are.
        adapt_scale: relative motion is scaled by the size of the source's face over that of the driver's, measured by
            the convex hulls of the keypoints.
        best_frame: the reference is the frame whose landmarks are most like the source's; else the first.
        framing: "face" cuts a square that frames the driver's face in its first frame as the source's crop does, and
            keeps it still; "whole" takes frames that are crops already.
        weights: of the keypoint detector.
        progress: told after each frame.

    Raises:
        InputError: no frames, an unknown choice, a rate that is not positive, or no face where one is needed.
        WeightsError: from loading.
    """
    if motion not in MOTIONS or framing not in FRAMINGS:
        raise InputError(
            f"The motion {motion!r} with framing {framing!r} is not known; the motion is {' or '.join(MOTIONS)}, the "
            f"framing {' or '.join(FRAMINGS)}."
        )
    if not fps > 0:
        raise InputError(f"The driving video's rate is {fps} frames a second; it must be above zero.")
    detector = detector_network(weights)
    needs_landmarks = framing == "face" or (best_frame and motion == "relative")
    track, matrix = _Track("embedded"), None
    found, likeness = [], []
    total = len(frames) if hasattr(frames, "__len__") else 0
    with torch.inference_mode():
        source = detector(source_picture(face))
        for frame in _single_frames(frames):
            picture = to_picture(frame)
            looking = needs_landmarks and (best_frame or matrix is None)
            points = track(picture) if looking else None
            if framing == "face" and matrix is None:
                if points is None:
                    raise InputError(
                        f"Frame {len(found)} of the driving video shows no face, so it cannot be framed by it; cut the "
                        'video to where the face is seen, or choose the framing "whole" for frames that are crops.'
                    )
                matrix = crop_matrix(points)
            crop = _whole(picture) if framing == "whole" else cut_crop(picture, matrix, SIZE)
            found.append(detector(crop))
            likeness.append(_unlike(points, face.points) if points is not None else float("inf"))
            if progress is not None:
                progress(len(found), max(total, len(found)))
    if not found:
        raise InputError("The driving video has no frames; check that it can be played and is not cut to nothing.")
    driving = Keypoints(*(torch.cat([getattr(one, part) for one in found]) for part in ("values", "jacobians")))
    if motion == "relative":
        reference = min(range(len(found)), key=likeness.__getitem__) if best_frame else 0
        driving = relative(source, driving, reference, adapt_scale)
    return MotionKeypoints(source, driving, float(fps))


def detector_network(weights: str) -> MCNetKeypointDetector:
    """The keypoint detector of these weights.

    It runs on the processor: its last digits matter (see MCNetKeypointDetector), and it takes little time.
    """
    network = load_network(STAGE, weights)
    if not isinstance(network, MCNetKeypointDetector):
        raise InputError(
            f"{weights} holds a {type(network).__name__}, not MCNet's keypoint detector; choose its weights."
        )
    return network


def relative(source: Keypoints, driving: Keypoints, reference: int = 0, adapt_scale: bool = True) -> Keypoints:
    """The driver's motion since its frame `reference`, added to the source's keypoints.

    Args:
        source: of one picture.
        driving: of T frames.
        reference: the frame in which the driver looks as the source does.
        adapt_scale: see `motion_keypoints`.

    Returns:
        Keypoints of T frames.

    Raises:
        InputError: the reference's keypoints span no area, or a local frame has no inverse.
    """
    start = driving.part(reference, reference + 1)
    scale = movement_scale(source.values[0], start.values[0]) if adapt_scale else 1.0
    values = (driving.values - start.values) * scale + source.values
    jacobians = (driving.jacobians @ inverse(start.jacobians)) @ source.jacobians
    if not jacobians.isfinite().all():
        raise InputError(
            f"The keypoints of frame {reference} have no inverse, so no relative motion; use absolute motion."
        )
    return Keypoints(values, jacobians)


def movement_scale(source: Tensor, driving: Tensor) -> float:
    """Size of the source's face over the driver's: square root of the ratio of their keypoints' (K, 2) hulls."""
    areas = [hull_area(points) for points in (source, driving)]
    if not min(areas) > 0:
        raise InputError(
            "The keypoints of source or driver lie on one line, so no scale can be told; switch adapt_scale off."
        )
    return (areas[0] / areas[1]) ** 0.5


def hull_area(points: Tensor) -> float:
    """Area of the convex hull of points (n, 2), by Andrew's monotone chain and the shoelace formula."""
    ordered = sorted(set(map(tuple, points.double().tolist())))

    def chain(places: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        corners: list[tuple[float, float]] = []
        for x, y in places:
            while len(corners) > 1:
                (ax, ay), (bx, by) = corners[-2:]
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                    break
                corners.pop()
            corners.append((x, y))
        return corners[:-1]

    hull = [*chain(ordered), *chain(reversed(ordered))]
    following = [*hull[1:], *hull[:1]]
    return abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in zip(hull, following, strict=True))) / 2


def stream_frames(stream: Stream) -> Iterator[Tensor]:
    """The frames of a stream (ART_FRAMES) as pictures (n, S, S, 3), a chunk at a time."""
    for chunk in stream:
        yield chunk.frames.permute(0, 2, 3, 1)


def _whole(picture: Tensor) -> Tensor:
    """A picture (H, W, 3) as (1, 3, 256, 256), resampled with a filter where it gets smaller."""
    image = picture[..., :3].float().permute(2, 0, 1)[None]
    if image.shape[-2:] == (SIZE, SIZE):
        return image
    return torch.nn.functional.interpolate(image, size=(SIZE, SIZE), mode="bilinear", antialias=True)


def _unlike(points: Tensor, source: Tensor) -> float:
    """How different two faces' landmarks (68, 2) are, apart from place and size."""
    shapes = [(shape - shape.mean(0)) / max(hull_area(shape), 1e-12) ** 0.5 for shape in (points, source)]
    return float((shapes[0] - shapes[1]).square().sum())
