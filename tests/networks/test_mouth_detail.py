"""Mouth detail: nothing but sharper between the lips, crisper at them, and no colour beyond white."""

import pytest
import torch
from articulate.models_hub.architectures import recognise
from articulate.models_hub.loading import load_network
from articulate.models_hub.networks.generator import FrameGenerator
from articulate.models_hub.networks.mouth_detail import MouthDetail, fine_inner_window, fine_places, finer
from articulate.models_hub.networks.mouth_painter import (
    COLUMNS,
    PLACES,
    ROWS,
    MouthWindow,
    inner_window,
    onto_frame,
)


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def open_points(sample_face):
    points = sample_face.points[None].repeat(2, 1, 1)
    points[:, [65, 66, 67], 1] += torch.tensor([0.06, 0.12])[:, None]
    return points


def still(points):
    grid = torch.nn.functional.affine_grid(torch.eye(2, 3)[None], [1, 1, 32, 32], align_corners=False)
    return grid.expand(len(points), -1, -1, -1)


def test_an_untrained_network_changes_nothing():
    painted = noise(2, 3, 2 * ROWS, 2 * COLUMNS)
    made = MouthDetail(8)(painted, noise(2, 3, 4 * ROWS, 4 * COLUMNS), noise(2, PLACES, 2 * ROWS, 2 * COLUMNS))
    assert torch.equal(made, finer(painted).clamp(0, 1))


def test_paint_stays_between_crisp_lips(open_points):
    local = MouthWindow(open_points).to_window(open_points)
    painted, weight = noise(2, 3, 2 * ROWS, 2 * COLUMNS), inner_window(local)
    made, used = MouthDetail(8).windows(noise(2, 3, 64, 64), open_points, still(open_points), painted, weight)
    assert made.shape == (2, 3, 4 * ROWS, 4 * COLUMNS) and used.shape == (2, 1, 4 * ROWS, 4 * COLUMNS)
    fine = fine_inner_window(local)
    assert ((used > 0) <= (fine > 0)).all()
    assert used.amax((1, 2, 3)).min() == 1
    soft = [((window > 0.05) & (window < 0.95)).float().mean() for window in (used, weight)]
    assert soft[0] < 0.9 * soft[1]  # the lips' edge is narrower


def test_what_the_source_keeps_stays_kept(open_points):
    local = MouthWindow(open_points).to_window(open_points)
    painted, weight = noise(2, 3, 2 * ROWS, 2 * COLUMNS), 0.25 * inner_window(local)
    used = MouthDetail(8).windows(noise(2, 3, 64, 64), open_points, still(open_points), painted, weight)[1]
    assert used.max() <= 0.2501
    nothing = MouthDetail(8).windows(noise(2, 3, 64, 64), open_points, still(open_points), painted, 0 * weight)[1]
    assert nothing.max() == 0


def test_blurred_teeth_become_sharper(open_points):
    """The embedded network, on a band of teeth that was blurred: its edges are steeper, its light is the same."""
    detail = load_network("generator").detail
    points = open_points[1:]
    local = MouthWindow(points).to_window(points)
    upper, lower = local[0, 62, 1], local[0, 66, 1]
    rows = torch.linspace(-1, 1, 2 * ROWS)[:, None]
    glow = torch.exp(-0.5 * ((rows - upper - 0.3 * (lower - upper)) / 0.12) ** 2).expand(1, 3, -1, 2 * COLUMNS)
    painted = 0.15 + 0.6 * glow
    with torch.inference_mode():
        places = fine_places(local, fine_inner_window(local))
        made = detail(painted, torch.full((1, 3, 4 * ROWS, 4 * COLUMNS), 0.5), places)
    inner = fine_inner_window(local)[0, 0] > 0.5
    before = finer(painted)
    column = 2 * COLUMNS
    steepest = [frames[0, :, :, column].mean(0).diff().abs().max() for frames in (before, made)]
    assert steepest[1] > 1.15 * steepest[0]
    assert (made - before)[0].mean(0)[inner].mean().abs() < 0.1


def test_fine_windows_are_brought_down_to_the_frame(open_points):
    fine = noise(2, 4, 4 * ROWS, 4 * COLUMNS)
    plain = torch.nn.functional.avg_pool2d(fine, 2)
    assert torch.equal(onto_frame(fine, open_points, 64), onto_frame(plain, open_points, 64))


def test_a_generator_without_detail_is_the_one_of_before():
    plain, fine = FrameGenerator((8, 16, 24), 8, mouth=16), FrameGenerator((8, 16, 24), 8, mouth=16, detail=8)
    own = set(fine.state_dict()) - set(plain.state_dict())
    assert own and all(name.startswith("detail.") for name in own)
    for network in (plain, fine):
        shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        assert recognise(shapes, {}, "generator", "here")[1] == network.sizes
