"""MCNet: the networks and their conversion against a plain implementation, and against recorded outputs where given."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import published_mcnet as plain
import pytest
import torch
from articulate.models_hub.converters.mcnet import keypoint_detector, warper_and_generator
from articulate.models_hub.networks.acceleration import WinogradBlock, accelerated
from articulate.models_hub.networks.mcnet import MCNetGenerator, MCNetWarper
from articulate.models_hub.networks.mcnet_keypoints import Keypoints
from articulate.models_hub.networks.mcnet_motion import inverse

GOLDEN = os.environ.get("ARTICULATE_GOLDEN", "")
SIZE = 128


def pictures(count, size=SIZE, seed=1):
    noise = torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, size=size, mode="bicubic").clamp(0, 1)


def networks(states):
    detector, _ = keypoint_detector(dict(states["kp_detector"]))
    (warper, _), (generator, _) = warper_and_generator(dict(states["generator"]))
    return detector, warper, generator


def run(warper, generator, image, source, driving, piece=512):
    picture = warper.encode(image)
    flow, occlusion, features = warper(picture, source, driving, piece)
    return flow, occlusion, generator(features, image, flow, occlusion)[0]


@pytest.fixture(scope="module")
def states():
    return plain.random_states(3)


@pytest.fixture(scope="module")
def made(states):
    return networks(states)


@pytest.fixture(scope="module")
def expected(states):
    """The plain implementation's keypoints and frames, of one source and three driving pictures."""
    source, driving = pictures(1), pictures(3, seed=2)
    with torch.inference_mode():
        at, to = plain.detect(states["kp_detector"], source), plain.detect(states["kp_detector"], driving)
        three = {name: value.expand(3, *value.shape[1:]) for name, value in at.items()}
        frames = plain.generate(states["generator"], source.expand(3, -1, -1, -1), three, to)
    return source, driving, at, to, frames


def keypoints(found):
    return Keypoints(found["value"], found["jacobian"])


def test_the_detector_is_the_published_one(made, expected):
    source, driving, at, to, _ = expected
    with torch.inference_mode():
        for pictures_, found in ((source, at), (driving, to)):
            ours = made[0](pictures_)
            assert (ours.values - found["value"]).abs().max() < 1e-5
            assert (ours.jacobians - found["jacobian"]).abs().max() < 1e-5
    assert at["value"].std() > 0.01 and (to["value"][0] - to["value"][1]).abs().max() > 1e-3  # it looks at the picture


@pytest.mark.parametrize("form", ["plain", "accelerated"])
@pytest.mark.parametrize("piece", [1 << 20, 512, 37])
def test_frames_are_the_published_ones(made, expected, form, piece):
    source, _, at, to, frames = expected
    warper, generator = made[1:] if form == "plain" else map(accelerated, made[1:])
    with torch.inference_mode():
        flow, occlusion, prediction = run(warper, generator, source, keypoints(at), keypoints(to), piece)
    assert (flow - frames["deformation"]).abs().max() < 1e-4
    assert (occlusion - frames["occlusion_map"]).abs().max() < 1e-4
    assert (prediction - frames["prediction"]).abs().max() < 1e-3
    assert frames["prediction"].std() > 0.05 and (frames["prediction"][0] - frames["prediction"][1]).abs().max() > 0.05


def test_a_frame_does_not_depend_on_its_neighbours(made, expected):
    source, _, at, to, _ = expected
    quick = [accelerated(network) for network in made[1:]]
    with torch.inference_mode():
        *_, together = run(*quick, source, keypoints(at), keypoints(to))
        alone = [run(*quick, source, keypoints(at), keypoints(to).part(i, i + 1))[2] for i in range(3)]
    assert (together - torch.cat(alone)).abs().max() < 1e-4


def test_gradients_are_those_of_the_published_network(states, made, expected):
    """Training takes another way through the memory than inference does; it must be the same function."""
    source, _, at, to, _ = expected
    one = {name: value[:1] for name, value in to.items()}
    at = {name: value.clone().requires_grad_() for name, value in at.items()}
    loss = plain.generate(states["generator"], source.clone(), at, {n: v.clone() for n, v in one.items()})["prediction"]
    wanted = torch.autograd.grad(loss.square().sum(), list(at.values()))
    ours = Keypoints(at["value"], at["jacobian"])
    _, _, prediction = run(*made[1:], source.clone(), ours, Keypoints(*(value.clone() for value in one.values())))
    found = torch.autograd.grad(prediction.square().sum(), list(at.values()))
    for mine, theirs in zip(found, wanted, strict=True):
        assert (mine - theirs).abs().max() < 1e-2 * theirs.abs().max()


def test_a_still_driver_moves_nothing(made, expected):
    source, _, at, _, _ = expected
    with torch.inference_mode():
        flow, _ = made[1].flow(made[1].encode(source), keypoints(at), keypoints(at))
    whole = torch.linspace(-1, 1, flow.shape[1])
    assert (flow[0, :, :, 0] - whole).abs().max() < 1e-4
    assert (flow[0, :, :, 1] - whole[:, None]).abs().max() < 1e-4


