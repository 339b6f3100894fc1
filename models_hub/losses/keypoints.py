"""MCNet's losses on keypoints and on its memory (seed 01, section 9, read in the authors' code)."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..networks.density import cell_centres


class RandomBend:
    """A random change of the picture plane: affine map and thin-plate spline (MCNet: sigmas 0.05 and 0.005, 5 x 5).

    Maps places of the bent picture to places of the original, both in -1..1.

    Args:
        batch: how many, one for each picture.
        random: where the numbers come from.
        affine, spline: standard deviations.
        points: control points along each side of the spline's grid.
    """

    def __init__(
        self, batch: int, random: torch.Generator, affine: float = 0.05, spline: float = 0.005, points: int = 5
    ) -> None:
        self.theta = torch.eye(2, 3) + affine * torch.randn(batch, 2, 3, generator=random)  # (B, 2, 3)
        line = torch.linspace(-1, 1, points)
        self.controls = torch.cartesian_prod(line, line).flip(-1)  # (P, 2) x, y
        self.strength = spline * torch.randn(batch, points * points, generator=random)  # (B, P)

    def places(self, places: Tensor) -> Tensor:
        """Places (B, N, 2) of the bent picture -> places of the original."""
        theta, controls = self.theta.to(places), self.controls.to(places)
        moved = places @ theta[:, :, :2].transpose(1, 2) + theta[:, None, :, 2]
        distance = (places[:, :, None] - controls).abs().sum(-1)  # (B, N, P); MCNet measures by city blocks
        radial = distance.square() * (distance + 1e-6).log()
        return moved + (radial * self.strength.to(places)[:, None]).sum(-1, keepdim=True)

    def picture(self, picture: Tensor) -> Tensor:
        """The bent picture of (B, C, H, W); what leaves the frame is reflected."""
        height, width = picture.shape[-2:]
        x, y = cell_centres(width, picture.device), cell_centres(height, picture.device)
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)  # (H W, 2)
        places = self.places(grid.expand(len(picture), -1, -1)).view(-1, height, width, 2)
        return F.grid_sample(picture, places, padding_mode="reflection", align_corners=False)

    def jacobian(self, places: Tensor) -> Tensor:
        """Derivative of `places` there, (B, N, 2, 2); rows are the original's x and y."""
        with torch.enable_grad():
            start = places if places.requires_grad else places.detach().requires_grad_(True)
            end = self.places(start)
            rows = [torch.autograd.grad(end[..., axis].sum(), start, create_graph=True)[0] for axis in (0, 1)]
        return torch.stack(rows, dim=-2)


def equivariance_value_loss(value: Tensor, bent_value: Tensor, bend: RandomBend) -> Tensor:
    """L_eq of MCNet, values: keypoints of the bent picture, carried back, are those of the original.

    Args:
        value: (B, K, 2) keypoints of the picture.
        bent_value: (B, K, 2) keypoints of `bend.picture(picture)`.
        bend: what lies between them.
    """
    return (value - bend.places(bent_value)).abs().mean()


def equivariance_jacobian_loss(jacobian: Tensor, bent_jacobian: Tensor, bent_value: Tensor, bend: RandomBend) -> Tensor:
    """L_eq of MCNet, Jacobians: |I - J^-1 (dT J')|, with dT taken at the bent picture's keypoints.

    Args:
        jacobian, bent_jacobian: (B, K, 2, 2).
        bent_value: (B, K, 2).
        bend: what lies between them.
    """
    carried = bend.jacobian(bent_value) @ bent_jacobian
    identity = torch.eye(2, device=jacobian.device, dtype=jacobian.dtype)
    return (identity - torch.linalg.solve(jacobian, carried)).abs().mean()


def keypoint_distance_loss(value: Tensor, least: float = 0.2, hinge: bool = True) -> Tensor:
    """L_dist of MCNet: keypoints keep apart.

    The authors' form, mean of 1 - sign(d - 0.2) over pairs, tells how many are too near but has no gradient; the
    hinge max(0, 0.2 - d) / 0.2 has one and is ours.

    Args:
        value: (B, K, 2) in -1..1.
        least: distance from which a pair costs nothing.
        hinge: our form; False is the authors'.
    """
    count = value.shape[1]
    pairs = ~torch.eye(count, dtype=torch.bool, device=value.device)
    squares = (value[:, :, None] - value[:, None]).square().sum(-1)  # (B, K, K)
    distance = (squares[:, pairs] + 1e-12).sqrt()
    if hinge:
        return F.relu(1 - distance / least).mean()
    return (1 - torch.sign(distance - least)).mean()


def feature_consistency_loss(feature: Tensor, value: Tensor) -> Tensor:
    """L_con of MCNet: what the memory answers looks like the (detached) projected feature that asked.

    Args:
        feature: (B, C, h, w) projected, warped features; nothing flows back into them.
        value: (B, C, H, W) what the memory holds for them; features are resized to it.
    """
    wanted = feature.detach()
    if wanted.shape[-2:] != value.shape[-2:]:
        wanted = F.interpolate(wanted, size=value.shape[-2:], mode="bilinear", align_corners=False)
    return (wanted - value).abs().mean()


Detector = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Picture (B, 3, H, W) -> keypoint values (B, K, 2) and Jacobians (B, K, 2, 2)."""


def equivariance_losses(detector: Detector, picture: Tensor, bend: RandomBend) -> dict[str, Tensor]:
    """Both equivariance losses of a detector on pictures (B, 3, H, W)."""
    value, jacobian = detector(picture)
    bent_value, bent_jacobian = detector(bend.picture(picture))
    return {
        "equivariance_value": equivariance_value_loss(value, bent_value, bend),
        "equivariance_jacobian": equivariance_jacobian_loss(jacobian, bent_jacobian, bent_value, bend),
    }
