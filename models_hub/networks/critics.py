"""Critics that are trained beside the generator.

FrameCritic: patches of a frame, conditioned on the driving landmarks' density maps (MCNet's
keypoint-conditioned discriminator, seed 01 section 9, with region densities in place of its
Gaussians and spectral norm). DifferenceCritic: the cross-frame difference, after the inner-frame
discriminator of the clothes-transfer paper (seed 05 section 5). Both are our reconstructions.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from .ibug68 import DENSITY_REGIONS


class PatchCritic(nn.Module):
    """Strided 4x4 convolutions with spectral norm; one score per patch.

    Args:
        inputs: channels.
        widths: channels of the strided layers.
    """

    def __init__(self, inputs: int, widths: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__()
        pairs = zip((inputs, *widths), widths, strict=False)
        self.layers = nn.ModuleList(spectral_norm(nn.Conv2d(a, b, 4, 2, 1)) for a, b in pairs)
        self.score = spectral_norm(nn.Conv2d(widths[-1], 1, 3, 1, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Patch scores (B, 1, h, w) and the features of every layer, for feature matching."""
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.score(x), features


class FrameCritic(PatchCritic):
    """Is this frame real, given where its landmarks should be?"""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__(3 + len(DENSITY_REGIONS), tuple(widths))

    def judge(self, frame: Tensor, density: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Scores of frames (B, 3, H, W) in 0..1 with density maps (B, 6, H, W)."""
        return self(torch.cat([frame * 2 - 1, density.to(frame.dtype)], dim=1))


class DifferenceCritic(PatchCritic):
    """Is this how a face changes from one frame to the next?"""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__(3 + len(DENSITY_REGIONS), tuple(widths))

    def judge(self, first: Tensor, second: Tensor, density_change: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Scores of the change between frames (B, 3, H, W); equal frames give exactly zero input.

        Args:
            first, second: neighbouring frames in 0..1.
            density_change: (B, 6, H, W), density of the second less that of the first.
        """
        difference = (4 * (second - first)).clamp(-1, 1)
        return self(torch.cat([difference, density_change.to(difference.dtype)], dim=1))
