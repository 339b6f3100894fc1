"""The opening between the lips as a round outline.

Of the eight landmarks of the inner lips six lie side by side in the middle: straight lines from there to the corners
make a diamond of every open mouth, and cut off where teeth and hollow reach the corners. Our own; seen on the footage.
"""

import torch
from torch import Tensor

from .landmark_motion import LOWER_INNER, UPPER_INNER

STEPS = 2  # of the lips' curve, from point to point
BULGE = 0.28  # how far an ellipse lies outside of the line from its end to near its middle, in its height there


def curve(points: Tensor) -> Tensor:
    """A smooth curve through points (B, n, 2), `STEPS` of its own for each of theirs: (B, STEPS (n - 1) + 1, 2).

    Catmull and Rom, "A class of local interpolating splines", 1974.
    """
    a, b, c, d = torch.cat([points[:, :1], points, points[:, -1:]], dim=1).unfold(1, 4, 1)[:, :, None].unbind(-1)
    t = torch.linspace(0, 1, STEPS + 1, device=points.device)[:-1, None]  # (STEPS, 1)
    cubic = b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))  # (B, n - 1, STEPS, 2)
    return torch.cat([cubic.flatten(1, 2), points[:, -1:]], dim=1)


def inner_outline(points: Tensor) -> Tensor:
    """The outline of what lies between the lips: (B, 12 STEPS, 2), from corner to corner and back.

    A lip beyond the line of the corners bulges between corner and middle as an ellipse does; one on that line (the
    upper lip of a smile) does not, nor do lips that meet, however bent the line is where they do.

    Args:
        points: (B, 68, 2), units alike along both axes.
    """
    across = points[:, 64] - points[:, 60]
    across = across / across.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    up = torch.stack([across[:, 1], -across[:, 0]], dim=-1)  # (B, 2)
    gap = torch.einsum("bkj,bj->bk", points[:, [61, 63]] - points[:, [67, 65]], up).clamp(min=0)  # (B, 2)
    lips = []
    for lip, beyond in ((UPPER_INNER, up), (LOWER_INNER, -up)):
        knots = points[:, list(lip)]  # (B, 5, 2)
        ends, near = knots[:, [0, 4]], knots[:, [1, 3]]
        height = torch.einsum("bkj,bj->bk", near - ends, beyond).clamp(min=0).minimum(gap)
        first, last = ((ends + near) / 2 + BULGE * height[..., None] * beyond[:, None]).split(1, dim=1)
        lips.append(curve(torch.cat([knots[:, :1], first, knots[:, 1:4], last, knots[:, 4:]], dim=1)))
    return torch.cat([lips[0], lips[1][:, 1:-1].flip(1)], dim=1)
