"""One batch through warper and generator, for every training: flow of whole frames, windows of some painted."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..networks.blocks import cut_windows, resize, sample, warp
from ..networks.generator import mouth_masks


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
    mouth = generator.paint_mouth(spread.image, spread.points, points[painted], flow[painted].detach(), hints, light)
    grid = cut(resize(flow[painted].permute(0, 3, 1, 2), (size, size))).permute(0, 2, 3, 1)
    part = sample(spread.image, grid)
    mouth = None if mouth is None else cut(mouth)
    colours, shaded, blend = generator(features, tuple(map(cut, hints)), part, embedding, mouth)
    return Rendered(half, inner * (1 - shown), blend * shaded + (1 - blend) * colours, blend, corners, fraction)
