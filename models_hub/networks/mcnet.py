"""MCNet's warper and decoder: source picture and keypoints -> frame (seed 01, sections 1 and 5).

Exactly the published network (Hong and Xu, ICCV 2023; checkpoints of num_kp 15 and a 512x32x32 bank), cut where
our stages are: `MCNetWarper` encodes, finds the flow, warps and compensates; `MCNetGenerator` decodes and blends.
Our own slim networks of this family are in warper.py and generator.py.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .blocks import conv_block, resize, sample
from .convolution import fetch
from .mcnet_blocks import DownBlock, PreactivatedBlock, UpBlock, thumbnail
from .mcnet_keypoints import Keypoints
from .mcnet_memory import PIECE, MCNetMemory
from .mcnet_motion import MCNetDenseMotion


@dataclass(frozen=True)
class EncodedPicture:
    """All that depends on the source picture alone."""

    image: Tensor  # (1, 3, S, S)
    thumbnail: Tensor  # (1, 3, S/4, S/4)
    features: tuple[Tensor, ...]  # fine to coarse: S, S/2, S/4, S/8


def enlarged(maps: Tensor, size: int) -> Tensor:
    """Maps (B, C, h, w) at (B, C, size, size); the outermost centres stay the outermost centres."""
    return resize(maps, (size, size), align_corners=True)


class MCNetWarper(nn.Module):
    """Encoder, dense motion, warping, and the memory at the three coarse scales.

    Args:
        width: channels at full size; every level down doubles them.
        keypoints: how many.
        motion_width, motion_depth, motion_limit: of the dense motion's hourglass.
        memory_width, memory_size: channels of the memory bank and cells along each of its sides.
    """

    full_precision = ("dense_motion",)  # an error of the flow moves the picture

    def __init__(
        self,
        width: int = 64,
        keypoints: int = 15,
        motion_width: int = 64,
        motion_depth: int = 5,
        motion_limit: int = 1024,
        memory_width: int = 512,
        memory_size: int = 32,
    ) -> None:
        super().__init__()
        self.keypoints = keypoints
        self.first = conv_block(3, width, 7, bias=True)
        self.down = nn.ModuleList(DownBlock(width << level, width << (level + 1)) for level in range(3))
        self.dense_motion = MCNetDenseMotion(keypoints, motion_width, motion_depth, motion_limit)
        self.memory = MCNetMemory((4 * width, 2 * width, width), memory_width, memory_size, keypoints)

    def encode(self, image: Tensor) -> EncodedPicture:
        """What of the source (1, 3, S, S) in 0..1 is needed for every frame; S is a multiple of 128."""
        features = [self.first(image.to(self.first[0].weight.dtype))]
        for down in self.down:
            features.append(down(features[-1]))
        return EncodedPicture(image, thumbnail(image), tuple(features))

    def flow(self, picture: EncodedPicture, source: Keypoints, driving: Keypoints) -> tuple[Tensor, Tensor]:
        """Flow (B, h, w, 2) and occlusion (B, 1, h, w) of B driven frames; `source` is of one picture."""
        count = len(driving)
        return self.dense_motion(picture.thumbnail.expand(count, -1, -1, -1), source.expand(count), driving)

    def compensate(
        self, picture: EncodedPicture, flow: Tensor, occlusion: Tensor, source: Keypoints, piece: int = PIECE
    ) -> tuple[Tensor, ...]:
        """Warped features of B frames, coarse to fine, the three coarse scales compensated by the memory.

        Args:
            picture: the source.
            flow, occlusion: as `flow` returns them.
            source: the source's keypoints.
            piece: places of the picture that attend to the memory at once.

        Returns:
            (B, C, s, s) for s = S/8, S/4, S/2, S.
        """
        warped = []
        for features in reversed(picture.features):
            size = features.shape[-1]
            grid = enlarged(flow.permute(0, 3, 1, 2), size).permute(0, 2, 3, 1)
            warped.append(fetch(features, grid, enlarged(occlusion, size)))
        halves = [maps.chunk(2, dim=1) for maps in warped[:-1]]
        found = self.memory([other for _, other in halves], source.values.expand(len(flow), -1, -1), piece)
        compensated = [torch.cat([same, new], dim=1) for (same, _), new in zip(halves, found, strict=True)]
        return (*compensated, warped[-1])

    def forward(
        self, picture: EncodedPicture, source: Keypoints, driving: Keypoints, piece: int = PIECE
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Flow, occlusion and compensated features of the driven frames."""
        flow, occlusion = self.flow(picture, source, driving)
        return flow, occlusion, self.compensate(picture, flow, occlusion, source, piece)


class MCNetGenerator(nn.Module):
    """Decoder: compensated features -> painted frame, blended with the warped source.

    Args:
        width: channels at full size, as in the warper.
    """

    winograd_in_half = ("blocks.1",)  # measured: 44 dB or more remain of a frame
    kernels_kept = ("blocks.0",)  # few cells each, so there the transform weighs most

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        channels = (8 * width, 8 * width, 4 * width)
        self.blocks = nn.ModuleList(
            nn.Sequential(PreactivatedBlock(count), PreactivatedBlock(count)) for count in channels
        )
        self.up = nn.ModuleList(
            UpBlock(count, half) for count, half in zip(channels, (4 * width, 2 * width, width), strict=True)
        )
        self.paint = nn.Conv2d(width, 3, 7, padding=3)

    def painted(self, features: tuple[Tensor, ...], occlusion: Tensor) -> Tensor:
        """What the decoder paints, (B, 3, S, S) in 0..1.

        Args:
            features: (B, C, s, s), coarse to fine, from the warper.
            occlusion: (B, 1, h, w).
        """
        coarse, *skips, full = features
        maps = coarse
        for level, (blocks, up) in enumerate(zip(self.blocks, self.up, strict=True)):
            maps = up(blocks(maps))
            if level < len(skips):
                maps = torch.cat([maps, skips[level]], dim=1)
        hidden = 1 - enlarged(occlusion, full.shape[-1])
        return self.paint(torch.addcmul(full, maps, hidden.to(maps.dtype))).float().sigmoid()

    def forward(
        self, features: tuple[Tensor, ...], image: Tensor, flow: Tensor, occlusion: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Paint frames and blend them with the warped source.

        Args:
            features, flow, occlusion: from the warper.
            image: (1, 3, S, S), the source.

        Returns:
            Frames (B, 3, S, S) in 0..1, painted (B, 3, S, S), blend (B, 1, S, S); 1 = warped source.
        """
        painted = self.painted(features, occlusion)
        size = image.shape[-1]
        blend = enlarged(occlusion, size)
        grid = enlarged(flow.permute(0, 3, 1, 2), size).permute(0, 2, 3, 1)
        moved = sample(image.expand(len(flow), -1, -1, -1), grid, "zeros", align_corners=True)
        return torch.lerp(painted, moved, blend), painted, blend
