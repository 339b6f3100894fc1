"""Lips and jaw in the face's own frame: free of head pose, in eye distances, relative to a closed mouth.

Our own reconstruction (neither CALS nor ATVGnet publishes one that could be read). The face's frame has
its origin between the eyes, x along the eye line, and one eye distance as its unit. Talking heads nod and
turn while they speak; the similarity that keeps the rigid points (`ibug68.RIGID`) still removes that.
"""

import torch
from torch import Tensor

from .ibug68 import COUNT, INNER_LIPS, JAW, LEFT_EYE, LIPS, RIGHT_EYE, RIGID

MOVING = (*JAW, *LIPS)  # the 37 points that speech moves
LIP_SLICE = slice(len(JAW), len(JAW) + len(LIPS))  # lips inside MOVING

# Eye distance over the way from the eyes down to the nose base, for a face seen from the front. A head turned
# aside has its eyes closer together; its lips still open by the same height.
_FRONTAL_RATIO = 1.35

_UPPER = ((61, (50,)), (62, (51,)), (63, (52,)))  # inner point, outer points that move with it
_LOWER = ((67, (58,)), (66, (57,)), (65, (56,)))
_BESIDE = ((49, 61), (53, 63), (59, 67), (55, 65))  # outer points that move half as far
_UPPER_SHARE = 0.3  # of an open mouth's gap: how far the upper lip comes down when it closes
_CHIN_SHARE = 0.5  # how far the chin rises with the lower lip
_EASE = 0.7  # how much of a smile beyond the population's spread is taken back


def face_frame(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where a face is and how it lies.

    Args:
        points: (..., 68, 2).

    Returns:
        origin (..., 2) between the eyes; axes (..., 2, 2) whose rows are the face's unit x and y vectors
        in the picture; scale (..., 2), units of `points` per face unit along each axis.
    """
    left = points[..., list(LEFT_EYE), :].mean(-2)
    right = points[..., list(RIGHT_EYE), :].mean(-2)
    across = right - left
    eyes = across.norm(dim=-1).clamp(min=1e-6)
    x = across / eyes[..., None]
    axes = torch.stack([x, torch.stack([-x[..., 1], x[..., 0]], -1)], -2)
    origin = (left + right) / 2
    drop = ((points[..., 33, :] - origin) * axes[..., 1, :]).sum(-1)
    unit = torch.maximum(eyes, (_FRONTAL_RATIO * drop).clamp(max=2 * eyes))
    return origin, axes, torch.stack([eyes, unit], -1)


def to_face(points: Tensor, frame: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Points (..., P, 2) of the picture -> the face's frame."""
    origin, axes, scale = frame
    return (points - origin[..., None, :]) @ axes.transpose(-1, -2) / scale[..., None, :]


def from_face(points: Tensor, frame: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """The way back from `to_face`."""
    origin, axes, scale = frame
    return (points * scale[..., None, :]) @ axes + origin[..., None, :]


def align_rigid(points: Tensor, reference: Tensor) -> Tensor:
    """Move each face by the similarity that fits its rigid points to the reference's best.

    Args:
        points: (T, 68, 2).
        reference: (68, 2).
    """
    own, goal = points[:, RIGID], reference[list(RIGID)]
    own_mean, goal_mean = own.mean(1, keepdim=True), goal.mean(0)
    a, b = own - own_mean, goal - goal_mean
    size = a.square().sum((1, 2)).clamp(min=1e-12)
    cosine = (a * b).sum((1, 2)) / size
    sine = (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).sum(1) / size
    turn = torch.stack([torch.stack([cosine, sine], -1), torch.stack([-sine, cosine], -1)], 1)  # row vectors
    return (points - own_mean) @ turn + goal_mean


def steady_face(points: Tensor, rounds: int = 3) -> Tensor:
    """A clip's points with position, roll and size of the head removed, in its mean face's frame.

    Args:
        points: (T, 68, 2) in any units.

    Returns:
        (T, 68, 2) in face units.
    """
    reference = points[0]
    for _ in range(rounds):
        aligned = align_rigid(points, reference)
        reference = aligned.mean(0)
    return to_face(aligned, face_frame(reference))


def opening(points: Tensor, top: int = 62, bottom: int = 66) -> Tensor:
    """Inner-lip opening (distance of points 62 and 66) of (..., 68, 2) or of moving points (..., 37, 2)."""
    if points.shape[-2] == len(MOVING):
        top, bottom = MOVING.index(top), MOVING.index(bottom)
    return (points[..., top, :] - points[..., bottom, :]).norm(dim=-1)


def close_mouth(face: Tensor, usual: Tensor) -> Tensor:
    """Estimate the neutral, closed mouth of a face that may be open-mouthed, smiling or showing teeth.

    The inner lips are brought together, most of the way by the lower lip; the outer lips follow so that
    the lips keep their thickness, and the chin rises. A mouth wider, or corners higher, than people's
    closed mouths usually are, is eased back towards the edge of what is usual.

    Args:
        face: (68, 2) in the face's frame.
        usual: (4,) of closed mouths: mean width, its spread, mean height of the corners above the closing
            line, its spread; face units.

    Returns:
        (68, 2) with only jaw and lips changed.
    """
    closed = face.clone()
    shift = torch.zeros(COUNT)
    for (upper, above), (lower, below) in zip(_UPPER, _LOWER, strict=True):
        gap = face[lower, 1] - face[upper, 1]
        for point in (upper, *above):
            shift[point] = _UPPER_SHARE * gap
        for point in (lower, *below):
            shift[point] = -(1 - _UPPER_SHARE) * gap
    for point, neighbour in _BESIDE:
        shift[point] = shift[neighbour] / 2
    weight = torch.sin(torch.linspace(0, torch.pi, len(JAW))) ** 2
    shift[list(JAW)] = _CHIN_SHARE * shift[66] * weight
    closed[:, 1] += shift

    lips, inner = list(LIPS), list(INNER_LIPS)
    middle = (closed[48, 0] + closed[54, 0]) / 2
    width = (closed[54, 0] - closed[48, 0]).clamp(min=1e-3)
    excess = (width - (usual[0] + usual[1])).clamp(min=0)
    closed[lips, 0] = middle + (closed[lips, 0] - middle) * (1 - _EASE * excess / width)
    line = closed[inner, 1][[1, 2, 3, 5, 6, 7]].mean()
    corners = line - (closed[48, 1] + closed[54, 1]) / 2
    lift = _EASE * (corners - (usual[2] + usual[3])).clamp(min=0)
    # The whole mouth keeps its bend: corners come down all the way, points towards the middle less.
    bend = ((closed[lips, 0] - middle).abs() / (width / 2)).clamp(max=1) ** 2
    closed[lips, 1] += lift * bend
    return closed
