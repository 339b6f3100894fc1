"""Preview pictures: dots where the points are, colours that tell the direction."""

import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.networks.density import cell_centres
from articulate.models_hub.stages.preview import (
    draw_landmarks,
    flow_picture,
    frame_range,
    landmark_frames,
    warp_frames,
)
from articulate.models_hub.types import Face, Stream, WarpChunk, Window


def make_points() -> torch.Tensor:
    return torch.rand(68, 2, generator=torch.Generator().manual_seed(3)) * 1.4 - 0.7


def identity(cells: int = 16) -> torch.Tensor:
    centres = cell_centres(cells)
    return torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1)


def test_dots_lie_on_the_points_and_the_rest_is_kept():
    picture = torch.full((200, 300, 3), 0.2)
    points = make_points()
    drawn = draw_landmarks(picture, points)
    x, y = ((points[:, 0] + 1) * 150).long(), ((points[:, 1] + 1) * 100).long()
    assert drawn.shape == picture.shape
    assert drawn[y, x].min() > 0.5
    assert torch.equal(drawn[:20], picture[:20])  # nothing is drawn above the highest point
    assert picture.max() < 0.3  # the input is left alone


def test_interpolated_frames_are_grey():
    points = make_points()[None].expand(2, -1, -1)
    seen = torch.tensor([True, False])
    first, second = landmark_frames(points, [0, 1], torch.zeros(1, 64, 64, 3), seen)
    assert first.std(dim=-1).max() > 0.1
    assert second.std(dim=-1).max() < 0.05


def test_flow_colours():
    assert torch.allclose(flow_picture(identity(), 32), torch.ones(32, 32, 3), atol=1e-5)
    right = flow_picture(identity() - torch.tensor([0.2, 0.0]), 32)  # comes from the left: moves right
    assert torch.allclose(right[16, 16], torch.tensor([1.0, 0.0, 0.0]), atol=1e-4)
    left = flow_picture(identity() + torch.tensor([0.2, 0.0]), 32)
    assert torch.allclose(left[16, 16], torch.tensor([0.0, 1.0, 1.0]), atol=1e-4)


def test_warp_previews_compute_only_the_shown_frames():
    asked = []

    def chunks(start: int, stop: int):
        asked.append((start, stop))
        move = torch.tensor([start / 10, 0.0])
        yield WarpChunk(
            start, make_points()[None], (identity() - move)[None], torch.full((1, 1, 16, 16), 0.5), (), Window()
        )

    crop = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    face = Face(crop, make_points(), torch.eye(2, 3), torch.zeros(4, 4, 3), (0, 0, 1, 1))
    shown = list(warp_frames(Stream(100, 25.0, face, 32, chunks), frame_range(100, 0, 2, 3)))
    assert asked == [(0, 1), (3, 4)]
    flow, occlusion, warped = shown[0]
    assert flow.shape == warped.shape == (32, 32, 3)
    assert torch.allclose(occlusion, torch.full((32, 32), 0.5))
    assert torch.allclose(warped[2:-2, 2:-2], crop[0].permute(1, 2, 0)[2:-2, 2:-2], atol=1e-4)


def test_frame_ranges():
    assert list(frame_range(10, 2, 3, 4)) == [2, 6]
    with pytest.raises(InputError, match="frame 10"):
        frame_range(10, 10)
    with pytest.raises(InputError, match="0 frames"):
        frame_range(10, 0, 0)
    with pytest.raises(InputError, match="2 frames of landmarks"):
        list(landmark_frames(make_points()[None].expand(2, -1, -1), [0, 1], torch.zeros(3, 8, 8, 3)))
