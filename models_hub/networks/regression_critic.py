"""ATVGnet's regression-based discriminator: a clip and example landmarks -> landmarks of every frame, real or made.

Every frame is read by strided convolutions, joined with the example landmarks of the same face, and followed through
time by an LSTM with two heads: landmarks as an offset from the example, and a score whose mean decides the clip. So a
mouth must not only look real, it must be where the landmarks are. The structure is the authors' (seed 02, section 8);
sizes are ours, slim (the original has 21 M parameters), and group norm stands in for batch norm.
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .ibug68 import COUNT

SIZE = 128
"""Pixels along each side that frames are looked at, as in the paper."""


class RegressionCritic(nn.Module):
    """Frame- and clip-level critic.

    Args:
        widths: channels of the strided convolutions.
        features: length of the vectors that stand for a frame and for the example.
        layers: of the LSTM.
    """

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 128), features: int = 128, layers: int = 1) -> None:
        super().__init__()
        blocks = [nn.Conv2d(3, widths[0], 3, 2, 1), nn.LeakyReLU(0.2)]
        for a, b in itertools.pairwise(widths):
            blocks += [nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.GroupNorm(4, b), nn.LeakyReLU(0.2)]
        self.frames = nn.Sequential(*blocks)
        cells = SIZE // 2 ** len(widths)
        self.project = nn.Linear(widths[-1] * cells * cells, features)
        self.example = nn.Sequential(nn.Linear(2 * COUNT, features), nn.ReLU(), nn.Linear(features, features))
        self.lstm = nn.LSTM(2 * features, features, layers, batch_first=True)
        self.regress = nn.Linear(features, 2 * COUNT)
        self.decide = nn.Linear(features, 1)

    def judge(self, frames: Tensor, example: Tensor) -> tuple[Tensor, Tensor]:
        """Landmarks and decision of clips.

        Args:
            frames: (B, T, 3, S, S) in 0..1, consecutive; brought to 128 x 128.
            example: (B, 68, 2) landmarks of the same face in some other frame, in -1..1.

        Returns:
            Landmarks (B, T, 68, 2) in -1..1, and one logit for each clip (B,), positive for real.
        """
        batch, length = frames.shape[:2]
        images = frames.flatten(0, 1)
        if images.shape[-2:] != (SIZE, SIZE):
            images = F.interpolate(images, size=(SIZE, SIZE), mode="area")
        seen = F.relu(self.project(self.frames(images * 2 - 1).flatten(1))).view(batch, length, -1)
        known = self.example(example.flatten(1))[:, None].expand(-1, length, -1)
        followed, _ = self.lstm(torch.cat([seen, known], dim=-1))  # (B, T, features)
        points = example[:, None] + torch.tanh(self.regress(followed)).view(batch, length, COUNT, 2)
        return points, self.decide(followed).mean((1, 2))
