"""Mouth painter: what lies between the lips, in a window that moves, turns and grows with the mouth.

No source with a closed mouth shows its teeth, and few people are in any footage: what tells how bright teeth and
hollow are is the light on this face. So the painter does not get the face but its colours, sorted by brightness
region by region (whites of the eyes, skin, lips, nostrils), beside the warped lips and the place within the mouth.
Our own; it plays the part of MCNet's facial memory there, conditioned on the source alone.
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import join, resize, sample
from .density import cell_centres
from .ibug68 import INNER_LIPS, LEFT_EYE, LIPS, OUTER_LIPS, RIGHT_EYE
from .inner_lips import inner_outline
from .landmark_motion import mouth_coordinates, polygon_area, polygon_mask

WIDE, HIGH = 1.28, 0.96
"""Sides of the window, in eye distances or widths of the mouth, whichever is more."""
COLUMNS, ROWS = 32, 24
"""Cells of the window that the network works on; it paints four pixels to a cell."""
CHEEKS = ((2, 3, 4, 48, 31, 39, 41), (14, 13, 12, 54, 35, 42, 46), (27, 21, 20, 19, 24, 23, 22))
CHIN = (5, 6, 7, 8, 9, 10, 11, 55, 57, 59)
ABOVE_LIPS = (48, 49, 50, 51, 52, 53, 54, 35, 33, 31)
NOSTRILS = (31, 32, 33, 34, 35, 52, 51, 50)
COLOUR_REGIONS = ((LEFT_EYE, RIGHT_EYE), CHEEKS, (CHIN,), (ABOVE_LIPS,), (OUTER_LIPS,), (NOSTRILS,))
"""Polygons of landmarks whose colours are looked at; the first region is the only one that is not skin."""
BRIGHTNESS = (0.0, 0.15, 0.4, 0.6, 0.85, 1.0)
"""Shares of a region's pixels, from the darkest, between which colours are averaged."""
COLOURS = len(COLOUR_REGIONS) * (len(BRIGHTNESS) - 1) + 3
"""Colours in the code of a face: of every region, and the darkest, the brightest and all of the whole picture."""
COLOUR_SIZE = 128
PLACES = 5  # maps of `place_maps`
SHAPE_POINTS = (*LIPS, 8, 30, 33, 27)
KEPT = 4.0  # a source's teeth are kept while its mouth grows to this many times its area (in training: to 1)
SHOWN_SIZE = 128  # cells along a side of the mask of the source's own inner mouth
SOFT = 1.5  # pixels of the window over which paint gives way to the lips


def face_colours(images: Tensor, points: Tensor) -> Tensor:
    """Colours of faces, region by region and from dark to bright.

    Args:
        images: (B, 3, S, S) in 0..1.
        points: (B, 68, 2) in -1..1.

    Returns:
        (B, COLOURS, 3) in 0..1.
    """
    small = F.interpolate(images.float(), size=(COLOUR_SIZE, COLOUR_SIZE), mode="area")
    regions = [
        torch.stack([polygon_mask(points[:, list(part)], COLOUR_SIZE) for part in parts]).amax(0)[:, 0] > 0.5
        for parts in COLOUR_REGIONS
    ]
    codes = []
    for index, image in enumerate(small):
        colours = []
        for region in regions:
            pixels = image[:, region[index]]  # (3, n)
            pixels = by_brightness(pixels if pixels.shape[1] >= len(BRIGHTNESS) else image.flatten(1))
            edges = [int(share * pixels.shape[1]) for share in BRIGHTNESS]
            colours += [pixels[:, low : max(low + 1, high)].mean(1) for low, high in itertools.pairwise(edges)]
        whole = by_brightness(image.flatten(1))
        few = whole.shape[1] // 20
        codes.append(torch.stack([*colours, whole[:, :few].mean(1), whole[:, -few:].mean(1), whole.mean(1)]))
    return torch.stack(codes)


def by_brightness(pixels: Tensor) -> Tensor:
    """Pixels (3, n), the darkest first."""
    return pixels[:, pixels.mean(0).argsort()]


