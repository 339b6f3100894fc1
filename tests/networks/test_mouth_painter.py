"""Mouth painter: windows follow the mouth, paint stays between the lips, frames do not depend on each other."""

import pytest
import torch
from articulate.models_hub.architectures import recognise
from articulate.models_hub.networks.blocks import sample
from articulate.models_hub.networks.generator import FrameGenerator, lay_over
from articulate.models_hub.networks.ibug68 import INNER_LIPS, MIRROR
from articulate.models_hub.networks.inner_lips import inner_outline
from articulate.models_hub.networks.landmark_motion import polygon_mask
from articulate.models_hub.networks.mouth_painter import (
    BRIGHTNESS,
    COLOUR_REGIONS,
    COLOURS,
    COLUMNS,
    ROWS,
    MouthPainter,
    MouthWindow,
    face_colours,
    inner_window,
    onto_frame,
    place_maps,
    shown_at,
    without_grid,
)


@pytest.fixture(scope="module")
def painter():
    torch.manual_seed(0)
    return MouthPainter(8).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def own_points(sample_face):
    return sample_face.points.clone()


def turned(points, degrees, scale, shift):
    angle = torch.deg2rad(torch.tensor(float(degrees)))
    turn = scale * torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    return points @ turn.T + torch.tensor(shift), turn


def picture(size=128):
    x = torch.linspace(0, 1, size)
    waves = [0.5 + 0.4 * torch.sin(a * 9 * x[:, None] + b * 7 * x) for a, b in ((1, 0), (0, 1), (1, 1))]
    return torch.stack(waves)[None]


def test_window_turns_and_grows_with_the_mouth(own_points):
    points, turn = turned(own_points[None], 20, 0.7, (0.1, -0.05))
    before, after = MouthWindow(own_points[None]), MouthWindow(points)
    moved = before.grid(6, 8) @ turn.T + torch.tensor((0.1, -0.05))
    torch.testing.assert_close(after.grid(6, 8), moved, atol=1e-5, rtol=0)
    torch.testing.assert_close(after.to_window(points), before.to_window(own_points[None]), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        place_maps(after.to_window(points)), place_maps(before.to_window(own_points[None])), atol=1e-3, rtol=0
    )


def test_a_place_goes_into_the_window_and_back(own_points):
    points, _ = turned(own_points[None], 25, 0.8, (0.2, -0.1))
    window = MouthWindow(points)
    grid = window.grid(5, 7)
    local = window.to_window(grid.flatten(1, 2)).view_as(grid)
    corner = torch.tensor([-6 / 7, -4 / 5])
    torch.testing.assert_close(local[0, 0, 0], corner, atol=1e-5, rtol=0)
    torch.testing.assert_close(local[0, -1, -1], -corner, atol=1e-5, rtol=0)
    assert MouthWindow(torch.zeros(1, 68, 2)).to_window(torch.ones(1, 3, 2)).isfinite().all()


def test_inner_lips_lie_in_the_window_even_wide_open(own_points):
    points = own_points[None].clone()
    points[:, [65, 66, 67], 1] += 0.25
    local = MouthWindow(points).to_window(points)[:, list(INNER_LIPS)]
    assert local.abs().max() < 1


def test_colours_are_sorted_and_know_no_left_and_right(own_points):
    image, points = picture(), own_points[None]
    code = face_colours(image, points)
    assert code.shape == (1, COLOURS, 3)
    bins = len(BRIGHTNESS) - 1
    regions = code[:, : bins * len(COLOUR_REGIONS)].mean(-1).view(-1, bins)
    assert (regions.diff(dim=1) >= -1e-6).all()
    mirrored = points[:, list(MIRROR)] * torch.tensor([-1.0, 1.0])
    torch.testing.assert_close(face_colours(image.flip(-1), mirrored), code, atol=0.03, rtol=0)


def painted(painter, image, source_points, points):
    flow = torch.nn.functional.affine_grid(
        torch.eye(2, 3).expand(len(points), -1, -1), [len(points), 1, 32, 32], align_corners=False
    )
    many = (len(points), -1, -1)
    colours = face_colours(image, source_points).expand(many)
    return painter.windows(image.expand(*many, -1), source_points.expand(many), points, flow, colours)


def test_paint_stays_between_the_lips(painter, own_points):
    points = own_points[None].repeat(2, 1, 1)
    points[0, [61, 62, 63], 1] = points[0, [67, 66, 65], 1]  # closed
    points[1, [65, 66, 67], 1] += 0.12
    colours, weight = painted(painter, picture(), own_points[None], points)
    assert colours.shape == (2, 3, 2 * ROWS, 2 * COLUMNS)
    assert weight[0].max() < 0.1  # a slit narrower than a pixel
    assert weight[1].max() == 1
    frame = onto_frame(torch.cat([colours * weight, weight], dim=1), points, 128)
    grown = torch.nn.functional.max_pool2d((polygon_mask(inner_outline(points), 128) > 0).float(), 3, 1, 1)
    assert (frame[1] * (1 - grown[1])).max() < 1e-5  # rounding of cubic interpolation


