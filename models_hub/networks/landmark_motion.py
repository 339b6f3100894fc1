"""From 68 landmarks to keypoints with Jacobians: where, and how bent, each part of the face moved.

MCNet's sparse motion is T_k(z) = J_k (z - driving_k) + source_k with a learned detector. Here the
keypoints are K regions of the landmarks: the value is the region's centroid, the Jacobian its
least-squares affine map from driving to source. Our reconstruction (architecture, section 3);
the ridge towards the head's own map keeps near-collinear regions from exploding.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .density import cell_centres, cell_grid
from .ibug68 import COUNT, INNER_LIPS, LEFT_EYE, MOTION_REGIONS, RIGHT_EYE

UPPER_INNER, LOWER_INNER = (60, 61, 62, 63, 64), (60, 67, 66, 65, 64)  # inner lips from left to right
HEAD = range(0, 48)  # all that is not lips
KEYPOINTS = len(MOTION_REGIONS) + 1  # the regions, and the whole head first


class LandmarkMotion(nn.Module):
    """Regions' affine motions in closed form, all frames and regions at once.

    Args:
        ridge: pull of every region's Jacobian towards the head's.
        head_ridge: pull of the head's Jacobian towards the identity.
    """

    def __init__(self, ridge: float = 0.02, head_ridge: float = 1e-3) -> None:
        super().__init__()
        self.ridge, self.head_ridge = ridge, head_ridge
        membership = torch.zeros(KEYPOINTS, COUNT)
        for row, region in enumerate((HEAD, *MOTION_REGIONS)):
            membership[row, list(region)] = 1 / len(region)
        self.register_buffer("membership", membership, persistent=False)

    def forward(self, source: Tensor, driving: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Keypoints of both faces and the Jacobians between them.

        Args:
            source, driving: (B, 68, 2) in -1..1.

        Returns:
            Source values (B, K, 2), driving values (B, K, 2), Jacobians (B, K, 2, 2) with
            z_source = jacobian (z - driving) + source.
        """
        source_value = self.membership @ source  # (B, K, 2)
        driving_value = self.membership @ driving

        def moments(left: Tensor, right: Tensor, left_mean: Tensor, right_mean: Tensor) -> Tensor:
            product = torch.einsum("kp,bpi,bpj->bkij", self.membership, left, right)
            return product - left_mean[..., :, None] * right_mean[..., None, :]

        cross = moments(source, driving, source_value, driving_value)  # (B, K, 2, 2)
        spread = moments(driving, driving, driving_value, driving_value)
        identity = torch.eye(2, device=source.device, dtype=source.dtype)
        head = _ridge_map(cross[:, :1], spread[:, :1], identity, self.head_ridge)
        regions = _ridge_map(cross[:, 1:], spread[:, 1:], head, self.ridge)
        return source_value, driving_value, torch.cat([head, regions], dim=1)


def _ridge_map(cross: Tensor, spread: Tensor, prior: Tensor, ridge: float) -> Tensor:
    """The matrix A that minimises |A x - y|^2 + ridge |A - prior|^2 for moments E[y x'], E[x x']."""
    a, b, d = spread[..., 0, 0] + ridge, spread[..., 0, 1], spread[..., 1, 1] + ridge
    inverse = torch.stack([torch.stack([d, -b], -1), torch.stack([-b, a], -1)], -2) / (a * d - b * b)[..., None, None]
    return (cross + ridge * prior) @ inverse


