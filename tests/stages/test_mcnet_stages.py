"""MCNet in stages: motion carried over from a driver, chunks, and what is refused. With small random weights."""

import math

import published_mcnet as plain
import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.networks.mcnet_keypoints import Keypoints
from articulate.models_hub.stages.generator import generate_stream
from articulate.models_hub.stages.inference import Runtime
from articulate.models_hub.stages.mcnet import carried_points, placed
from articulate.models_hub.stages.motion_keypoints import hull_area, motion_keypoints, movement_scale, relative
from articulate.models_hub.stages.warper import warp_stream
from articulate.models_hub.types import MotionKeypoints


@pytest.fixture(scope="module")
def weights(mcnet_files):
    return {name: str(mcnet_files / f"mcnet_{name}.safetensors") for name in ("keypoints", "warper", "generator")}


@pytest.fixture(scope="module")
def driver(moving_face):
    return list(moving_face[0][::3].permute(0, 2, 3, 1))  # 4 frames of the sample face, 256 x 256


@pytest.fixture(scope="module")
def absolute(sample_face, driver, weights):
    return motion_keypoints(driver, 25, sample_face, "absolute", framing="whole", weights=weights["keypoints"])


def frames(face, keypoints, weights, chunk=None):
    stream = generate_stream(warp_stream(face, keypoints, weights["warper"], chunk), weights["generator"])
    return torch.cat([part.frames for part in stream])


def test_the_whole_way_gives_the_published_frames(sample_face, driver, absolute, weights):
    states = plain.random_states(5)  # those of the converted files
    with torch.inference_mode():
        source, driving = sample_face.crop, torch.stack(driver).permute(0, 3, 1, 2)
        at, to = plain.detect(states["kp_detector"], source), plain.detect(states["kp_detector"], driving)
        at = {name: value.expand(len(driver), *value.shape[1:]) for name, value in at.items()}
        wanted = plain.generate(states["generator"], source.expand(len(driver), -1, -1, -1), at, to)["prediction"]
    assert (absolute.driving.values - to["value"]).abs().max() < 1e-4
    for chunk in (None, 3):
        assert (frames(sample_face, absolute, weights, chunk) - wanted).abs().max() < 1e-3


def test_relative_motion_of_the_source_itself_is_the_source(sample_face, weights):
    still = motion_keypoints([sample_face.crop[0].permute(1, 2, 0)] * 2, 25, sample_face, framing="whole",
                             weights=weights["keypoints"])  # fmt: skip
    assert (still.driving.values - still.source.values).abs().max() < 1e-5
    assert (still.driving.jacobians - still.source.jacobians).abs().max() < 1e-4


def random_keypoints(count, seed):
    chance = torch.Generator().manual_seed(seed)
    turn = torch.eye(2) + 0.2 * torch.randn(count, 15, 2, 2, generator=chance)
    return Keypoints(torch.rand(count, 15, 2, generator=chance) * 1.6 - 0.8, turn)


def test_relative_motion():
    source, driving = random_keypoints(1, 0), random_keypoints(4, 1)
    found = relative(source, driving, 0, adapt_scale=True)
    scale = math.sqrt(hull_area(source.values[0]) / hull_area(driving.values[0]))
    for frame in range(4):
        value = (driving.values[frame] - driving.values[0]) * scale + source.values[0]
        assert torch.allclose(found.values[frame], value, atol=1e-6)
        turn = driving.jacobians[frame] @ torch.linalg.inv(driving.jacobians[0]) @ source.jacobians[0]
        assert torch.allclose(found.jacobians[frame], turn, atol=1e-4)
    assert torch.allclose(found.values[0], source.values[0])
    from_third = relative(source, driving, 2, adapt_scale=False)
    assert torch.allclose(from_third.values[2], source.values[0])
    assert torch.allclose(from_third.values[0] - source.values[0], driving.values[0] - driving.values[2], atol=1e-6)


def test_scale_does_not_depend_on_place_or_turn():
    points = random_keypoints(1, 3).values[0]
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    assert movement_scale(2 * points @ turn.T + 0.3, points) == pytest.approx(2, rel=1e-5)


