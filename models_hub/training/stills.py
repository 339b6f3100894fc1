"""Single pictures that move as people in footage do: many more faces, beards, spectacles and brush strokes.

The landmarks of a picture are given the motion between two frames of somebody's clip, and the picture is bent after
them. Only motion that leaves the mouth as open as it is will do: bending stretches lips, it shows no teeth.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..networks.blocks import sample
from ..networks.density import cell_grid
from ..stages.video_landmarks import similarity
from .face_data import photo_rows, read_image
from .footage import SIZE, read_points

SPREAD = 0.15  # how far a landmark bends what is around it, in crop units
STIFFNESS = 0.02  # ridge of the bending: landmarks that lie close together and disagree do not tear the picture
CELLS = 64  # of the field along each side, as the dense motion's
HEAD = (1.5, 2.3)  # in radii of the face: up to the first all moves with the head, from the second on nothing


@dataclass(frozen=True)
class Stills:
    """Pictures of faces with their landmarks.

    Attributes:
        frames: (N, 256, 256, 3) uint8.
        points: (N, 68, 2) float32 in -1..1.
    """

    frames: np.ndarray
    points: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)

    def take(self, index: int) -> tuple[Tensor, Tensor]:
        """One picture (1, 3, 256, 256) in 0..1 and its landmarks (1, 68, 2)."""
        image = torch.from_numpy(self.frames[index]).permute(2, 0, 1)[None].float() / 255
        return image, torch.from_numpy(self.points[index])[None]


def read_stills(data: Path, split: str) -> Stills:
    """All photos, paintings and generated faces of a split.

    Args:
        data: folder of manifest.csv and photos/.
        split: "train" or "val".
    """
    import cv2

    frames, points = [], []
    for row in photo_rows(data, split):
        marks, valid = read_points(data / "photos" / f"{row['id']}.npz")
        if valid[0]:
            picture = read_image(data / "photos" / f"{row['id']}.jpg")
            frames.append(cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA))
            points.append(marks[0])
    if not frames:
        return Stills(np.zeros((0, SIZE, SIZE, 3), np.uint8), np.zeros((0, 68, 2), np.float32))
    return Stills(np.stack(frames), np.stack(points))


def moved_like(points: Tensor, motion: Tensor) -> Tensor:
    """Landmarks of a face that moves as somebody else's did.

    Args:
        points: (68, 2) of the face.
        motion: (T + 1, 68, 2) of the other face: where it was, and where it went.

    Returns:
        (T, 68, 2).
    """
    turn, _ = similarity(motion[0], points)
    return points + (motion[1:] - motion[0]) @ turn.T


def bend(image: Tensor, points: Tensor, driving: Tensor) -> Tensor:
    """A picture bent so that its landmarks come to lie elsewhere; what is far from the head stays.

    An affine map carries the head, and Gaussian kernels around the landmarks what it leaves over.

    Args:
        image: (1, 3, S, S) in 0..1.
        points: (68, 2) in -1..1.
        driving: (T, 68, 2), where they go.

    Returns:
        (T, 3, S, S).
    """
    count = len(driving)
    known = torch.cat([driving, torch.ones(count, len(points), 1)], dim=-1)  # (T, 68, 3)
    affine = torch.linalg.lstsq(known, points.expand(count, -1, -1)).solution  # (T, 3, 2)
    kernel = _near(driving, driving) + STIFFNESS * torch.eye(len(points))
    shares = torch.linalg.solve(kernel, points - known @ affine)  # (T, 68, 2)

    grid = cell_grid(CELLS).view(1, -1, 2)
    everywhere = torch.cat([grid, torch.ones_like(grid[..., :1])], dim=-1)
    there = everywhere @ affine + _near(grid, driving) @ shares  # (T, cells, 2)
    middle = driving.mean(1, keepdim=True)
    radius = (driving - middle).norm(dim=-1).amax(1)[:, None]
    share = ((HEAD[1] - (grid - middle).norm(dim=-1) / radius) / (HEAD[1] - HEAD[0])).clamp(0, 1)[..., None]
    offset = (share * (there - grid)).view(count, CELLS, CELLS, 2)
    fine = F.interpolate(offset.movedim(-1, 1), size=image.shape[-2:], mode="bicubic", align_corners=False)
    full = cell_grid(image.shape[-1])
    return sample(image.expand(count, -1, -1, -1), full + fine.movedim(1, -1), mode="bicubic").clamp(0, 1)


def _near(places: Tensor, landmarks: Tensor) -> Tensor:
    """How much each landmark (B, 68, 2) counts at places (B, n, 2): (B, n, 68)."""
    apart = places[:, :, None] - landmarks[:, None]
    return torch.exp(-0.5 * apart.square().sum(-1) / SPREAD**2)
