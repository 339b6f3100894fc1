"""Memory-compensated warper: the source's features, moved to where the driving landmarks say.

MCNet's family (encoder, dense motion, warped features at every scale, facial memory), slim and
driven by landmarks. Our reconstruction: seed 01 and the trial; it loads none of MCNet's weights.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import conv_block, resize, unchanged, warp
from .dense_motion import DenseMotion
from .memory import FacialMemory


@dataclass(frozen=True)
class EncodedSource:
    """All that depends on the source alone; made once, used for every frame."""

    image: Tensor  # (B, 3, S, S)
    thumbnail: Tensor  # (B, 3, h, w), the image as small as the flow
    points: Tensor  # (B, 68, 2)
    features: tuple[Tensor, ...]  # fine to coarse: S/2, S/4, S/8
    keys: Tensor  # (B, cells, width)
    values: Tensor

    def repeat(self, times: int) -> "EncodedSource":
        """Every source `times` times in a row, for as many frames of each."""

        def spread(tensor: Tensor) -> Tensor:
            return tensor.repeat_interleave(times, 0) if len(tensor) > 1 else tensor.expand(times, *tensor.shape[1:])

        features = tuple(spread(level) for level in self.features)
        image, thumbnail, points = spread(self.image), spread(self.thumbnail), spread(self.points)
        return EncodedSource(image, thumbnail, points, features, spread(self.keys), spread(self.values))


class MemoryWarper(nn.Module):
    """Encoder, dense motion, warping, and memory compensation of the two coarsest scales.

    Args:
        channels: of the encoder's levels at half, quarter and eighth size.
        motion_widths: channels of the dense motion hourglass.
        motion_size: cells along each side of the flow.
        cells, width: size of the facial memory.
    """

    compensated = 2

    def __init__(
        self,
        channels: tuple[int, ...] = (32, 64, 128),
        motion_widths: tuple[int, ...] = (32, 64, 128, 128),
        motion_size: int = 64,
        cells: int = 256,
        width: int = 64,
    ) -> None:
        super().__init__()
        self.channels = tuple(channels)
        first, *rest = self.channels
        pairs = zip(self.channels, rest, strict=False)
        # Full size exists only as four pixels to a cell: the convolutions there would cost the most and add least.
        self.encoder = nn.ModuleList([conv_block(12, first), *(conv_block(a, b, stride=2) for a, b in pairs)])
        self.dense_motion = DenseMotion(motion_size, tuple(motion_widths))
        self.memory = FacialMemory(self.channels[: -self.compensated - 1 : -1], self.channels[-1], cells, width)

    def encode(self, image: Tensor, points: Tensor) -> EncodedSource:
        """What of the source is needed again for every frame.

        Args:
            image: (B, 3, S, S) in 0..1; S a multiple of 8.
            points: (B, 68, 2) in -1..1.
        """
        features, level = [], F.pixel_unshuffle(image, 2)
        for block in self.encoder:
            level = block(level)
            features.append(level)
        with torch.autocast(image.device.type, enabled=False):
            keypoints = self.dense_motion.motion.membership @ points
        keys, values = self.memory.condition(features[-1], keypoints)
        thumbnail = F.interpolate(image, size=self.dense_motion.size, mode="area")
        return EncodedSource(image, thumbnail, points, tuple(features), keys, values)

    def flow(self, source: EncodedSource, driving: Tensor, density: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Flow (B, h, w, 2) and occlusion (B, 1, h, w) towards driving landmarks (B, 68, 2)."""
        return self.dense_motion(source.thumbnail, source.points, driving, density)

    def compensate(
        self,
        source: EncodedSource,
        flow: Tensor,
        occlusion: Tensor,
        cut: Callable[[Tensor], Tensor] = unchanged,
    ) -> tuple[Tensor, ...]:
        """Warped features, coarse to fine, the two coarsest compensated by the memory.

        Args:
            source: of B frames (see `EncodedSource.repeat`).
            flow, occlusion: as `flow` returns them.
            cut: takes the wanted part out of maps (B, C, h, w) of any size; all of them by default.
        """
        warped = []
        for scale, features in enumerate(reversed(source.features)):
            trust = cut(resize(occlusion, features.shape[-2:]))
            moved = warp(features, flow, cut=cut) * trust.to(features.dtype)
            if scale < self.compensated:
                moved = self.memory(moved, source.keys, source.values, scale)
            warped.append(moved)
        return tuple(warped)

    def forward(
        self, source: EncodedSource, driving: Tensor, density: Tensor | None = None
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Flow, occlusion and compensated features for driving landmarks (B, 68, 2)."""
        flow, occlusion = self.flow(source, driving, density)
        return flow, occlusion, self.compensate(source, flow, occlusion)