def test_hulls():
    square = torch.tensor([[0.0, 0], [2, 0], [2, 2], [0, 2], [1, 1], [0.5, 1.5], [2, 1]])
    assert hull_area(square) == pytest.approx(4) and hull_area(square.flip(0)) == pytest.approx(4)
    with pytest.raises(InputError, match="one line"):
        movement_scale(square, torch.arange(10.0).view(5, 2))


def test_the_best_frame_is_the_one_most_like_the_source(sample_face, moving_face, weights):
    """The driver's third frame is the source picture itself; the others open the mouth."""
    opened = moving_face[0].permute(0, 2, 3, 1)
    order = [opened[5], opened[4], opened[0], opened[6]]
    found = motion_keypoints(order, 25, sample_face, adapt_scale=False, best_frame=True, framing="whole",
                             weights=weights["keypoints"])  # fmt: skip
    assert (found.driving.values[2] - found.source.values).abs().max() < 1e-4
    first = motion_keypoints(order, 25, sample_face, adapt_scale=False, framing="whole", weights=weights["keypoints"])
    assert (first.driving.values[0] - first.source.values).abs().max() < 1e-4
    assert (first.driving.values[2] - first.source.values).abs().max() > 1e-4


def test_framing_cuts_the_driver_as_the_source_was_cut(sample_face, weights):
    whole_picture = sample_face.picture[..., :3]
    framed = motion_keypoints([whole_picture], 25, sample_face, "absolute", weights=weights["keypoints"])
    assert (framed.driving.values - framed.source.values).abs().max() < 2e-2  # the landmarks are found anew
    with pytest.raises(InputError, match="Frame 0 of the driving video shows no face"):
        motion_keypoints([torch.zeros(300, 300, 3)], 25, sample_face, weights=weights["keypoints"])


def test_landmarks_go_with_the_flow():
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, 65)[:-1] + 1 / 64,) * 2, indexing="ij")
    grid = torch.stack([x, y], -1)[None]
    points = torch.rand(68, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    moved = carried_points(grid - torch.tensor([0.125, -0.25]), points)  # every place fetches from there
    assert (moved[0] - points - torch.tensor([0.125, -0.25])).abs().max() < 1e-4


def test_what_cannot_drive_is_refused(sample_face, absolute, driver, weights):
    with pytest.raises(InputError, match="0 frames"):
        warp_stream(sample_face, MotionKeypoints(absolute.source, absolute.driving.part(0, 0)), weights["warper"])
    with pytest.raises(InputError, match="gave 15 keypoints, but this warper was trained with 3"):
        other = MotionKeypoints(random_keypoints(1, 0), random_keypoints(2, 1))
        warp_stream(sample_face, other, weights["warper"])
    bad = Keypoints(absolute.driving.values * float("nan"), absolute.driving.jacobians)
    with pytest.raises(InputError, match="not finite"):
        warp_stream(sample_face, MotionKeypoints(absolute.source, bad), weights["warper"])
    with pytest.raises(InputError, match="cannot drive a MemoryWarper"):
        warp_stream(sample_face, absolute)  # the embedded warper follows landmarks
    with pytest.raises(InputError, match="no frames"):
        motion_keypoints([], 25, sample_face, weights=weights["keypoints"])
    with pytest.raises(InputError, match="rate is 0"):
        motion_keypoints(driver, 0, sample_face, weights=weights["keypoints"])
    with pytest.raises(InputError, match="'sideways'"):
        motion_keypoints(driver, 25, sample_face, "sideways", weights=weights["keypoints"])


def test_a_stream_of_another_warper_is_refused(sample_face, weights):
    from articulate.models_hub.networks.ibug68 import DENSITY_REGIONS
    from articulate.models_hub.types import Density, Landmarks

    points = Landmarks(sample_face.points[None], torch.ones(1, dtype=torch.bool))
    ours = warp_stream(sample_face, Density(points, tuple(map(tuple, DENSITY_REGIONS))))
    with pytest.raises(InputError, match="another warper's features"):
        list(generate_stream(ours, weights["generator"]))


def test_the_fast_form_is_made_once(weights):
    from articulate.models_hub.loading import load_network

    network, run = load_network("warper", weights["warper"]), Runtime("cpu")
    assert placed(network, run) is placed(network, run)
    assert placed(network, run, torch.bfloat16) is not placed(network, run)
