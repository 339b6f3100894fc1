"""Picture of a face -> probability map of each landmark -> its expected value.

A small U-shaped network in the manner of heat-map face alignment (Bulat and Tzimiropoulos, "How far are
we from solving the 2D & 3D face alignment problem?", ICCV 2017), trained as a distribution over cells
with the expected value as its answer (Nibali et al., "Numerical coordinate regression with convolutional
neural networks", 2018). It doubles as the probability-map estimator of CPNet (seed 03, section 5; our
reconstruction, the paper's text was not available): everything is differentiable in the picture, so the
frozen network can supervise generated frames.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import STEADY_MOMENTUM, ResidualBlock, conv_block
from .density import cell_centres
from .ibug68 import COUNT


def _convolution(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return conv_block(inputs, outputs, kernel, stride, STEADY_MOMENTUM)


def _residual(channels: int) -> ResidualBlock:
    return ResidualBlock(channels, STEADY_MOMENTUM)


class LandmarkEstimator(nn.Module):
    """68 probability maps of an upright, roughly centred face crop.

    Args:
        widths: channels at strides 2, 4, 8 and 16 of the working picture; coarse levels carry the shape of
            the face, fine ones the place of an edge.
        depth: residual blocks at each of the three coarser levels on the way down.
        head: channels of the finest level on the way up.
        working: pixels along each side that the network looks at; other sizes are resampled.
    """

    def __init__(
        self,
        widths: Sequence[int] = (16, 32, 64, 128),
        depth: int = 2,
        head: int = 32,
        working: int = 128,
    ):
        super().__init__()
        self.working = working
        fine, *coarser = widths
        self.stem = _convolution(3, fine, stride=2)
        levels = zip([fine, *coarser[:-1]], coarser, strict=True)
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(a, b, stride=2), *(_residual(b) for _ in range(depth))) for a, b in levels
        )
        skips = [head, *coarser[:-1]]  # channels on the way up, fine first
        self.lateral = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip([fine, *coarser[:-1]], skips, strict=True))
        self.reduce = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip([*coarser], skips, strict=True))
        self.up = nn.ModuleList([_convolution(head, head), *(_residual(channels) for channels in coarser[:-1])])
        self.maps = nn.Conv2d(head, COUNT, 1)

    def logits(self, crop: Tensor) -> Tensor:
        """Unnormalised log-probabilities.

        Args:
            crop: (B, 3, S, S) in 0..1.

        Returns:
            (B, 68, working / 2, working / 2).
        """
        features = self.stem(self._resample(crop) * 4 - 2)
        pyramid = []
        for level in self.down:
            pyramid.append(features)
            features = level(features)
        for index in range(len(pyramid) - 1, -1, -1):
            features = F.interpolate(self.reduce[index](features), scale_factor=2.0, mode="nearest")
            features = self.up[index](features + self.lateral[index](pyramid[index]))
        with torch.autocast(features.device.type, enabled=False):
            return self.maps(features.float())  # half precision would round places to tenths of a cell

    def forward(self, crop: Tensor) -> Tensor:
        """Probability maps.

        Args:
            crop: (B, 3, S, S) in 0..1.

        Returns:
            (B, 68, 64, 64), each map summing to one; summed by region they are CPNet's density maps.
        """
        logits = self.logits(crop)
        return torch.softmax(logits.flatten(2), dim=-1).view_as(logits)

    @staticmethod
    def points(maps: Tensor) -> Tensor:
        """Expected place of each landmark.

        Args:
            maps: (B, 68, h, w) probabilities.

        Returns:
            (B, 68, 2) x, y in crop units.
        """
        x = maps.sum(dim=-2) @ cell_centres(maps.shape[-1], maps.device).to(maps.dtype)
        y = maps.sum(dim=-1) @ cell_centres(maps.shape[-2], maps.device).to(maps.dtype)
        return torch.stack([x, y], dim=-1)

    @staticmethod
    def spread(maps: Tensor) -> Tensor:
        """How unsure the network is: standard deviation of its maps, mean over the landmarks.

        Trained maps are Gaussians of 1.5 cells, so a clear face has about 2.1 (both directions together); a picture
        without a face spreads much wider.

        Args:
            maps: (B, 68, h, w) probabilities.

        Returns:
            (B,) in cells.
        """
        variance = torch.zeros_like(maps[:, :, 0, 0])
        for dimension in (-2, -1):
            profile = maps.sum(dim=dimension)  # (B, 68, w or h)
            places = torch.arange(profile.shape[-1], device=maps.device, dtype=maps.dtype)
            mean = profile @ places
            variance = variance + (profile * (places - mean[..., None]).square()).sum(dim=-1)
        return variance.sqrt().mean(dim=1)

    def _resample(self, crop: Tensor) -> Tensor:
        size = crop.shape[-1]
        if size == self.working:
            return crop
        if size % self.working == 0:
            return F.avg_pool2d(crop, size // self.working)
        return F.interpolate(crop, (self.working, self.working), mode="bilinear", antialias=True)
