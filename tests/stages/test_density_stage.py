"""The density stage: every mode keeps the mass of the points, previews show them."""

import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.stages.density import build_density, density_preview
from articulate.models_hub.types import Landmarks


def make_landmarks(length: int = 3) -> Landmarks:
    points = torch.rand(length, 68, 2, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    return Landmarks(points, torch.ones(length, dtype=torch.bool))


@pytest.mark.parametrize(("mode", "maps"), [("region", 6), ("point", 68), ("sum", 1)])
def test_every_mode_counts_all_points_once(mode, maps):
    density = build_density(make_landmarks(), mode, sigma=2.0, size=32)
    drawn = density.maps()
    assert drawn.shape == (3, maps, 32, 32)
    assert torch.allclose(drawn.sum((1, 2, 3)), torch.full((3,), 68.0), atol=1e-3)


def test_the_preview_is_bright_at_the_points():
    landmarks = make_landmarks()
    picture = density_preview(build_density(landmarks, "sum"), 1, size=128)
    assert picture.shape == (128, 128, 3)
    cells = ((landmarks.points[1] + 1) * 64).long()
    at_points = picture[cells[:, 1], cells[:, 0]].mean()
    assert at_points > 3 * picture.mean()
    assert picture.min() >= 0 and picture.max() <= 1


@pytest.mark.parametrize(
    ("options", "said"),
    [({"mode": "all"}, "all"), ({"sigma": 0.0}, "0 cells"), ({"sigma": float("nan")}, "nan"), ({"size": 4}, "4 cells")],
)
def test_bad_settings_are_named(options, said):
    with pytest.raises(InputError, match=said):
        build_density(make_landmarks(), **options)


def test_no_frames_and_no_such_frame_are_named():
    with pytest.raises(InputError, match="no frame"):
        build_density(make_landmarks(0))
    with pytest.raises(InputError, match="Frame 3"):
        density_preview(build_density(make_landmarks()), 3)
