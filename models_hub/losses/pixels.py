"""Losses on colours: ATVGnet's dynamic pixel-wise loss."""

from torch import Tensor

FLOOR = 0.5
"""Weight of an error where the network paints nothing (ATVGnet's released code)."""


def dynamic_pixel_loss(made: Tensor, real: Tensor, attention: Tensor, floor: float = FLOOR) -> Tensor:
    """L_pix of ATVGnet: L1 weighed by where the network itself paints, mean(|made - real| (sg(a) + 0.5)).

    The attention is detached: the network cannot lower the loss by looking away. Source: seed 02, section 8, read
    in the authors' code; in our family the attention is one less the blend (1 = painted, 0 = warped source).

    Args:
        made, real: (B, 3, H, W) in 0..1.
        attention: (B, 1, H, W) in 0..1, 1 where the frame is painted.
        floor: weight where nothing is painted.
    """
    return ((made - real).abs() * (attention.detach() + floor)).mean()
