"""Lips: where closed ones part they keep their height, and everything else is left alone."""

import pytest
import torch
from articulate.models_hub.networks.blocks import warp
from articulate.models_hub.networks.density import cell_centres
from articulate.models_hub.networks.ibug68 import MIRROR, OUTER_LIPS
from articulate.models_hub.networks.landmark_motion import polygon_mask
from articulate.models_hub.stages import generator
from articulate.models_hub.stages.compose import Compositor
from articulate.models_hub.stages.density import build_density
from articulate.models_hub.stages.generator import generate_stream
from articulate.models_hub.stages.lips import lips, parting
from articulate.models_hub.stages.warper import warp_stream
from articulate.models_hub.types import Landmarks
from torch.nn import functional as F

PAIRS = ((61, 67), (62, 66), (63, 65))
LOWER = (55, 56, 57, 58, 59, 65, 66, 67)
SIZE = 256


def grid_of(size):
    centres = cell_centres(size)
    return torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1)


@pytest.fixture
def closed(sample_face):
    """Landmarks (68, 2) of the sample's face, its lips together and level."""
    points = sample_face.points.clone()
    for upper, lower in PAIRS:
        points[upper] = points[lower] = (points[upper] + points[lower]) / 2
    return points


def opened(points, gap):
    """Landmarks whose lower lip has come down by `gap`, in -1..1."""
    made = points.clone()
    made[list(LOWER), 1] += gap
    return made


def flow_of(source, gap):
    """(1, 64, 64, 2): below the lower lip as far down as the lip, and a coarse ramp from the upper lip to there."""
    grid = grid_of(64)
    top, bottom = source[62, 1], source[66, 1] + gap
    share = ((grid[..., 1] - top) / (bottom + 0.06 - top)).clamp(0, 1)  # not done at the lip's edge: half into the lip
    near = (1 - 4 * (grid[..., 0] - source[62, 0]).abs()).clamp(0, 1).sqrt()
    flow = grid.clone()
    flow[..., 1] -= gap * share * near
    return flow[None]


def enlarged(flow):
    """Displacement (n, 2, SIZE, SIZE)."""
    return F.interpolate((flow - grid_of(64)).permute(0, 3, 1, 2), size=SIZE, mode="bicubic")


def dense(found):
    made = torch.zeros(len(found.shift), 2, SIZE, SIZE)
    found.move(made, torch.eye(2))
    return made


def test_lips_part_only_where_the_source_shows_them_closed(closed):
    wide = opened(closed, 0.12)
    assert parting(closed, torch.stack([closed, wide])).tolist() == [0.0, 1.0]
    assert parting(wide, torch.stack([closed, wide, opened(closed, 0.18)])).tolist() == [0.0, 0.0, 0.0]
    rising = parting(opened(closed, 0.02), torch.stack([opened(closed, gap / 100) for gap in range(12)]))
    assert (rising.diff() >= 0).all() and rising[0] == 0 and rising[-1] == 1
    assert lips(closed, closed[None], grid_of(64)[None], SIZE) is None
    assert lips(wide, torch.stack([closed, wide]), grid_of(64).expand(2, -1, -1, -1), SIZE) is None


@pytest.mark.parametrize("gap", [0.06, 0.1, 0.15])
def test_a_lip_is_not_drawn_out(closed, gap):
    driving, flow = opened(closed, gap), flow_of(closed, gap)
    column = round(float((closed[62, 0] + 1) * SIZE / 2))
    inner, outer = ((float(driving[index, 1]) + 1) * SIZE / 2 for index in (66, 57))
    lip = slice(round(inner) + 1, round(outer) - 1)
    before = enlarged(flow)
    after = before + dense(lips(closed, driving[None], flow, SIZE))
    rows = grid_of(SIZE)[..., 1] * SIZE / 2
    steps = [torch.gradient(rows + motion[0, 1] * SIZE / 2, dim=0)[0][lip, column] for motion in (before, after)]
    assert steps[0].min() < 0.5 < 0.6 < steps[1].min()
    assert (steps[1] > steps[0] - 0.1).all()  # nothing is squeezed instead
    place = (rows + after[0, 1] * SIZE / 2)[round(inner), column]
    assert place > float(closed[66, 1]) * SIZE / 2 - 1  # the lip line is not drawn in