class MouthWindow:
    """Where the windows of some mouths lie: centre between the inner lips, one axis along the eyes.

    Args:
        points: (B, 68, 2) in -1..1.
    """

    def __init__(self, points: Tensor) -> None:
        points = points.float()
        eyes = points[:, list(RIGHT_EYE)].mean(1) - points[:, list(LEFT_EYE)].mean(1)
        distance = eyes.norm(dim=-1, keepdim=True).clamp(min=1e-3)
        width = (points[:, 54] - points[:, 48]).norm(dim=-1, keepdim=True)  # a profile's eyes are close together
        scale = torch.maximum(distance, width) / 2
        along = eyes / distance
        down = torch.stack([-along[:, 1], along[:, 0]], dim=-1)
        self.axes = torch.stack([along * WIDE * scale, down * HIGH * scale], dim=-1)  # (B, 2, 2), columns
        turn = torch.stack([along, down], dim=-1)  # (B, 2, 2)
        inner = points[:, list(INNER_LIPS)] @ turn
        self.centre = torch.einsum("bij,bj->bi", turn, (inner.amin(1) + inner.amax(1)) / 2)  # (B, 2)

    def grid(self, rows: int, columns: int) -> Tensor:
        """Places of the window's pixels in the picture, (B, rows, columns, 2) in -1..1."""
        x, y = (cell_centres(count, self.centre.device) for count in (columns, rows))
        own = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
        return torch.einsum("bij,hwj->bhwi", self.axes, own) + self.centre[:, None, None]

    def to_window(self, places: Tensor) -> Tensor:
        """Places (B, n, 2) of the picture in -1..1 of the window."""
        # The axes are at right angles; of landmarks in one place they are 0, and so is everything in their window.
        return (places - self.centre[:, None]) @ self.axes / self.axes.square().sum(1, keepdim=True).clamp(min=1e-12)


def square(local: Tensor) -> Tensor:
    """Places in -1..1 of windows, in units that are the same along both sides."""
    return local * local.new_tensor([1.0, HIGH / WIDE])


def drawn(maps: Tensor) -> Tensor:
    """The rows of square maps (B, C, n, n) that lie in the window."""
    size = maps.shape[-1]
    rows = round(size * HIGH / WIDE)
    top = (size - rows) // 2
    return maps[:, :, top : top + rows]


def place_maps(local: Tensor, scale: int = 1, inner: Tensor | None = None) -> Tensor:
    """What the landmarks say of every cell: `mouth_coordinates`, inside of the inner lips, of the outer lips.

    Args:
        local: (B, 68, 2) in -1..1 of the window.
        scale: cells to one of the painter's, along each side.
        inner: (B, 1, scale ROWS, scale COLUMNS), the inside of the inner lips, where it is known already.

    Returns:
        (B, 5, scale ROWS, scale COLUMNS).
    """
    points, columns = square(local), scale * COLUMNS
    if inner is None:
        inner = inner_window(local, 1.0, scale)
    outer = drawn(polygon_mask(points[:, list(OUTER_LIPS)], columns))
    return torch.cat([drawn(mouth_coordinates(points, columns)), inner, outer], dim=1)


def shown_at(source_points: Tensor, driving_points: Tensor, there: Tensor) -> Tensor:
    """How much of the inner mouth the warped source can show, (B, 1, h, w) in 0..1.

    A slit that is stretched over a wide mouth counts only by the share of its area.

    Args:
        source_points, driving_points: (1 or B, 68, 2) and (B, 68, 2) in -1..1 of the same square.
        there: (B, h, w, 2), places of the source in -1..1 that are seen.
    """
    source, driving = (inner_outline(points.float()) for points in (source_points, driving_points))
    share = (polygon_area(source) / polygon_area(driving).clamp(min=1e-6)).clamp(max=1)[:, None, None, None]
    return share * sample(polygon_mask(source, SHOWN_SIZE).expand(len(there), -1, -1, -1), there)