def test_half_precision_is_near(made, expected):
    source, _, at, to, frames = expected
    quick = [accelerated(network, torch.bfloat16) for network in made[1:]]
    with torch.inference_mode():
        *_, prediction = run(*quick, source, keypoints(at), keypoints(to))
    assert prediction.dtype == torch.float32
    error = (prediction - frames["prediction"]).square().mean()
    assert -10 * torch.log10(error) > 30  # the published sizes: 40 and more, by `articulate bench --against`
    weights = {weight.dtype for weight in quick[0].dense_motion.parameters() if weight.is_floating_point()}
    assert weights == {torch.float32}  # an error of the flow would move the picture


def test_the_accelerated_form_owns_its_tensors(made):
    """Else a few shared tensors would keep the whole file in memory."""
    for network in made[1:]:
        own = {value.data_ptr() for value in network.state_dict().values() if value.numel()}
        assert not own & {value.data_ptr() for value in accelerated(network).state_dict().values() if value.numel()}


def test_wide_blocks_are_transformed():
    generator = MCNetGenerator(width=32).eval()  # channels 256, 256, 128
    quick = accelerated(generator)
    assert isinstance(quick.blocks[0][0], WinogradBlock) and isinstance(quick.blocks[2][1], WinogradBlock)
    maps = torch.randn(2, 128, 9, 14, generator=torch.Generator().manual_seed(0))  # no multiples of four
    with torch.inference_mode():
        assert (quick.blocks[2][0](maps) - generator.blocks[2][0](maps)).abs().max() < 1e-3


def test_inverse_of_two_by_two():
    matrices = torch.randn(50, 2, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    assert torch.allclose(inverse(matrices) @ matrices, torch.eye(2, dtype=torch.float64).expand(50, 2, 2))
    assert not inverse(torch.ones(2, 2)).isfinite().any()


def test_the_sizes_are_read_off_the_tensors(states):
    (warper, sizes), (generator, width) = warper_and_generator(dict(states["generator"]))
    assert sizes == {"width": 8, "keypoints": 3, "motion_width": 4, "motion_depth": 5, "motion_limit": 32,
                     "memory_width": 16, "memory_size": 8} and width == {"width": 8}  # fmt: skip
    assert isinstance(warper, MCNetWarper) and isinstance(generator, MCNetGenerator)


golden = pytest.mark.skipif(
    not GOLDEN, reason="recorded outputs of the authors' code are compared where ARTICULATE_GOLDEN names their folder"
)


@golden
@pytest.mark.parametrize("case", ["a", "b"])
def test_recorded_outputs(case):
    spec = importlib.util.spec_from_file_location("golden_weights", Path(GOLDEN) / "golden_weights.py")
    weights = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(weights)
    record = np.load(Path(GOLDEN) / f"mcnet_case_{case}.npz")
    known = {name: torch.from_numpy(record[name]).float() for name in record.files if record[name].dtype.kind != "U"}
    states = {
        network: {
            name: plain.gaussian_kernel().expand(shape).clone()
            if name.endswith("down.weight")
            else torch.from_numpy(weights.tensor(name, shape, str(record["salt"])))
            for name, shape in names.items()
        }
        for network, names in plain.shapes().items()
    }
    detector, warper, generator = networks(states)
    source, driving = known["source"] / 255, known["driving"] / 255
    errors = {}
    with torch.inference_mode():
        at, to = detector(source), detector(driving)
        for kind, found in (("source", at), ("driving", to)):
            errors[f"kp_{kind}_value"] = found.values - known[f"kp_{kind}_value"]
            errors[f"kp_{kind}_jacobian"] = found.jacobians - known[f"kp_{kind}_jacobian"]
        quick = accelerated(warper), accelerated(generator)
        for batch in (1, 3):
            for piece in (1 << 20, 1000, 37):
                parts = [run(*quick, source, at, to.part(i, i + batch), piece) for i in range(0, 3, batch)]
                flow, occlusion, prediction = map(torch.cat, zip(*parts, strict=True))
                errors[f"deformation, batch {batch}, piece {piece}"] = flow - known["deformation"]
                errors[f"occlusion, batch {batch}, piece {piece}"] = occlusion - known["occlusion_map"]
                errors[f"prediction, batch {batch}, piece {piece}"] = prediction - known["prediction"]
        from articulate.models_hub.stages.motion_keypoints import movement_scale, relative

        scale = movement_scale(at.values[0], to.values[0])
        errors["relative_scale"] = torch.tensor(scale) - known["relative_scale"]
        prediction = run(*quick, source, at, relative(at, to))[2]
        errors["prediction, relative"] = prediction - known["prediction_relative"]
    largest = {name: float(error.abs().max()) for name, error in errors.items()}
    print(case, largest)
    assert all(error <= (1e-3 if name.startswith("prediction") else 1e-4) for name, error in largest.items()), largest
