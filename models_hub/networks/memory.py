"""Facial memory conditioned on the implicit identity (MCNet's IICM and MCM, slim).

A learned bank of facial cells is styled by the source (its pooled features and its keypoints: the
implicit identity) and then attended by the warped features of every scale, which take from it what
the warp could not bring. Keys and values depend on the source alone, so they are made once.
Our reconstruction of seed 01, section 6: vectors instead of a 32x32 map, one set for all scales.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import conv_block, join
from .landmark_motion import KEYPOINTS


class FacialMemory(nn.Module):
    """Bank, identity conditioning and one query per scale.

    Args:
        scales: channels of each feature scale that is compensated.
        identity: channels of the source feature that is pooled into the identity.
        cells: vectors in the bank.
        width: length of keys and values.
    """

    def __init__(self, scales: tuple[int, ...], identity: int, cells: int = 256, width: int = 64) -> None:
        super().__init__()
        self.bank = nn.Parameter(torch.randn(cells, width) * 0.1)
        self.style = nn.Sequential(
            nn.Linear(identity + 2 * KEYPOINTS, width), nn.ReLU(inplace=True), nn.Linear(width, 2 * width)
        )
        self.key_value = nn.Sequential(
            nn.Linear(width, 2 * width), nn.ReLU(inplace=True), nn.Linear(2 * width, 2 * width)
        )
        self.query = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in scales)
        self.merge = nn.ModuleList(conv_block(channels + width, channels) for channels in scales)

    def condition(self, identity: Tensor, keypoints: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of one source.

        Args:
            identity: (B, C, h, w) coarsest source features.
            keypoints: (B, K, 2) source keypoints.

        Returns:
            Keys and values, each (B, cells, width).
        """
        code = torch.cat([identity.mean((2, 3)), keypoints.flatten(1)], dim=1)
        scale, shift = self.style(code)[:, None].chunk(2, dim=-1)  # (B, 1, width)
        keys, values = self.key_value(self.bank * (1 + scale) + shift).chunk(2, dim=-1)
        return keys, values

    def forward(self, features: Tensor, keys: Tensor, values: Tensor, scale: int) -> Tensor:
        """Compensate the features of one scale; same shape (B, C, h, w) comes back."""
        batch, _, height, width = features.shape
        query = self.query[scale](features).flatten(2).transpose(1, 2)  # (B, h w, width)
        # As one head: torch has its fast kernels for four dimensions alone.
        heads = (part.to(query.dtype)[:, None] for part in (query, keys, values))
        found = F.scaled_dot_product_attention(*heads)[:, 0]
        found = found.transpose(1, 2).reshape(batch, -1, height, width)
        return self.merge[scale](join(features, found))
