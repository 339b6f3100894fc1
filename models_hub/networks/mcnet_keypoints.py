"""MCNet's keypoint detector: picture -> keypoints with their local affine frames (seed 01, section 3).

Exactly the published network; converted checkpoints give the authors' numbers.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .mcnet_blocks import PooledHourglass, corner_grid, thumbnail

TEMPERATURE = 0.1
"""The heat maps' logits are divided by this before the softmax."""


@dataclass(frozen=True)
class Keypoints:
    """Learned keypoints of B pictures."""

    values: Tensor  # (B, K, 2) in -1..1, x and y; -1 and 1 are the centres of the outermost pixels
    jacobians: Tensor  # (B, K, 2, 2) local affine frame around each

    def __len__(self) -> int:
        return len(self.values)

    def part(self, start: int, stop: int) -> "Keypoints":
        """The keypoints of pictures start..stop."""
        return Keypoints(self.values[start:stop], self.jacobians[start:stop])

    def expand(self, count: int) -> "Keypoints":
        """The keypoints of one picture, for `count` frames."""
        return Keypoints(self.values.expand(count, -1, -1), self.jacobians.expand(count, -1, -1, -1))

    def to(self, place: torch.device | str) -> "Keypoints":
        """The same on another device."""
        return Keypoints(self.values.to(place), self.jacobians.to(place))


class MCNetKeypointDetector(nn.Module):
    """Hourglass on a quarter-size picture; the expected place of every heat map.

    It runs as it is, in float32 with its batch norms: the flow depends on its last digits.

    Args:
        keypoints: how many.
        width, depth, limit: of the hourglass.
    """

    def __init__(self, keypoints: int = 15, width: int = 32, depth: int = 5, limit: int = 1024) -> None:
        super().__init__()
        self.keypoints = keypoints
        self.hourglass = PooledHourglass(3, width, depth, limit)
        self.heads = nn.Conv2d(self.hourglass.outputs, 5 * keypoints, 7)  # K heat maps, then four numbers for each
        with torch.no_grad():
            self.heads.weight[keypoints:].zero_()
            self.heads.bias[keypoints:] = torch.tensor([1.0, 0.0, 0.0, 1.0]).repeat(keypoints)

    def forward(self, image: Tensor) -> Keypoints:
        """Keypoints of pictures (B, 3, S, S) in 0..1; S is a multiple of 128 (the published weights: 256)."""
        if len(image) > 1 and image.device.type == "cpu" and not torch.is_grad_enabled():
            each = [self(picture) for picture in image.split(1)]  # the same digits whatever the batch
            return Keypoints(
                *(torch.cat(parts) for parts in zip(*((k.values, k.jacobians) for k in each), strict=True))
            )
        features = self.hourglass(thumbnail(image).to(self.heads.weight.dtype))
        heads = self.heads(features).float()  # (B, 5 K, h, w); no padding, so six cells smaller than the thumbnail
        height, width = heads.shape[-2:]
        heads = heads.flatten(2)
        heat = (heads[:, : self.keypoints] / TEMPERATURE).softmax(dim=2)  # (B, K, h w)
        # Sums of products, not matrix products: over thousands of cells these add pairwise and so more precisely,
        # and where a keypoint's frame is nearly flat its inverse makes the flow a hundred times as sensitive.
        grid = corner_grid(height, width, heat).flatten(0, 1)
        values = (heat[..., None] * grid).sum(2)
        frames = heads[:, self.keypoints :].unflatten(1, (self.keypoints, 4))  # (B, K, 4, h w)
        jacobians = (heat[:, :, None] * frames).sum(3).unflatten(-1, (2, 2))
        return Keypoints(values, jacobians)
