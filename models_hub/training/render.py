"""One batch through warper and generator, for every training: flow of whole frames, windows of some painted."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..networks.blocks import cut_windows, resize, sample, warp
from ..networks.generator import mouth_masks
from ..networks.ibug68 import LIPS
from ..networks.mouth_painter import onto_frame

WINDOW = 0.375  # side of the decoded window, as a fraction of the crop
CELL = 1 / 32  # windows start at whole cells of the coarsest features


@dataclass(frozen=True)
class Rendered:
    """Sources driven to other frames: flow of all frames, painted windows of some.

    Attributes:
        half: (N, 3, S/2, S/2) warped sources at half size.
        hidden: (N, 1, S/2, S/2) inner mouths that the sources never showed.
        made, blend: (P, 3, w, w) and (P, 1, w, w), blended windows of the painted frames.
        corners: (P, 2) top and left of the windows as fractions.
        fraction: side of the windows as a fraction of the frame.
    """

    half: Tensor
    hidden: Tensor
    made: Tensor
    blend: Tensor
    corners: Tensor
    fraction: float

    def cut(self, maps: Tensor) -> Tensor:
        """The windows out of maps (P, C, h, w) of the painted frames."""
        return cut_windows(maps, self.corners, self.fraction)


def render(
    networks: nn.ModuleDict | dict[str, nn.Module],
    source: Tensor,
    source_points: Tensor,
    points: Tensor,
    painted: Tensor,
    corners: Tensor,
    fraction: float,
    embedding: Tensor | None = None,
) -> Rendered:
    """Drive sources to landmarks.

    Args:
        networks: "warper" and "generator".
        source, source_points: (B, 3, S, S) in 0..1 and (B, 68, 2).
        points: (B * n, 68, 2) driving landmarks, n in a row for each source.
        painted: (P,) which of the driven frames are painted, the same number of each source in a row.
        corners: (P, 2) top and left of their windows, as fractions on whole cells.
        fraction: side of the windows.
        embedding: of CLIP, for condensers.
    """
    warper, generator = networks["warper"], networks["generator"]
    driven, each, size = len(points) // len(source), len(painted) // len(source), source.shape[-1]

    def cut(x: Tensor) -> Tensor:
        return cut_windows(x, corners, fraction)

    encoded = warper.encode(source, source_points)
    flow, occlusion = warper.flow(encoded.repeat(driven), points)
    half = warp(F.avg_pool2d(source, 2).repeat_interleave(driven, 0), flow)
    with torch.no_grad():
        inner, shown = mouth_masks(source_points.repeat_interleave(driven, 0), points, flow, size // 2)
    spread = encoded.repeat(each)
    features = warper.compensate(spread, flow[painted], occlusion[painted], cut)
    with torch.no_grad():
        hints = generator.hints(spread.points, points[painted], flow[painted], size)
        light = generator.light(source, source_points)
        light = None if light is None else light.repeat_interleave(each, 0)
    mouth = generator.paint_mouth(spread.image, spread.points, points[painted], flow[painted].detach(), light)
    grid = cut(resize(flow[painted].permute(0, 3, 1, 2), (size, size))).permute(0, 2, 3, 1)
    part = sample(spread.image, grid)
    mouth = None if mouth is None else cut(onto_frame(mouth, points[painted], size))
    colours, shaded, blend = generator(features, tuple(map(cut, hints)), part, embedding, mouth)
    return Rendered(half, inner * (1 - shown), blend * shaded + (1 - blend) * colours, blend, corners, fraction)


def window_corners(points: Tensor, generator: torch.Generator) -> Tensor:
    """Where the decoded windows lie, (B, 2) top and left as fractions: mostly around the mouth."""
    centre = (points[:, list(LIPS)].mean(1).flip(-1) + 1) / 2  # (B, 2) y, x in 0..1
    anywhere = torch.rand(len(points), 2, generator=generator)
    near_mouth = centre + 0.05 * torch.randn(len(points), 2, generator=generator)
    chosen = torch.where(torch.rand(len(points), 1, generator=generator) < 0.85, near_mouth, anywhere)
    corners = (chosen - WINDOW / 2).clamp(0, 1 - WINDOW)
    return (corners / CELL).round() * CELL


def paste(rendered: Rendered, made: Tensor, real: Tensor) -> Tensor:
    """Whole frames: the real ones with the made windows in their place."""
    size, side, whole = real.shape[-1], made.shape[-1], []
    for window, frame, (top, left) in zip(made, real, rendered.corners.tolist(), strict=True):
        y, x = round(top * size), round(left * size)
        around = (x, size - side - x, y, size - side - y)
        mask = F.pad(torch.ones_like(window[:1]), around)
        whole.append(F.pad(window, around) + frame * (1 - mask))
    return torch.stack(whole)
