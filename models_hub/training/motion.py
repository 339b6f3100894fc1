"""How predicted motion of jaw and lips is measured while training, and the basis that it is mixed from."""

import torch
from torch import Tensor

from ..networks.lip_shape import LIP_SLICE, MOVING
from .speech_data import Batch, Talk, chin_weights


def shape_basis(clips: list[Talk], shapes: int) -> Tensor:
    """Principal motions away from the closed mouth, (shapes, 37, 2), every person counting alike."""
    people: dict[str, list[Tensor]] = {}
    for clip in clips:
        people.setdefault(clip.person, []).append(clip.motion)
    weight = (chin_weights() + 0.01).sqrt().repeat_interleave(2)
    rows = [torch.cat(of_person).flatten(1) * weight / sum(map(len, of_person)) ** 0.5 for of_person in people.values()]
    _, size, axes = torch.linalg.svd(torch.cat(rows), full_matrices=False)
    spread = size[:shapes, None] / len(people) ** 0.5
    return (axes[:shapes] * spread / weight).view(shapes, len(MOVING), 2)


def motion_loss(predicted: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Distances of the moving points, as they are and with each crop's own mean removed, and of velocities.

    The second forgives what a sound cannot tell: whose lips they are.
    """
    weights, seen = chin_weights().to(predicted.device), batch.seen[..., None]
    count = seen.sum(1, keepdim=True).clamp(min=1)
    error = predicted - batch.motion  # (B, L, 37, 2)
    mean = (error * seen[..., None]).sum(1, keepdim=True) / count[..., None]
    total = (seen.sum() * weights.sum()).clamp(min=1)

    def distance(difference: Tensor, known: Tensor) -> Tensor:
        return ((difference.square().sum(-1) + 1e-6).sqrt() * weights * known).sum() / total

    both = seen[:, 1:] * seen[:, :-1]
    lips = error[..., LIP_SLICE, :]
    gap = lips[..., 18, 1] - lips[..., 14, 1]  # inner lower less inner upper lip
    gap = gap - (gap * batch.seen).sum(1, keepdim=True) / count[..., 0]
    return {
        "motion": distance(error - mean, seen),
        "shape": distance(error, seen),
        "speed": distance(error[:, 1:] - error[:, :-1], both),
        "gap": (gap.abs() * batch.seen).sum() / batch.seen.sum().clamp(min=1),
    }


def weigh(terms: dict[str, Tensor], pretraining: bool = False) -> Tensor:
    """The sum that is minimised."""
    factors = {"motion": 20.0, "shape": 5.0, "speed": 10.0, "gap": 5.0, "phones": 0.3, "sound": 0.3, "heard": 3.0}
    if pretraining:
        factors |= {"phones": 1.0, "sound": 1.0}
    return sum(factors[name] * term for name, term in terms.items())
