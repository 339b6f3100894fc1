"""Eyelids that close: a short flow of its own, at the frame's full resolution.

An eye is some ten pixels high in a crop of 256, and two cells in the network's flow, which leaves it open whatever the
landmarks do. But how a lid closes is known: its edge comes down onto the lower lid, the skin between it and the brow
follows, and the eye is covered, not squeezed. So where driving landmarks close an eye that the source shows open, the
made frame is moved that way. Our own; an eye that is closed in the source stays closed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..networks.blocks import sample
from ..networks.density import cell_grid

EYES = (
    ((36, 39), (37, 38), (41, 40), (17, 18, 19, 20, 21)),
    ((45, 42), (44, 43), (46, 47), (26, 25, 24, 23, 22)),
)
"""Of each eye: outer and inner corner, upper lid, lower lid, brow; from outside to inside."""
OPEN, CLOSED = 0.8, 0.2
"""Opening, as a share of the source's, at which a lid begins to move and at which it is shut: landmarks are noisy."""
LEAST_OPENING = 0.08  # of the eye's width; a source eye below is closed, or too narrow to tell
BEYOND = 0.15  # of the eye's height, by which the upper lid comes over the lower: no white is left below it
CORNERS = 0.1  # of the eye's width, by which lids reach beyond the landmarks of its corners
SKIN = 0.75  # of the way from the upper lid to the brow follows it
EDGE = 1.5  # pixels over which a lid gives way to the eye
STEEPEST = 2.6  # least share of the skin's stretch that its middle is left with: beyond, it would fold


@dataclass(frozen=True)
class Eyelids:
    """Lids over some frames of a chunk, on the CPU.

    Attributes:
        which: (m,) long, the frames that have a lid to move.
        places: (m, S, S, 2), where the lids' pixels come from, in -1..1 of the frame.
        cover: (m, 1, S, S), how much of a pixel is lid.
    """

    which: Tensor
    places: Tensor
    cover: Tensor

    def over(self, maps: Tensor) -> Tensor:
        """Maps (n, C, S, S) of the chunk with the lids moved; frames without a lid to move are what they were."""
        chosen = maps[self.which]
        made = maps.clone()
        made[self.which] = torch.lerp(chosen, sample(chosen, self.places), self.cover)
        return made

    def move(self, motion: Tensor, matrix: Tensor) -> Tensor:
        """Displacements (n, 2, S, S) in pixels of a picture, the lids' own added.

        Args:
            motion: from where each pixel comes, less its place.
            matrix: (2, 2), -1..1 of the frame to pixels of the picture.
        """
        grid = cell_grid(motion.shape[-1])
        made = self.over(motion)
        made[self.which] += ((self.places - grid) @ matrix.T).movedim(-1, 1) * self.cover
        return made


def closing(source: Tensor, driving: Tensor) -> Tensor:
    """How far each eye is to be closed, (n, 2) in 0..1.

    Args:
        source: (68, 2) in -1..1.
        driving: (n, 68, 2) in -1..1.
    """
    shut = []
    for corners, upper, lower, _ in EYES:

        def opening(points: Tensor, corners=corners, upper=upper, lower=lower) -> Tensor:
            width = (points[:, corners[0]] - points[:, corners[1]]).norm(dim=-1).clamp(min=1e-4)
            return (points[:, list(upper)] - points[:, list(lower)]).norm(dim=-1).mean(1) / width

        before, now = opening(source[None]), opening(driving)
        share = ((OPEN - now / before.clamp(min=1e-4)) / (OPEN - CLOSED)).clamp(0, 1)
        shut.append(share * (before > LEAST_OPENING))
    return torch.stack(shut, dim=1)


