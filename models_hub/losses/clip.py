"""Knowledge of CLIP for the attention condenser (CPNet)."""

from torch import Tensor
from torch.nn import functional as F


def clip_distillation(predicted: Tensor, embedding: Tensor) -> Tensor:
    """L_clip of CPNet: 1 - cos between the embedding that a condenser predicts and CLIP's own, 0 where they agree.

    Trained with it, the condenser needs no CLIP at inference. Our reconstruction (seed 03, section 6).

    Args:
        predicted: (B, E) from the condenser.
        embedding: (B, E) or (1, E) image embedding of CLIP; taken as given.
    """
    return 1 - F.cosine_similarity(predicted, embedding.detach().expand_as(predicted), dim=-1).mean()
