"""Whose face is this? A small linear code, near for frames of one person, far for others ("Fisherfaces").

Colours of the aligned face on a coarse grid and the shape of its upper part, projected onto the directions that tell
people apart (Belhumeur, Hespanha and Kriegman, "Eigenfaces vs. Fisherfaces", 1997). No security: it only decides
whether weights that were tuned to a person are meant for a face.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .lip_shape import face_frame, to_face

GRID = 16
"""Cells along each side of the aligned face."""
_HALF, _LOWER = 1.25, 0.35  # of the aligned square, in face units; how far its middle lies below the eyes
SHAPE = range(17, 48)  # brows, nose, eyes: what speech does not move
FEATURES = 3 * GRID * GRID + 2 * len(SHAPE)


def features(crops: Tensor, points: Tensor) -> Tensor:
    """What the code is a projection of: (B, 830) from crops (B, 3, S, S) in 0..1 and points (B, 68, 2)."""
    frame = face_frame(points)
    origin, axes, scale = frame
    line = ((torch.arange(GRID, device=crops.device) + 0.5) / GRID * 2 - 1) * _HALF
    places = torch.stack([line.expand(GRID, GRID), line[:, None].expand(GRID, GRID) + _LOWER], -1)
    grid = torch.einsum("hwi,bij->bhwj", places, axes) * scale[:, 1, None, None, None] + origin[:, None, None]
    small = F.interpolate(crops, size=(64, 64), mode="area")
    colours = F.grid_sample(small, grid, padding_mode="border", align_corners=False)
    colours = colours / (colours.mean((1, 2, 3), keepdim=True) + 0.05)  # brightness cancels
    shape = to_face(points, frame)[:, list(SHAPE)]
    return torch.cat([colours.flatten(1), 0.5 * shape.flatten(1)], dim=1)


class FaceCode(nn.Module):
    """Linear projection to unit vectors.

    Args:
        length: of the code.
    """

    def __init__(self, length: int = 32) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("directions", torch.zeros(FEATURES, length))

    def forward(self, crops: Tensor, points: Tensor) -> Tensor:
        """(B, length) unit vectors; the cosine of two says how alike the faces are."""
        return F.normalize((features(crops, points) - self.mean) @ self.directions, dim=-1)

    def fit(self, values: Tensor, people: list[str], variance: int = 80, ridge: float = 0.02) -> None:
        """Find the directions: between people wide, within a person narrow.

        Args:
            values: (N, 830) from `features`.
            people: N names.
            variance: principal components that are kept before.
            ridge: of the spread within people, as a share of its mean.
        """
        mean = values.mean(0)
        components = torch.linalg.svd(values - mean, full_matrices=False)[2][:variance].T  # (F, k)
        reduced = (values - mean) @ components
        within = reduced.new_zeros(components.shape[1], components.shape[1])
        between = within.clone()
        names = sorted(set(people))
        for name in names:
            mine = reduced[torch.tensor([person == name for person in people])]
            centre = mine.mean(0)
            within += (mine - centre).T @ (mine - centre) / len(mine) / len(names)
            between += torch.outer(centre, centre) / len(names)
        within += ridge * within.diagonal().mean() * torch.eye(len(within))
        root = torch.linalg.inv(torch.linalg.cholesky(within))
        vectors = torch.linalg.eigh(root @ between @ root.T)[1].flip(1)[:, : self.directions.shape[1]]
        self.mean.copy_(mean)
        self.directions.copy_(components @ root.T @ vectors)
