"""Does the sound belong to these lips? CALS's discriminative sync critic (our reconstruction).

Two small towers meet in one space: 0.2 s of log mel, and the lower half of the face in the five video
frames of the same time (seed 04, sections 2 and 6; the layer list and the sizes are ours). Vectors are
rectified and of unit length, so that their cosine lies in 0..1 and can be read as a probability.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .audio_to_lip import UNIT
from .lip_shape import face_frame

FRAMES = 5  # video frames that the lip tower sees at once, 0.2 s
HEIGHT, WIDTH = 32, 64

_CENTRE, _HALF_WIDTH = 1.15, 0.95  # of the window, face units below the eye line, and to either side


def lower_faces(frames: Tensor, points: Tensor) -> Tensor:
    """Cut the lower half of each face, upright and at one size; differentiable in `frames`.

    Args:
        frames: (B, 3, H, W) in 0..1.
        points: (B, 68, 2) in -1..1 of the frames.

    Returns:
        (B, 32, 64) grey in 0..1.
    """
    origin, axes, scale = face_frame(points)
    unit = scale[:, 1]  # (B,)
    x = ((torch.arange(WIDTH, device=points.device) + 0.5) / WIDTH * 2 - 1) * _HALF_WIDTH
    y = ((torch.arange(HEIGHT, device=points.device) + 0.5) / HEIGHT * 2 - 1) * (_HALF_WIDTH * HEIGHT / WIDTH) + _CENTRE
    window = torch.stack([x.expand(HEIGHT, WIDTH), y[:, None].expand(HEIGHT, WIDTH)], -1)  # (32, 64, 2)
    grid = torch.einsum("hwi,bij->bhwj", window, axes) * unit[:, None, None, None] + origin[:, None, None]
    grey = (frames * frames.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    return F.grid_sample(grey, grid, padding_mode="border", align_corners=False)[:, 0]


class SyncCritic(nn.Module):
    """Audio tower and lip tower.

    Args:
        mels: mel bands.
        width: channels of the first layers.
        features: length of the vectors that are compared.
    """

    def __init__(self, mels: int = 64, width: int = 16, features: int = 128):
        super().__init__()
        self.register_buffer("mel_mean", torch.zeros(mels))
        self.register_buffer("mel_scale", torch.ones(mels))
        self.audio = nn.Sequential(
            nn.Conv1d(mels, 4 * width, 5, padding=2), nn.GroupNorm(4, 4 * width), nn.GELU(),
            nn.Conv1d(4 * width, 4 * width, 4, stride=2, padding=1), nn.GroupNorm(4, 4 * width), nn.GELU(),
            nn.Conv1d(4 * width, 4 * width, 4, stride=2, padding=1), nn.GroupNorm(4, 4 * width), nn.GELU(),
            nn.Flatten(), nn.Dropout(0.2), nn.Linear(4 * width * (UNIT // 4), features),
        )  # fmt: skip

        def stage(inputs: int, outputs: int) -> list[nn.Module]:
            return [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.GroupNorm(4, outputs), nn.GELU()]

        self.lips = nn.Sequential(
            *stage(FRAMES, width), *stage(width, 2 * width), *stage(2 * width, 4 * width), *stage(4 * width, 4 * width),
            nn.Flatten(), nn.Dropout(0.2), nn.Linear(4 * width * (HEIGHT // 16) * (WIDTH // 16), features),
        )  # fmt: skip

    def hear(self, mel: Tensor) -> Tensor:
        """(B, 20, mels) natural log mel power of 0.2 s -> (B, features)."""
        normal = (mel - self.mel_mean) / self.mel_scale
        return F.normalize(F.relu(self.audio(normal.transpose(1, 2))) + 1e-6, dim=-1)

    def see(self, lips: Tensor) -> Tensor:
        """(B, 5, 32, 64) grey in 0..1 -> (B, features); brightness and contrast of each clip cancel."""
        mean = lips.mean((1, 2, 3), keepdim=True)
        spread = lips.std((1, 2, 3), keepdim=True) + 0.02
        return F.normalize(F.relu(self.lips((lips - mean) / spread)) + 1e-6, dim=-1)

    def forward(self, mel: Tensor, lips: Tensor) -> Tensor:
        """(B,) probability that sound and lips belong together."""
        return (self.hear(mel) * self.see(lips)).sum(-1)
