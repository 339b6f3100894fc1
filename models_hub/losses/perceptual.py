"""Perceptual loss: VGG-19 where its weights are, features of our own encoder and gradients where they are not."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

SCALES = (1, 2, 4, 8)
"""The pyramid of MCNet: full size, half, quarter, eighth."""

Features = Callable[[Tensor], Sequence[Tensor]]
"""Frames (B, 3, H, W) in 0..1 -> feature maps, shallow to deep."""


def perceptual_loss(made: Tensor, real: Tensor, features: Features, scales: Sequence[int] = SCALES) -> Tensor:
    """L_P of MCNet: L1 of a frozen network's features on a pyramid, summed over slices and scales.

    MCNet takes relu1_1 .. relu5_1 of VGG-19 (seed 01, section 9): `networks.vgg19.Vgg19` gives these. Any frozen
    network can stand in for it; the fit takes the embedded warper's encoder when there are no VGG weights.

    Args:
        made, real: (B, 3, H, W) in 0..1.
        features: of a frozen network.
        scales: divisors of the size; those that leave fewer than 32 pixels are left out.
    """
    total = made.new_zeros(())
    for scale in scales:
        if min(made.shape[-2:]) // scale < 32:
            continue
        small = [F.avg_pool2d(frames, scale) if scale > 1 else frames for frames in (made, real)]
        with torch.no_grad():
            wanted = features(small[1])
        for ours, theirs in zip(features(small[0]), wanted, strict=True):
            total = total + (ours - theirs).abs().mean()
    return total


def gradient_loss(made: Tensor, real: Tensor, scales: Sequence[int] = SCALES) -> Tensor:
    """Sharpness without a network: L1 between the gradients of both frames on a pyramid. Ours, not of a paper.

    Args:
        made, real: (B, 3, H, W) in 0..1.
        scales: divisors of the size.
    """
    total = made.new_zeros(())
    for scale in scales:
        error = made - real
        if min(error.shape[-2:]) // scale < 2:
            continue
        error = F.avg_pool2d(error, scale) if scale > 1 else error
        total = total + error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return total