def eyelids(source: Tensor, driving: Tensor, size: int) -> Eyelids | None:
    """Lids over the frames that close an eye; None where no frame does.

    Args:
        source: (68, 2) landmarks of the source in -1..1.
        driving: (n, 68, 2) landmarks of the frames in -1..1.
        size: pixels along each side of the frames.
    """
    source, driving = source.float(), driving.float()
    shut = closing(source, driving)
    which = torch.nonzero(shut.amax(1) > 0)[:, 0]
    if not len(which):
        return None
    grid = cell_grid(size, driving.device)  # (S, S, 2)
    places, cover = grid.expand(len(which), -1, -1, -1), grid.new_zeros(len(which), 1, size, size)
    for eye, parts in enumerate(EYES):
        moved, covered = _lid(source, driving[which], shut[which, eye], parts, grid)
        places, cover = places + moved, torch.maximum(cover, covered[:, None])
    return Eyelids(which, places, cover)


def _lid(source: Tensor, points: Tensor, shut: Tensor, parts: tuple, grid: Tensor) -> tuple[Tensor, Tensor]:
    """By how much the pixels of an upper lid are moved (m, S, S, 2), and how much of each is lid (m, S, S)."""
    corners, upper, lower, brow = parts
    start, along, up, width = _frame(points, corners, brow)
    offset = grid - start[:, None, None]  # (m, S, S, 2)
    u = (offset * along[:, None, None]).sum(-1) / width[:, None, None]
    v = (offset * up[:, None, None]).sum(-1) / width[:, None, None]
    # The network leaves the eye as open as the source's: that contour is what closes.
    top, bottom = (_contour(source[None], corners, brow, list(lid))(u) for lid in (upper, lower))  # (m, S, S)
    height = ((points[:, list(brow)] - start[:, None]) * up[:, None]).sum(-1).mean(1) / width
    shut = shut[:, None, None]
    edge = top - shut * (1 + BEYOND) * (top - bottom)
    skin = top + (SKIN * (height[:, None, None] - top)).clamp(min=0.12)  # up to here it follows
    stretch = (skin - edge) / (skin - top)
    origin = top + _stretched((v - edge) / (skin - edge), stretch) * (skin - top)
    soft = EDGE * 2 / grid.shape[0] / width[:, None, None]
    cover = (0.5 + (v - edge) / soft).clamp(0, 1) * ((u > 0) & (u < 1) & (v < skin) & (shut > 0))
    return ((origin - v) * (cover > 0))[..., None] * (up * width[:, None])[:, None, None], cover


def _frame(points: Tensor, corners: tuple[int, int], brow: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """An eye's own frame: where it begins outside (m, 2), unit vectors along and up (m, 2), width (m,)."""
    start, end = points[:, corners[0]], points[:, corners[1]]
    beyond = CORNERS * (end - start)
    start, end = start - beyond, end + beyond
    width = (end - start).norm(dim=-1).clamp(min=1e-3)
    along = (end - start) / width[:, None]
    up = torch.stack([along[:, 1], -along[:, 0]], dim=-1)
    to_brow = ((points[:, list(brow)].mean(1) - start) * up).sum(-1, keepdim=True)
    return start, along, torch.where(to_brow < 0, -up, up), width


def _contour(points: Tensor, corners: tuple[int, int], brow: tuple[int, ...], lid: list[int]):
    """Height of a lid over the line through the corners, a function of the place along it; in eye widths."""
    start, along, up, width = _frame(points, corners, brow)
    offset = (points[:, lid] - start[:, None]) / width[:, None, None]  # (1, 2, 2)
    u = (offset * along[:, None]).sum(-1)[0].clamp(0.1, 0.9)
    v = (offset * up[:, None]).sum(-1)[0]
    # u (1 - u) (a + b u) is 0 at both corners and passes through both points.
    first, second = v / (u * (1 - u))
    slope = (second - first) / (u[1] - u[0]).clamp(min=0.1)
    level = first - slope * u[0]

    def height(place: Tensor) -> Tensor:
        place = place.clamp(0, 1)
        return place * (1 - place) * (level + slope * place)

    return height


def _stretched(share: Tensor, stretch: Tensor) -> Tensor:
    """0..1 to 0..1: as stiff at both ends as if nothing were stretched, so that lashes and crease keep their width."""
    t, r = share.clamp(0, 1), stretch.clamp(1 / STEEPEST, STEEPEST)
    return r * (t**3 - 2 * t**2 + t) + (3 * t**2 - 2 * t**3) + r * (t**3 - t**2)
