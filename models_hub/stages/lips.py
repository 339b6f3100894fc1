"""Lips that open: the network's flow straightened across them, at the frame's full resolution.

A lip is two or three cells high in the network's flow. Where closed lips part, one line of the source becomes two, and
the flow passes from one to the other across the opening and the lip below it: the inside of the lip is a narrow band of
the source, drawn out two- or threefold. But how a lip moves is known: as a whole. So walking over it from its outer to
its inner edge, steps through the source that are too short are lengthened, at most until the inner edge comes from the
source's inner edge. Skin is left alone, and so are lips that the source shows about as far apart. Our own.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..networks.blocks import sample
from ..networks.density import cell_centres, cell_grid
from ..networks.ibug68 import OUTER_LIPS
from ..networks.landmark_motion import LOWER_INNER, UPPER_INNER
from ..networks.mouth_painter import MouthWindow

UPPER_OUTER, LOWER_OUTER = (48, 49, 50, 51, 52, 53, 54), (48, 59, 58, 57, 56, 55, 54)  # outer lips from left to right
LIPS = ((LOWER_INNER, LOWER_OUTER, UPPER_INNER, 1.0), (UPPER_INNER, UPPER_OUTER, LOWER_INNER, -1.0))
"""Of each lip: inner and outer edge, inner edge of the other lip; 1 for the lower lip, -1 for the upper."""
ROWS, COLUMNS = 64, 48  # of the mouth's window; the walk is down and up its columns
LEAST_STEP = 0.85  # through the source, for a step over the lip: shorter ones are lengthened to this
MARGIN = 0.2  # of the source's lip, at its inner edge, that is not gone into: closed lips meet in a dark line
EDGE = 0.3  # share of the lip, from its outer edge, over which that sets in
CORNERS = 0.12  # of the mouth's width, over which that sets in from either corner
OPEN, CLOSED = 0.6, 0.3
"""Opening of the source, as a share of the frame's, at which lips are left alone and at which they are straightened."""
NOISE = 0.01  # of landmarks, in -1..1, added to both openings: lips that stay closed do not part


@dataclass(frozen=True)
class Lips:
    """By how much the lips of some frames are moved beyond the flow, on one device.

    Attributes:
        rows, columns: the part of the frame that holds all mouths.
        shift: (n, 2, h, w), in -1..1 of the source; exactly 0 where nothing changes.
    """

    rows: slice
    columns: slice
    shift: Tensor

    def change(self, image: Tensor, source: Tensor, flow: Tensor) -> Tensor:
        """What the shift changes in warped sources, (n, 3, h, w): to be added to that part of them.

        Args:
            image: (n, 3, S, S) in 0..1, the warped sources.
            source: (n, 3, S, S) in 0..1.
            flow: (n, h, w, 2), by which they were warped.
        """
        grid = _pixels(self.rows, self.columns, image.shape[-1], image.device).expand(len(flow), -1, -1, -1)
        places = sample(flow.permute(0, 3, 1, 2), grid) + self.shift
        moved = sample(source, places.permute(0, 2, 3, 1), mode="bicubic").clamp_(0, 1)
        return (moved - image[:, :, self.rows, self.columns]) * (self.shift != 0).any(1, keepdim=True)

    def move(self, motion: Tensor, matrix: Tensor) -> None:
        """Add the lips' own displacement to (n, 2, S, S) in pixels of a picture, in place.

        Args:
            motion: from where each pixel comes, less its place.
            matrix: (2, 2), -1..1 of the frame to pixels of the picture.
        """
        motion[:, :, self.rows, self.columns] += torch.einsum("ij,njhw->nihw", matrix.to(self.shift), self.shift)

    def cpu(self) -> "Lips":
        """The same on the CPU."""
        return Lips(self.rows, self.columns, self.shift.cpu())


def parting(source: Tensor, driving: Tensor) -> Tensor:
    """How much lips part that the source shows closed, (n,) in 0..1.

    Args:
        source: (68, 2) in -1..1.
        driving: (n, 68, 2) in -1..1.
    """

    def opening(points: Tensor) -> Tensor:
        upper, lower = (points[:, list(lip[1:-1])].mean(1) for lip in (UPPER_INNER, LOWER_INNER))
        return (upper - lower).norm(dim=-1)

    share = (opening(source[None]) + NOISE) / (opening(driving) + NOISE)
    return ((OPEN - share) / (OPEN - CLOSED)).clamp(0, 1)


