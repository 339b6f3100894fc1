"""Density maps: exact integral, exact place, separable equals direct."""

import pytest
import torch
from articulate.models_hub.networks.density import cell_centres, density_maps
from articulate.models_hub.networks.ibug68 import DENSITY_REGIONS, MIRROR


def points(batch: int = 3, spread: float = 1.0) -> torch.Tensor:
    return (torch.rand(batch, 68, 2, generator=torch.Generator().manual_seed(1)) * 2 - 1) * spread


@pytest.mark.parametrize("spread", [0.5, 1.0, 1.3])
@pytest.mark.parametrize("sigma", [1.0, 1.5, 3.0])
def test_every_map_integrates_to_its_points(spread, sigma):
    maps = density_maps(points(spread=spread), 64, sigma)
    expected = torch.tensor([float(len(region)) for region in DENSITY_REGIONS]).expand(3, -1)
    torch.testing.assert_close(maps.sum((2, 3)), expected, atol=1e-4, rtol=0)


def test_invisible_points_weigh_nothing():
    weights = torch.ones(3, 68)
    weights[:, 60:] = 0
    maps = density_maps(points(), 64, weights=weights)
    assert maps[:, -1].abs().max() == 0
    torch.testing.assert_close(maps[:, 0].sum((1, 2)), torch.full((3,), 17.0), atol=1e-4, rtol=0)


def test_separable_equals_direct_evaluation():
    where = points(1, 0.6)
    x = cell_centres(48)
    distance = (x[None, None, None, :] - where[..., 0, None, None]) ** 2
    distance = distance + (x[None, None, :, None] - where[..., 1, None, None]) ** 2
    direct = torch.exp(-0.5 * distance / (1.5 * 2 / 48) ** 2)
    direct = direct / direct.sum((2, 3), keepdim=True)
    ours = density_maps(where, 48, 1.5, [[index] for index in range(68)])
    torch.testing.assert_close(ours, direct, atol=1e-6, rtol=0)


def test_centroid_of_a_point_is_the_point():
    where = points(2, 0.7)
    maps = density_maps(where, 64, 1.5, [[index] for index in range(68)])
    x = cell_centres(64)
    found = torch.stack([(maps.sum(2) * x).sum(-1), (maps.sum(3) * x).sum(-1)], dim=-1)
    assert (found - where).abs().max() < 0.05 * 2 / 64


def test_maps_are_differentiable_towards_the_points():
    where = points().requires_grad_()
    density_maps(where, 32)[:, 0, 3, 4].sum().backward()
    assert where.grad[:, :17].abs().sum() > 0
    assert where.grad[:, 17:].abs().sum() == 0


def test_mirroring_twice_is_nothing():
    assert [MIRROR[MIRROR[index]] for index in range(68)] == list(range(68))
