"""Difference critic: is this how a face changes from one frame to the next?

After the inner-frame discriminator of the clothes-transfer paper, whose input is the cross-frame difference (seed 05,
section 5; that one sentence is all that is known, the rest is our reconstruction).
"""

import torch
from torch import Tensor

from .ibug68 import DENSITY_REGIONS
from .patch_critic import PatchCritic


class DifferenceCritic(PatchCritic):
    """Is this how a face changes from one frame to the next?"""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__(3 + len(DENSITY_REGIONS), tuple(widths))

    @staticmethod
    def difference(first: Tensor, second: Tensor) -> Tensor:
        """What it looks at: the amplified change (B, 3, H, W) in -1..1, exactly zero for equal frames."""
        return (4 * (second - first)).clamp(-1, 1)

    def judge(self, first: Tensor, second: Tensor, density_change: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Scores of the change between frames (B, 3, H, W); equal frames give exactly zero input.

        Args:
            first, second: neighbouring frames in 0..1.
            density_change: (B, 6, H, W), density of the second less that of the first.
        """
        difference = self.difference(first, second)
        return self(torch.cat([difference, density_change.to(difference.dtype)], dim=1))
