"""CALS's sync losses, taken from a trained, frozen critic."""

from torch import Tensor
from torch.nn import functional as F

from ..networks.sync_critic import SyncCritic


def audio_visual_sync_loss(critic: SyncCritic, mel: Tensor, lips: Tensor) -> Tensor:
    """d_av of CALS: mean of -log of the cosine between sound and (generated) lips.

    Our reconstruction without access to the method's text (seed 04, section 6).

    Args:
        critic: trained and frozen.
        mel: (B, 20, mels) natural log mel power of 0.2 s.
        lips: (B, 5, 32, 64) in 0..1, from `networks.sync_critic.lower_faces`.
    """
    return -critic(mel, lips).clamp(min=1e-7).log().mean()


def visual_sync_loss(critic: SyncCritic, made: Tensor, real: Tensor, other: Tensor, margin: float = 0.2) -> Tensor:
    """d_vv of CALS, discriminative: generated lips nearer to the real lips of that time than to those of another.

    A triplet with a margin in cosine; the paper's exact form is unknown to us. The margin is never more than the real
    lips keep themselves, so windows that equal the real ones cost nothing and have no gradient, however alike the
    two times are.

    Args:
        critic: trained and frozen.
        made, real: (B, 5, 32, 64) generated and real windows of the same time.
        other: (B, 5, 32, 64) real windows of the same clip, at least 3 frames away.
        margin: by how much nearer.
    """
    theirs, others = critic.see(real).detach(), critic.see(other).detach()
    ours = critic.see(made)
    kept = (theirs * (theirs - others)).sum(-1)  # what the real lips themselves reach, 0 to 1
    reached = (ours * (theirs - others)).sum(-1)
    return F.relu(kept.clamp(max=margin) - reached).mean()
