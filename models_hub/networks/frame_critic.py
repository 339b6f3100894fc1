"""Frame critics: is this frame real, given where its landmarks should be?

After MCNet's keypoint-conditioned discriminator (seed 01, section 9). `FrameCritic` sees region densities and has
one scale; the embedded weights are of this kind. `MultiScaleFrameCritic` sees Gaussians of the keypoints, as MCNet's
does, on a pyramid. Slim, with spectral norm in place of instance norm; our reconstructions.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .density import cell_centres
from .ibug68 import DENSITY_REGIONS
from .landmark_motion import KEYPOINTS, LandmarkMotion
from .patch_critic import PatchCritic

KEYPOINT_VARIANCE = 0.01
"""Of the Gaussians that mark keypoints, in squared crop units (MCNet)."""


class FrameCritic(PatchCritic):
    """Is this frame real, given where its landmarks should be?"""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__(3 + len(DENSITY_REGIONS), tuple(widths))

    def judge(self, frame: Tensor, density: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Scores of frames (B, 3, H, W) in 0..1 with density maps (B, 6, H, W)."""
        return self(torch.cat([frame * 2 - 1, density.to(frame.dtype)], dim=1))


class MultiScaleFrameCritic(nn.Module):
    """The same question, asked at several sizes of the frame, with the keypoints drawn as Gaussians.

    Args:
        widths: channels of the strided layers, the same at every scale.
        scales: how many sizes; each is half of the one before.
    """

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128), scales: int = 2) -> None:
        super().__init__()
        self.motion = LandmarkMotion()
        self.critics = nn.ModuleList(PatchCritic(3 + KEYPOINTS, tuple(widths)) for _ in range(scales))

    def gaussians(self, points: Tensor, size: tuple[int, int]) -> Tensor:
        """Marks (B, 15, h, w) of the keypoints of landmarks (B, 68, 2) in -1..1 of the frame."""
        keypoints = self.motion.membership @ points  # (B, K, 2)
        x = (cell_centres(size[1], points.device) - keypoints[..., :1]).square()  # (B, K, w)
        y = (cell_centres(size[0], points.device) - keypoints[..., 1:]).square()
        return torch.exp(-0.5 / KEYPOINT_VARIANCE * (y[..., :, None] + x[..., None, :]))

    def judge(self, frame: Tensor, points: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Scores of every scale, and the features of all layers of all scales.

        Args:
            frame: (B, 3, H, W) in 0..1.
            points: (B, 68, 2) in -1..1 of the frame.
        """
        scores, features = [], []
        for scale, critic in enumerate(self.critics):
            small = F.avg_pool2d(frame, 2**scale) if scale else frame
            marks = self.gaussians(points, tuple(small.shape[-2:])).to(small.dtype)
            score, seen = critic(torch.cat([small * 2 - 1, marks], dim=1))
            scores.append(score)
            features += seen
        return scores, features