def test_a_flow_that_moves_lips_as_a_whole_is_left_alone(closed):
    driving = opened(closed, 0.1)
    flow = grid_of(64)[None].clone()
    flow[..., 1] -= 0.1
    assert (lips(closed, driving[None], flow, SIZE).shift == 0).all()


def test_nothing_outside_of_the_lips_is_moved(closed):
    driving, flow = opened(closed, 0.1), flow_of(closed, 0.1)
    found = lips(closed, driving[None], flow, SIZE)
    shift = dense(found)
    assert shift.abs().amax() > 0.01
    mouth = polygon_mask(driving[None, list(OUTER_LIPS)], SIZE) > 0
    near = F.max_pool2d(mouth.float(), 5, 1, 2)[0, 0] > 0
    assert (shift[0, :, ~near] == 0).all()
    source = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    change = found.change(warp(source, flow, "bicubic").clamp(0, 1), source, flow)
    still = (found.shift == 0).all(1)[0]
    assert (change[..., still] == 0).all() and change.abs().amax() > 0.1


def test_frames_at_once_and_mirrors_change_nothing(closed):
    gaps = (0.0, 0.05, 0.1)
    driving = torch.stack([opened(closed, gap) for gap in gaps])
    flow = torch.cat([flow_of(closed, gap) for gap in gaps])
    together = dense(lips(closed, driving, flow, SIZE))
    assert torch.equal(together[0], torch.zeros_like(together[0]))
    for index in (1, 2):
        alone = dense(lips(closed, driving[index : index + 1], flow[index : index + 1], SIZE))
        torch.testing.assert_close(alone[0], together[index], atol=1e-6, rtol=0)
    turn = torch.tensor([-1.0, 1.0])
    other = lips((closed * turn)[list(MIRROR)], (driving * turn)[:, list(MIRROR)], flow.flip(2) * turn, SIZE)
    torch.testing.assert_close(dense(other).flip(-1)[:, 1], together[:, 1], atol=1e-4, rtol=0)


def test_lips_follow_landmarks_smoothly(closed):
    flow = flow_of(closed, 0.1)
    first, second = (dense(lips(closed, opened(closed, gap)[None], flow, SIZE)) for gap in (0.1, 0.102))
    assert (first - second).abs().amax() < 0.012  # a quarter of a pixel of landmarks, at most six times as much


@pytest.mark.parametrize("chunk", [1, 5])
def test_frames_differ_on_the_lips_alone(sample_face, closed, monkeypatch, chunk):
    face = sample_face.__class__(sample_face.crop, closed, sample_face.matrix, sample_face.picture, sample_face.box)
    points = torch.stack([opened(closed, gap) for gap in (0.0, 0.05, 0.1, 0.1, 0.05)])

    def frames():
        landmarks = Landmarks(points, torch.ones(len(points), dtype=torch.bool))
        stream = generate_stream(warp_stream(face, build_density(landmarks), chunk=chunk))
        chunks = list(stream.chunks(0, len(points)))
        composer = Compositor(face)
        pasted = torch.cat([piece for part in chunks for piece in composer.pieces(part)])
        return torch.cat([part.frames for part in chunks]), pasted

    made, pasted = frames()
    monkeypatch.setattr(generator, "lips", lambda *_: None)
    usual, usual_pasted = frames()
    assert torch.equal(made[0], usual[0]) and torch.equal(pasted[0], usual_pasted[0])
    assert not torch.equal(made[2], usual[2]) and not torch.equal(pasted[2], usual_pasted[2])
    mouth = polygon_mask(points[:, list(OUTER_LIPS)], SIZE) > 0
    near = F.max_pool2d(mouth.float(), 5, 1, 2).expand_as(made) > 0
    assert torch.equal(made[~near], usual[~near])
    changed = (pasted != usual_pasted).any(-1).any(0).nonzero().float() + 0.5  # row, column
    low, high = (face.matrix[:, :2] @ points[:, list(OUTER_LIPS)].flatten(0, 1).T + face.matrix[:, 2:]).aminmax(dim=1)
    margin = 3 * face.matrix[0, :2].norm() * 2 / SIZE
    assert (changed.flip(1) > low - margin).all() and (changed.flip(1) < high + margin).all()
