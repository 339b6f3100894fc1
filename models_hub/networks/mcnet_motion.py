"""MCNet's dense motion: keypoints of source and driving frame -> flow and occlusion (seed 01, section 4).

Exactly the published network. Our own slim one is in dense_motion.py.
"""

import torch
from torch import Tensor, nn

from .blocks import sample
from .mcnet_blocks import PooledHourglass, corner_grid
from .mcnet_keypoints import Keypoints

VARIANCE = 0.01
"""Of the Gaussians that mark the keypoints, in squared units of -1..1."""


class MCNetDenseMotion(nn.Module):
    """Chooses at every place among the motions of the keypoints and of the background.

    Args:
        keypoints: how many.
        width, depth, limit: of the hourglass.
    """

    def __init__(self, keypoints: int = 15, width: int = 64, depth: int = 5, limit: int = 1024) -> None:
        super().__init__()
        self.motions = keypoints + 1
        self.hourglass = PooledHourglass(4 * self.motions, width, depth, limit)
        self.heads = nn.Conv2d(self.hourglass.outputs, self.motions + 1, 7, padding=3)  # choice, occlusion

    def forward(self, thumbnail: Tensor, source: Keypoints, driving: Keypoints) -> tuple[Tensor, Tensor]:
        """Flow and occlusion of each driven frame.

        Args:
            thumbnail: (B, 3, h, w), the source at a quarter of its size.
            source, driving: keypoints of B pictures each.

        Returns:
            Flow (B, h, w, 2) in -1..1 of the source (the centres of the outermost pixels), occlusion (B, 1, h, w)
            in 0..1.
        """
        batch, _, height, width = thumbnail.shape
        grid = corner_grid(height, width, thumbnail)  # (h, w, 2)
        motions = self.sparse_motions(grid, source, driving)
        marks = torch.zeros(batch, self.motions, height, width, dtype=thumbnail.dtype, device=thumbnail.device)
        marks[:, 1:] = gaussians(grid, driving.values) - gaussians(grid, source.values)
        images = thumbnail[:, None].expand(-1, self.motions, -1, -1, -1).flatten(0, 1)
        # The published network samples here with the older meaning of -1 and 1; its weights know nothing else.
        deformed = sample(images, motions.flatten(0, 1), "zeros").unflatten(0, (batch, self.motions))
        seen = torch.cat([marks[:, :, None], deformed], dim=2).flatten(1, 2)  # (B, 4 (K + 1), h, w)
        heads = self.heads(self.hourglass(seen.to(self.heads.weight.dtype))).float()
        choice = heads[:, :-1].softmax(dim=1)
        return torch.einsum("bkhw,bkhwc->bhwc", choice, motions), heads[:, -1:].sigmoid()

    def sparse_motions(self, grid: Tensor, source: Keypoints, driving: Keypoints) -> Tensor:
        """The background's motion, which is none, and every keypoint's: (B, K + 1, h, w, 2)."""
        affine = source.jacobians @ inverse(driving.jacobians)  # (B, K, 2, 2)
        offset = grid - driving.values[:, :, None, None]
        moved = torch.einsum("bkij,bkhwj->bkhwi", affine, offset) + source.values[:, :, None, None]
        return torch.cat([grid.expand(len(moved), 1, -1, -1, -1), moved], dim=1)


def gaussians(grid: Tensor, centres: Tensor) -> Tensor:
    """Gaussians at centres (B, K, 2) on a grid (h, w, 2), each 1 at its centre: (B, K, h, w)."""
    return torch.exp((grid - centres[:, :, None, None]).square().sum(-1) * (-0.5 / VARIANCE))


def inverse(matrices: Tensor) -> Tensor:
    """Inverse of 2x2 matrices (..., 2, 2); infinite where there is none."""
    (a, b), (c, d) = (row.unbind(-1) for row in matrices.unbind(-2))
    adjugate = torch.stack([torch.stack([d, -b], dim=-1), torch.stack([-c, a], dim=-1)], dim=-2)
    return adjugate / (a * d - b * c)[..., None, None]
