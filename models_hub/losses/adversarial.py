"""What critics and the generator want from each other's scores."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..networks.ibug68 import COUNT, LIPS


def least_squares_critic_loss(real: Tensor, made: Tensor) -> Tensor:
    """L_D of MCNet: least squares, scores of real frames towards 1, of made ones towards 0."""
    return (real - 1).square().mean() + made.square().mean()


def least_squares_generator_loss(made: Tensor) -> Tensor:
    """L_G of MCNet: scores of made frames towards 1."""
    return (made - 1).square().mean()


def hinge_critic_loss(real: Tensor, made: Tensor) -> Tensor:
    """Hinge form that our embedded critics were trained with: real above 1, made below -1."""
    return F.relu(1 - real).mean() + F.relu(1 + made).mean()


def feature_matching_loss(made: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """L_FM of MCNet: L1 between a critic's features of made and (detached) real frames, summed over layers."""
    return sum((ours - theirs.detach()).abs().mean() for ours, theirs in zip(made, real, strict=True))


def clip_decision_loss(logits: Tensor, real: bool) -> Tensor:
    """L_gan of ATVGnet: binary cross-entropy of the clip's decision (B,) against real or made."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def landmark_regression_loss(regressed: Tensor, points: Tensor, mouth: float = 10.0) -> Tensor:
    """L_lmark of ATVGnet: mean square error of the critic's landmarks, heights of the mouth's points counting most.

    Both sides are multiplied by the mask before the square (seed 02, section 8), so `mouth` acts squared. The authors
    use 100, an effective 10,000; 10 keeps the other points in play.

    Args:
        regressed, points: (..., 68, 2) in -1..1.
        mouth: factor on y of points 48 to 67.
    """
    mask = torch.ones(COUNT, 2, device=points.device, dtype=points.dtype)
    mask[list(LIPS), 1] = mouth
    return ((regressed - points) * mask).square().mean()