def lips(source: Tensor, driving: Tensor, flow: Tensor, size: int) -> Lips | None:
    """What straightens the lips of frames whose mouth opens; None where no frame's does.

    Args:
        source: (68, 2) landmarks of the source in -1..1.
        driving: (n, 68, 2) landmarks of the frames in -1..1.
        flow: (n, h, w, 2) from the frames to the source, in -1..1.
        size: pixels along each side of the frames.
    """
    parted = parting(source, driving)
    if not parted.any():
        return None
    window, own = MouthWindow(driving), MouthWindow(source[None])
    points, known = window.to_window(driving), own.to_window(source[None])
    places = _places(flow, window, own)
    x = cell_centres(COLUMNS, flow.device).expand(len(driving), -1)
    left, right = points[:, 60, :1], points[:, 64, :1]
    along = (x - left) / (right - left).clamp(min=1e-3)
    aside = (torch.minimum(along, 1 - along) / CORNERS).clamp(0, 1)  # (n, COLUMNS)
    share = parted[:, None] * aside * aside * (3 - 2 * aside)
    down = sum(_straightened(places, x, share, points, known, *lip) for lip in LIPS)  # (n, ROWS, COLUMNS)
    low, high = driving[:, list(OUTER_LIPS)].flatten(0, 1).aminmax(dim=0)
    first = ((low + 1) / 2 * size - 1).floor().int().clamp(0, size).tolist()
    last = ((high + 1) / 2 * size + 1).ceil().int().clamp(0, size).tolist()
    columns, rows = (slice(low, max(low, high)) for low, high in zip(first, last, strict=True))
    grid = _pixels(rows, columns, size, flow.device)
    local = window.to_window(grid.flatten(0, 1).expand(len(driving), -1, -1)).view(len(driving), *grid.shape)
    return Lips(rows, columns, sample(down[:, None], local, "zeros") * own.axes[0, :, 1, None, None])


def _places(flow: Tensor, window: MouthWindow, own: MouthWindow) -> Tensor:
    """Where a mouth's window comes from, (n, 2, ROWS, COLUMNS) in the source's own window.

    Not the flow but the displacement is interpolated, as when a picture is moved: cubic interpolation bends a ramp.
    """
    still = cell_grid(flow.shape[1], flow.device)
    grid = window.grid(ROWS, COLUMNS)
    there = grid + sample((flow - still).permute(0, 3, 1, 2), grid, mode="bicubic").permute(0, 2, 3, 1)
    return own.to_window(there.flatten(1, 2)).view(there.shape).permute(0, 3, 1, 2)


def _straightened(
    places: Tensor,
    x: Tensor,
    share: Tensor,
    points: Tensor,
    known: Tensor,
    inner: tuple[int, ...],
    outer: tuple[int, ...],
    other: tuple[int, ...],
    sign: float,
) -> Tensor:
    """By how much one lip's places are moved down in the source's window, (n, ROWS, COLUMNS).

    Args:
        places: from `_places`.
        x: (n, COLUMNS), places along the window.
        share: (n, COLUMNS), how much of it is done.
        points: (n, 68, 2) driving landmarks in -1..1 of their windows.
        known: (1, 68, 2) landmarks of the source in its own.
        inner, outer, other, sign: of `LIPS`.
    """
    y = cell_centres(ROWS, x.device)[:, None]
    begin, end, opposite = (_height(points, edge, x) for edge in (inner, outer, other))  # (n, COLUMNS)
    depth = sign * (y - begin[:, None])  # (n, ROWS, COLUMNS), below the inner edge
    across = depth / (sign * (end - begin)).clamp(min=1e-3)[:, None]  # 0 at the inner edge, 1 at the outer
    step = 2 / ROWS
    (steps,) = torch.gradient(places[:, 1], spacing=step, dim=1)
    missing = step * (LEAST_STEP - steps).clamp(min=0) * ((1 - across) / EDGE).clamp(0, 1) * (across >= 0)
    shift = missing.flip(1).cumsum(1).flip(1) if sign > 0 else missing.cumsum(1)  # from the outer edge on
    edge = sample(places, torch.stack([x, begin], dim=-1)[:, :, None])[..., 0]  # (n, 2, COLUMNS)
    top, bottom = (_height(known.expand(len(points), -1, -1), line, edge[:, 0]) for line in (inner, outer))
    room = sign * (edge[:, 1] - top - MARGIN * (bottom - top))
    share = share * (room / shift.amax(1).clamp(min=1e-4)).clamp(0, 1)  # never beyond the source's inner edge
    inside = (1 + depth / (sign * (begin - opposite)).clamp(min=1e-3)[:, None]).clamp(0, 1)  # 0 at the other lip
    return -sign * shift * share[:, None] * inside


def _height(points: Tensor, edge: tuple[int, ...], x: Tensor) -> Tensor:
    """Heights (n, COLUMNS) of a lip's edge, the line through points of (n, 68, 2), at places x (n, COLUMNS)."""
    knots = points[:, list(edge)]
    height = knots[:, :1, 1].expand_as(x)
    for a, b in zip(knots[:, :-1].unbind(1), knots[:, 1:].unbind(1), strict=True):
        part = ((x - a[:, :1]) / (b[:, :1] - a[:, :1]).clamp(min=1e-3)).clamp(0, 1)
        height = height + part * (b[:, 1:] - a[:, 1:])
    return height


def _pixels(rows: slice, columns: slice, size: int, device: torch.device) -> Tensor:
    """Centres (h, w, 2) in -1..1 of a part of a frame of `size` pixels a side."""
    return cell_grid(size, device)[rows, columns]