def polygon_mask(points: Tensor, size: int | tuple[int, int], soft: float = 1.0) -> Tensor:
    """Soft inside of closed polygons by the even-odd rule, with an inner ramp `soft` cells wide.

    Args:
        points: (B, P, 2) corners in -1..1.
        size: cells, one number or (height, width).
        soft: width of the edge's ramp in cells.

    Returns:
        (B, 1, H, W) in 0..1.
    """
    height, width = (size, size) if isinstance(size, int) else size
    # A mouth is a fiftieth of a frame: only the cells around all polygons are looked at.
    cells = points.new_tensor([width, height])
    near, far = ((edge.nan_to_num().clamp(-1, 1) + 1) / 2 * cells for edge in points.flatten(0, 1).aminmax(dim=0))
    (left, top), (right, bottom) = near.floor().tolist(), far.ceil().tolist()
    left, right = max(0, min(int(left), width - 1)), max(1, min(int(right), width))
    top, bottom = max(0, min(int(top), height - 1)), max(1, min(int(bottom), height))
    x = cell_centres(width, points.device)[left:right].view(1, 1, 1, -1)
    y = cell_centres(height, points.device)[top:bottom].view(1, 1, -1, 1)
    x1, y1 = points[..., 0, None, None], points[..., 1, None, None]  # (B, P, 1, 1)
    x2, y2 = x1.roll(-1, 1), y1.roll(-1, 1)
    dx, dy = x2 - x1, y2 - y1
    crossing = ((y1 > y) != (y2 > y)) & (x < dx * (y - y1) / (dy + (dy == 0) * 1e-9) + x1)
    inside = crossing.sum(1, keepdim=True) % 2 == 1  # (B, 1, H, W)
    along = ((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy + 1e-12)
    along = along.clamp(0, 1)
    distance = (((x - x1 - along * dx) * width) ** 2 + ((y - y1 - along * dy) * height) ** 2).amin(1, keepdim=True)
    signed = torch.where(inside, 1.0, -1.0) * distance.sqrt() / 2  # in cells, positive inside
    # The ramp lies inside: a closed polygon without area must draw nothing.
    return F.pad((signed / soft).clamp(0, 1), (left, width - right, top, height - bottom))


def polygon_area(points: Tensor) -> Tensor:
    """Area of polygons (B, P, 2) whose corners go round clockwise as seen, (B,); 0 of those that go the other way."""
    x, y = points.unbind(-1)
    return ((x * y.roll(-1, 1) - x.roll(-1, 1) * y).sum(1) / 2).clamp(min=0)


def inner_mouth_mask(points: Tensor, size: int | tuple[int, int], soft: float = 1.0) -> Tensor:
    """What shows between the lips, (B, 1, H, W): the polygon of points 60-67.

    No warp of a closed mouth can explain it, so it is known occlusion (trial, point 1).

    Args:
        points: (B, 68, 2) in -1..1.
        size, soft: as for `polygon_mask`.
    """
    return polygon_mask(points[:, list(INNER_LIPS)], size, soft)


def mouth_coordinates(points: Tensor, size: int) -> Tensor:
    """Where each place lies within the mouth: across, below the upper lip, above the lower lip.

    Teeth hang from the upper lip and stand on the lower one however wide the mouth opens; a convolution that sees
    a mask alone cannot measure how far away either is. Our own.

    Args:
        points: (B, 68, 2) in -1..1.
        size: cells along each side.

    Returns:
        (B, 3, size, size): place along the line of the mouth's corners, -1 and 1 at the corners;
        distances down from the upper and up from the lower inner lip, in quarters of the eye distance; all -2..2.
    """
    left, right = points[:, 60], points[:, 64]
    width = (right - left).norm(dim=-1, keepdim=True).clamp(min=1e-3)  # (B, 1)
    across = (right - left) / width
    down = torch.stack([-across[:, 1], across[:, 0]], dim=-1)
    eyes = (points[:, list(LEFT_EYE)].mean(1) - points[:, list(RIGHT_EYE)].mean(1)).norm(dim=-1).clamp(min=1e-3)
    axes, centre = torch.stack([across, down], dim=1), (left + right) / 2
    grid = cell_grid(size, points.device)
    place = torch.einsum("bij,bhwj->bihw", axes, grid - centre[:, None, None])  # (B, 2, h, w)
    along, below = place.unbind(1)
    distances = []
    for corners, sign in ((UPPER_INNER, 1.0), (LOWER_INNER, -1.0)):
        knots = torch.einsum("bij,bpj->bpi", axes, points[:, list(corners)] - centre[:, None])
        edge = knots[:, 0, 1, None, None].expand_as(along)
        for a, b in zip(knots[:, :-1].unbind(1), knots[:, 1:].unbind(1), strict=True):
            step = (b[:, 0] - a[:, 0]).clamp(min=1e-3)[:, None, None]
            share = ((along - a[:, 0, None, None]) / step).clamp(0, 1)
            edge = edge + share * (b[:, 1] - a[:, 1])[:, None, None]
        distances.append(sign * (below - edge) * 4 / eyes[:, None, None])
    return torch.stack([2 * along / width[:, None], *distances], dim=1).clamp(-2, 2)