def shape_code(local: Tensor) -> Tensor:
    """Lips, chin and nose as numbers, (B, 48)."""
    scale = local.new_tensor([1.0] * len(LIPS) + [0.5] * (len(SHAPE_POINTS) - len(LIPS)))
    return (local[:, list(SHAPE_POINTS)] * scale[:, None]).flatten(1)


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Convolution, group norm (windows are few and unlike: no batch statistics), SiLU."""
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1)
    return nn.Sequential(convolution, nn.GroupNorm(8, outputs), nn.SiLU(inplace=True))


def inner_window(local: Tensor, soft: float = SOFT, scale: int = 2) -> Tensor:
    """The inner mouth, fading towards the lips over `soft` pixels, (B, 1, scale ROWS, scale COLUMNS).

    Args:
        local: (B, 68, 2) in -1..1 of the window.
        soft: see above.
        scale: pixels to one of the painter's cells, along each side.
    """
    return drawn(polygon_mask(inner_outline(square(local)), scale * COLUMNS, soft))


class MouthPainter(nn.Module):
    """A small hourglass on the window of the mouth, told the light by `face_colours`.

    Args:
        width: channels of the finest level, a multiple of 8.
        code: length of what the colours and the shape are condensed to.
    """

    def __init__(self, width: int = 24, code: int = 64) -> None:
        super().__init__()
        self.width = width
        two, three = 2 * width, 3 * width
        numbers = 3 * COLOURS + 2 * len(SHAPE_POINTS)
        self.code = nn.Sequential(nn.Linear(numbers, code), nn.SiLU(), nn.Linear(code, code), nn.SiLU())
        self.fine = block(3 + 3 + PLACES, width)
        self.middle, self.coarse = block(width, two, 2), block(two, three, 2)
        self.merge_coarse = nn.Sequential(block(three + code, three), block(three, three))
        self.merge_middle, self.merge_fine = block(three + two, two), block(two + width + code, width)
        self.paint = nn.Conv2d(width, 16, 3, padding=1)

    def forward(self, warped: Tensor, own: Tensor, places: Tensor, colours: Tensor, shape: Tensor) -> Tensor:
        """Paint windows.

        Args:
            warped: (B, 3, ROWS, COLUMNS), the warped source in the window of the driving mouth, 0..1.
            own: (B, 3, ROWS, COLUMNS), the source in the window of its own mouth.
            places: (B, 5, ROWS, COLUMNS), from `place_maps`.
            colours: (B, COLOURS, 3), from `face_colours`.
            shape: (B, 48), from `shape_code`.

        Returns:
            (B, 4, 2 ROWS, 2 COLUMNS): colours in 0..1, and how much of what the source shows is kept, 0..1.
        """
        code = self.code(torch.cat([colours.flatten(1), shape], dim=1))[:, :, None, None]
        fine = self.fine(join(warped, own, places))
        middle = self.middle(fine)
        x = self.coarse(middle)
        x = self.merge_coarse(join(x, code.expand(-1, -1, *x.shape[2:])))
        x = self.merge_middle(join(resize(x, middle.shape[2:]), middle))
        x = join(resize(x, fine.shape[2:]), fine, code.expand(-1, -1, *fine.shape[2:]))
        return F.pixel_shuffle(self.paint(self.merge_fine(x)).float(), 2).sigmoid()

    def weighted(
        self, warped: Tensor, own: Tensor, local: Tensor, colours: Tensor, shown: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Paint windows, and say how much of the paint is used where.

        Args:
            warped, own: (B, 3, 2 ROWS, 2 COLUMNS), otherwise as of `forward`.
            local: (B, 68, 2) driving landmarks in -1..1 of the window.
            colours: (B, COLOURS, 3), from `face_colours`.
            shown: (B, 1, 2 ROWS, 2 COLUMNS), how much of the inner mouth the warped source can show.

        Returns:
            Colours (B, 3, 2 ROWS, 2 COLUMNS) and their weight (B, 1, 2 ROWS, 2 COLUMNS): 0 outside of the inner lips.
        """
        with torch.no_grad(), torch.autocast(local.device.type, enabled=False):
            warped, own = F.avg_pool2d(warped, 2), F.avg_pool2d(own, 2)
            inputs = warped, own, place_maps(local), colours, shape_code(local)
            inner = inner_window(local)
        painted, keep = self(*inputs).split((3, 1), dim=1)
        return without_grid(painted), inner * (1 - shown * keep)

    def windows(
        self,
        source: Tensor,
        source_points: Tensor,
        driving_points: Tensor,
        flow: Tensor,
        colours: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Paint the mouths of frames, in their windows.

        Args:
            source: (B, 3, S, S) in 0..1.
            source_points: (B, 68, 2) in -1..1; (1, 68, 2) of one source for all frames.
            driving_points: (B, 68, 2) in -1..1.
            flow: (B, h, w, 2) from driving to source.
            colours: (B, COLOURS, 3), `face_colours` of the sources.

        Returns:
            As of `weighted`.
        """
        with torch.no_grad(), torch.autocast(source.device.type, enabled=False):
            window = MouthWindow(driving_points)
            local, grid = window.to_window(driving_points.float()), window.grid(2 * ROWS, 2 * COLUMNS)
            there = sample(flow.permute(0, 3, 1, 2), grid).permute(0, 2, 3, 1)
            warped = sample(source, there)
            shown = (KEPT * shown_at(source_points, driving_points, there)).clamp(max=1)
            own = sample(source[: len(source_points)], MouthWindow(source_points).grid(2 * ROWS, 2 * COLUMNS))
            own = own.expand(len(source), -1, -1, -1)
        return self.weighted(warped, own, local, colours, shown)


def without_grid(painted: Tensor) -> Tensor:
    """Colours (B, 3, h, w) without what changes from pixel to pixel: the grid that pixel shuffling leaves.

    A binomial filter is blind to exactly that frequency (the cause: Odena et al., "Deconvolution and checkerboard
    artifacts", 2016).
    """
    kernel = painted.new_tensor([0.25, 0.5, 0.25])
    kernel = (kernel[:, None] * kernel).expand(painted.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(painted, (1, 1, 1, 1), mode="replicate"), kernel, groups=painted.shape[1])


def onto_frame(paint: Tensor, driving_points: Tensor, size: int) -> Tensor:
    """Painted windows put where the mouths are, (B, 4, size, size); 0 elsewhere.

    Args:
        paint: (B, 4, h, w), colours times their weight, and the weight, in 0..1. Windows finer than the painter's are
            brought down to its resolution, which is about that of the frames.
        driving_points: (B, 68, 2) in -1..1.
        size: pixels along each side of the frames.
    """
    paint = F.avg_pool2d(paint, 2) if paint.shape[-1] > 2 * COLUMNS else paint
    window, centres = MouthWindow(driving_points), cell_centres(size, paint.device)
    reach = window.axes.abs().sum(-1)  # (B, 2), x and y
    low, high = (window.centre - reach).amin(0), (window.centre + reach).amax(0)
    first = ((low + 1) / 2 * size).floor().int().clamp(0, size).tolist()
    last = ((high + 1) / 2 * size).ceil().int().clamp(0, size).tolist()
    frame = paint.new_zeros(len(paint), 4, size, size)
    if last[0] > first[0] and last[1] > first[1]:
        x, y = (centres[a:b] for a, b in zip(first, last, strict=True))
        places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
        local = window.to_window(places.flatten(0, 1).expand(len(paint), -1, -1))
        local = local.view(len(paint), *places.shape)
        colours, weight = sample(paint, local, "zeros", mode="bicubic").clamp(0, 1).split((3, 1), dim=1)
        # Cubic interpolation keeps teeth sharp and overshoots: no colour may be brighter than white.
        laid = torch.cat([colours.minimum(weight), weight], dim=1)
        frame[:, :, first[1] : last[1], first[0] : last[0]] = laid
    return frame
