"""CPNet's CLIP attention condenser: features recalibrated by an attention that is worked out on a smaller map.

Condense (2 x 2 maximum), embed (1x1, shift and scale by a CLIP image embedding, 3x3 depthwise), expand, and gate:
F' = F + s F A. The learned s starts at 0, so the module starts as the identity, bit for bit, and can be put into a
trained network. Without an embedding of CLIP it predicts one from the features themselves (distilled, trained with
`losses.clip.clip_distillation`), so CLIP is not needed at inference. Our reconstruction: of the paper only the
abstract could be read (seed 03, sections 3 and 6).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EMBEDDING = 512
"""Length of CLIP ViT-B/32's image embedding; other towers have 768 or 1024."""


class AttentionCondenser(nn.Module):
    """Gate of features, guided by CLIP.

    Args:
        channels: of the features.
        reduction: how many times fewer channels the attention is worked out in.
        embedding: length of CLIP's image embedding.
    """

    def __init__(self, channels: int, reduction: int = 4, embedding: int = EMBEDDING) -> None:
        super().__init__()
        inner = max(4, channels // reduction)
        self.enter = nn.Conv2d(channels, inner, 1)
        self.guide = nn.Linear(embedding, 2 * inner)
        self.look = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.leave = nn.Conv2d(inner, channels, 1)
        self.predict = nn.Linear(channels, embedding)
        self.strength = nn.Parameter(torch.zeros(()))

    def embedding(self, features: Tensor) -> Tensor:
        """What CLIP would say, predicted from features (B, C, h, w): (B, E) of unit length."""
        return F.normalize(self.predict(features.float().mean((2, 3))), dim=-1)

    def forward(self, features: Tensor, embedding: Tensor | None = None) -> Tensor:
        """Recalibrated features of the same shape.

        Args:
            features: (B, C, h, w).
            embedding: (B, E) or (1, E) of CLIP; predicted from the features where it is absent.
        """
        known = self.embedding(features) if embedding is None else F.normalize(embedding, dim=-1)
        scale, shift = self.guide(known.to(features.dtype)).expand(len(features), -1)[..., None, None].chunk(2, dim=1)
        small = F.max_pool2d(features, 2) if min(features.shape[-2:]) > 1 else features
        inner = F.relu(self.enter(small)) * (1 + scale) + shift
        attention = self.leave(F.relu(self.look(inner)))
        attention = F.interpolate(attention, size=features.shape[-2:], mode="nearest").sigmoid()
        return features + self.strength.to(features.dtype) * features * attention
