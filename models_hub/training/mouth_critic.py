"""What makes painted mouths commit themselves to teeth and hollow, and how far they may.

A painter taught by L1 answers with the mean of all mouths that could be there: the right brightness, without teeth. A
critic brings them, and with them their errors, for nobody knows whose teeth they are. So the critic's painter starts
from a calm one and stays near the mean answer of several in all that is coarse, and in the end the weights of the first
and its own are mixed: network interpolation (Wang et al., "ESRGAN", 2018, section 3.4).
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..losses.adversarial import feature_matching_loss, hinge_critic_loss
from ..networks.mouth_painter import PLACES, inner_window, place_maps
from ..networks.patch_critic import PatchCritic

COARSE = 4.0  # deviation in pixels of the window above which the calm painters are believed


class MouthCritic(nn.Module):
    """Two patch critics of windows, one at half the size, told where the lips are."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchCritic(3 + PLACES, widths) for widths in ((48, 96, 192), (32, 64, 128)))

    def forward(self, frames: Tensor, local: Tensor) -> list[tuple[Tensor, list[Tensor]]]:
        """Scores and features of both sizes.

        Args:
            frames: (N, 3, h, w) windows in 0..1.
            local: (N, 68, 2) landmarks in -1..1 of them.
        """
        places = F.interpolate(place_maps(local), size=frames.shape[-2:], mode="bilinear", align_corners=False)
        seen = torch.cat([2 * frames - 1, places], dim=1)
        return [critic(F.avg_pool2d(seen, 2**level)) for level, critic in enumerate(self.scales)]

    def judge(self, made: Tensor, real: Tensor, local: Tensor) -> dict[str, Tensor]:
        """The painter's side, means over both sizes: "matching" of features and the "score" of made windows."""
        mine = self(made, local)
        with torch.no_grad():
            theirs = self(real, local)
        matching = [feature_matching_loss(a[1], b[1]) for a, b in zip(mine, theirs, strict=True)]
        scores = [score.mean() for score, _ in mine]
        return {"matching": torch.stack(matching).mean(), "score": torch.stack(scores).mean()}

    def loss(self, made: Tensor, real: Tensor, local: Tensor) -> Tensor:
        """What the critic minimises."""
        pairs = zip(self(real, local), self(made, local), strict=True)
        return torch.stack([hinge_critic_loss(theirs[0], mine[0]) for theirs, mine in pairs]).mean()


def coarse_distance(painted: Tensor, calm: Tensor, local: Tensor) -> Tensor:
    """L1 between two paints (N, 3, h, w) inside of the inner lips, both blurred there."""
    inner = inner_window(local)

    def blurred(maps: Tensor) -> Tensor:
        for dimension in (-1, -2):
            place = torch.arange(maps.shape[dimension], dtype=maps.dtype, device=maps.device)
            near = torch.exp(-0.5 * ((place[:, None] - place) / COARSE) ** 2)
            maps = (maps.transpose(dimension, -1) @ near).transpose(dimension, -1)
        return maps

    difference = blurred((painted - calm) * inner) / blurred(inner).clamp(min=1e-2)
    return mean_inside(difference.abs().mean(1, keepdim=True), inner)


def mean_inside(error: Tensor, inner: Tensor) -> Tensor:
    """Mean of maps (N, 1, h, w) inside of `inner` (N, 1, h, w), every window counting alike."""
    return ((error * inner).sum((1, 2, 3)) / inner.sum((1, 2, 3)).clamp(min=8)).mean()


def interpolate(calm: nn.Module, keen: nn.Module, share: float) -> nn.Module:
    """A network whose weights lie between those of two: `share` is how near it is to the keen one."""
    first, second = calm.state_dict(), keen.state_dict()
    made = copy.deepcopy(keen)
    made.load_state_dict({name: torch.lerp(value, second[name], share) for name, value in first.items()})
    return made