def test_what_the_source_shows_may_be_kept(painter, own_points):
    opened, closed = own_points[None].clone(), own_points[None].clone()
    opened[:, [65, 66, 67], 1] += 0.12
    closed[:, [61, 62, 63]] = closed[:, [67, 66, 65]]
    hidden = painted(painter, picture(), closed, opened)[1]
    shown = painted(painter, picture(), opened, opened)[1]
    assert (shown <= hidden).all() and shown.sum() < hidden.sum()


def test_an_open_mouth_shows_itself_and_a_slit_next_to_nothing(own_points):
    """Nothing moves: all between the lips is shown, by an open mouth wholly, by a slit as far as it is wide."""
    opened, slit = own_points[None].clone(), own_points[None].clone()
    opened[:, [65, 66, 67], 1] += 0.12
    slit[:, [61, 62, 63]] = slit[:, [67, 66, 65]]
    slit[:, [65, 66, 67], 1] += 0.012
    window = MouthWindow(opened)
    grid, inner = window.grid(2 * ROWS, 2 * COLUMNS), inner_window(window.to_window(opened))
    whole, little = shown_at(opened, opened, grid), shown_at(slit, opened, grid)
    assert whole.max() == 1 and (whole - inner).abs().mean() < 0.02
    assert 0 < little.max() < 0.15


def test_frames_do_not_depend_on_their_neighbours(own_points):
    points = torch.stack([own_points, own_points + 0.3, own_points - 0.2])
    windows = torch.rand(3, 4, 2 * ROWS, 2 * COLUMNS, generator=torch.Generator().manual_seed(1))
    together = onto_frame(windows, points, 64)
    alone = torch.cat([onto_frame(windows[i : i + 1], points[i : i + 1], 64) for i in range(3)])
    torch.testing.assert_close(together, alone)
    assert together.flatten(1).amax(1).min() > 0


def test_a_window_outside_of_the_frame_paints_nothing(own_points):
    assert onto_frame(torch.ones(1, 4, 8, 8), own_points[None] + 5, 64).abs().max() == 0


def test_a_window_comes_back_where_it_was_cut(own_points):
    image = picture(256)
    points = turned(own_points[None], 10, 0.9, (0.0, 0.1))[0]
    window = sample(image, MouthWindow(points).grid(2 * ROWS, 2 * COLUMNS))
    back = onto_frame(torch.cat([window, torch.ones_like(window[:, :1])], 1), points, 256)
    inside = torch.nn.functional.max_pool2d(1 - back[:, 3:], 5, 1, 2) < 1e-3  # not on the window's edge
    assert inside.sum() > 1000
    assert ((back[:, :3] - image).abs() * inside).max() < 0.03


def test_a_grid_of_single_pixels_vanishes_and_colours_stay():
    flat = torch.full((1, 3, 2 * ROWS, 2 * COLUMNS), 0.4)
    rows, columns = torch.arange(2 * ROWS)[:, None], torch.arange(2 * COLUMNS)
    for grid in ((rows + columns) % 2, rows % 2 + 0 * columns, columns % 2 + 0 * rows):
        seen = without_grid(flat + 0.2 * (grid - 0.5))
        torch.testing.assert_close(seen[..., 2:-2, 2:-2], flat[..., 2:-2, 2:-2])
    torch.testing.assert_close(without_grid(flat), flat)


def test_no_colour_is_brighter_than_white(own_points):
    stripes = (torch.arange(2 * COLUMNS) % 4 < 2).float().expand(1, 3, 2 * ROWS, -1)
    weight = (torch.arange(2 * ROWS)[:, None] % 6 < 3).float().expand(1, 1, -1, 2 * COLUMNS)
    frame = onto_frame(torch.cat([stripes * weight, weight], 1), own_points[None], 256)
    assert frame[:, 3].max() == 1 and frame.min() == 0
    assert (frame[:, :3] <= frame[:, 3:]).all()


def test_laying_over_is_what_it_says():
    random = torch.Generator().manual_seed(2)
    painted, image, colours = (torch.rand(2, 3, 8, 8, generator=random) for _ in range(3))
    blend, weight = (torch.rand(2, 1, 8, 8, generator=random) for _ in range(2))
    new, trust = lay_over(painted, blend, torch.cat([colours * weight, weight], 1))
    frame = blend * image + (1 - blend) * painted
    torch.testing.assert_close(trust * image + (1 - trust) * new, frame + weight * (colours - frame))


def test_a_generator_without_a_painter_is_the_one_of_before():
    plain, mouth = FrameGenerator((8, 16, 24), 8), FrameGenerator((8, 16, 24), 8, mouth=16)
    own = set(mouth.state_dict()) - set(plain.state_dict())
    assert own and all(name.startswith("mouth.") for name in own)
    for network in (plain, mouth):
        shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        architecture, sizes = recognise(shapes, {}, "generator", "here")
        assert architecture.name == "FrameGenerator"
        assert sizes == network.sizes
