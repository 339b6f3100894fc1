"""Sparse region motions -> dense flow and occlusion (MCNet's dense motion network, slim, landmark way).

The network sees, for every keypoint, the difference of its Gaussians and the source warped by its
own motion, the source where it stands (MCNet's background motion, which is none), and the density maps
of both landmark sets (CPNet). It chooses among the motions by a softmax and adds a bounded residual.
Our reconstruction; seed 01, section 4, is its model.
"""

import torch
from torch import Tensor, nn

from .blocks import Hourglass, join, sample
from .density import cell_grid, density_maps
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
        grid = cell_grid(size)
        places = torch.cat([grid.view(-1, 2), torch.ones(size * size, 1)], dim=1)
        self.register_buffer("places", places.T.contiguous(), persistent=False)  # (3, cells): x, y, 1

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
            maps, marks = self.sparse_motions(source_points, driving_points)
            images = thumbnail[:, None].expand(-1, MOTIONS, -1, -1, -1).flatten(0, 1)
            places = (maps.view(-1, 3) @ self.places).view(-1, 2, size, size).permute(0, 2, 3, 1)
            deformed = sample(images, places).view(-1, 3 * MOTIONS, size, size)
            if driving_density is None:
                driving_density = density_maps(driving_points, size)
            source_density = density_maps(source_points, size)
        seen = join(marks, deformed, source_density, driving_density)
        heads = self.heads(self.hourglass(seen)).float()
        choice = heads[:, :MOTIONS].softmax(dim=1).flatten(2)  # (B, K + 1, cells)
        residual = heads[:, MOTIONS : MOTIONS + 2].tanh()
        with torch.autocast(thumbnail.device.type, enabled=False):
            # Mixing the maps is mixing the places that they lead to, with far less to compute.
            mixed = (maps.flatten(2).transpose(1, 2) @ choice).unflatten(1, (2, 3)) * self.places  # (B, 2, 3, cells)
            flow = mixed.sum(2).view(-1, 2, size, size) + RESIDUAL_BOUND * residual
        return flow.permute(0, 2, 3, 1), heads[:, MOTIONS + 2 :].sigmoid()

    def sparse_motions(self, source_points: Tensor, driving_points: Tensor) -> tuple[Tensor, Tensor]:
        """Every keypoint's own motion, the background's, and the keypoints' marks.

        Returns:
            Affine maps (B, K + 1, 2, 3) from places (x, y, 1) of the driven frame to places of the source, the last
            of which changes nothing; differences of Gaussians (B, K, size, size).
        """
        source_value, driving_value, jacobian = self.motion(source_points, driving_points)
        shift = source_value - (jacobian @ driving_value[..., None])[..., 0]  # (B, K, 2)
        maps = torch.cat([jacobian, shift[..., None]], dim=-1)
        stay = torch.eye(2, 3, device=maps.device).expand(len(maps), 1, 2, 3)
        marks = self._gaussians(driving_value) - self._gaussians(source_value)
        return torch.cat([maps, stay], dim=1), marks

    def _gaussians(self, keypoints: Tensor) -> Tensor:
        """Gaussians of height one around keypoints (B, K, 2), (B, K, size, size); a product of both axes' own."""
        centres = self.places[0, : self.size]
        near = torch.exp(-0.5 / KEYPOINT_VARIANCE * (centres - keypoints[..., None]).square())  # (B, K, 2, size)
        return near[:, :, 1, :, None] * near[:, :, 0, None, :]
