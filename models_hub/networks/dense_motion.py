"""Sparse region motions -> dense flow and occlusion (MCNet's dense motion network, slim, landmark way).

The network sees, for every keypoint, the difference of its Gaussians and the source warped by its
own motion, the source where it stands (MCNet's background motion, which is none), and the density maps
of both landmark sets (CPNet). It chooses among the motions by a softmax and adds a bounded residual.
Our reconstruction; seed 01, section 4, is its model.
"""

import torch
from torch import Tensor, nn

from .blocks import Hourglass, sample
from .density import cell_centres, density_maps
from .ibug68 import DENSITY_REGIONS
from .landmark_motion import KEYPOINTS, LandmarkMotion

KEYPOINT_VARIANCE = 0.02  # of the Gaussians that mark keypoints, in squared crop units
RESIDUAL_BOUND = 0.2  # largest correction of the flow, in crop units
MOTIONS = KEYPOINTS + 1  # of all keypoints, and the background's


class DenseMotion(nn.Module):
    """Where in the source each place of the driven frame comes from, and whether it can be trusted.

    Args:
        size: cells along each side of the flow.
        widths: channels of the hourglass, fine to coarse.
    """

    def __init__(self, size: int = 64, widths: tuple[int, ...] = (32, 64, 128, 128)) -> None:
        super().__init__()
        self.size = size
        self.motion = LandmarkMotion()
        self.hourglass = Hourglass(KEYPOINTS + 3 * MOTIONS + 2 * len(DENSITY_REGIONS), widths)
        self.heads = nn.Conv2d(self.hourglass.outputs, MOTIONS + 3, 5, padding=2)
        with torch.no_grad():  # at the start the analytic motion alone carries the picture
            self.heads.weight[MOTIONS : MOTIONS + 2].zero_()
            self.heads.bias[MOTIONS : MOTIONS + 2].zero_()
        centres = cell_centres(size)
        grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1)
        self.register_buffer("grid", grid, persistent=False)  # (h, w, 2)

    def forward(
        self, thumbnail: Tensor, source_points: Tensor, driving_points: Tensor, driving_density: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Flow and occlusion of each driven frame.

        Args:
            thumbnail: (B, 3, size, size), the source made small.
            source_points, driving_points: (B, 68, 2) in -1..1.
            driving_density: (B, 6, size, size) maps of the driving points; drawn here if absent.

        Returns:
            Flow (B, size, size, 2) in -1..1 of the source, occlusion (B, 1, size, size) in 0..1.
        """
        size = self.size
        # Coordinates need float32 even where the convolutions run in half precision.
        with torch.autocast(thumbnail.device.type, enabled=False):
            motions, marks = self.sparse_motions(source_points, driving_points)
            images = thumbnail[:, None].expand(-1, MOTIONS, -1, -1, -1).flatten(0, 1)
            deformed = sample(images, motions.flatten(0, 1)).view(-1, 3 * MOTIONS, size, size)
            if driving_density is None:
                driving_density = density_maps(driving_points, size)
            source_density = density_maps(source_points, size)
        seen = torch.cat([marks, deformed, source_density, driving_density], dim=1)
        heads = self.heads(self.hourglass(seen)).float()
        choice = heads[:, :MOTIONS].softmax(dim=1)
        residual = heads[:, MOTIONS : MOTIONS + 2].tanh().permute(0, 2, 3, 1)
        flow = (choice[..., None] * motions).sum(1) + RESIDUAL_BOUND * residual
        return flow, heads[:, MOTIONS + 2 :].sigmoid()

    def sparse_motions(self, source_points: Tensor, driving_points: Tensor) -> tuple[Tensor, Tensor]:
        """Every keypoint's own motion and the background's (B, K + 1, h, w, 2), the keypoints' marks (B, K, h, w)."""
        source_value, driving_value, jacobian = self.motion(source_points, driving_points)
        offset = self.grid - driving_value[:, :, None, None]  # (B, K, h, w, 2)
        motions = torch.einsum("bkij,bkhwj->bkhwi", jacobian, offset) + source_value[:, :, None, None]
        motions = torch.cat([motions, self.grid.expand(len(motions), 1, -1, -1, -1)], dim=1)
        back = self.grid - source_value[:, :, None, None]
        marks = [torch.exp(-0.5 / KEYPOINT_VARIANCE * place.square().sum(-1)) for place in (offset, back)]
        return motions, marks[0] - marks[1]
