"""ATVGnet: networks and conversion against a plain implementation, and against recorded outputs where given."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import published_atvgnet as plain
import pytest
import torch
from articulate.models_hub.converters.atvgnet import frame_network, landmark_network, read_basics
from articulate.models_hub.converters.checkpoint import plain_state
from articulate.models_hub.networks.acceleration import accelerated
from articulate.models_hub.networks.atvgnet import EXAGGERATION, ATVGnetLandmarks, ConvGRUStep, even_pieces

GOLDEN = os.environ.get("ARTICULATE_GOLDEN", "")


@pytest.fixture(scope="module")
def states():
    return plain.random_states()


@pytest.fixture(scope="module")
def listener(states):
    return landmark_network(plain_state(states["at"], "AT-net"), plain.basics())


@pytest.fixture(scope="module")
def painter(states):
    return frame_network(plain_state(states["vg"], "VG-net"), plain.basics())[0]


@pytest.fixture(scope="module")
def painted(states):
    """An image, three landmarks, an example, and what the plain implementation makes of them."""
    chance = torch.Generator().manual_seed(1)
    image = (
        torch.nn.functional.interpolate(torch.rand(1, 3, 16, 16, generator=chance), size=128, mode="bicubic") * 2 - 1
    )
    landmarks, example = (0.3 * torch.randn(count, 136, generator=chance) for count in (3, 1))
    with torch.inference_mode():
        return image, landmarks, example, plain.vg_net(states["vg"], image, landmarks, example)


@pytest.mark.parametrize("piece", [64, 2])
def test_coefficients_are_the_published_ones(states, listener, piece):
    chance = torch.Generator().manual_seed(2)
    windows, example = torch.randn(5, 28, 12, generator=chance), torch.randn(1, 6, generator=chance)
    with torch.inference_mode():
        wanted = plain.at_net(states["at"], example, windows)
        for network in (listener, accelerated(listener)):
            assert (network(windows[None], example, piece)[0] - wanted).abs().max() < 1e-4
    assert wanted.std(0).min() > 1e-3  # it hears something


@pytest.mark.parametrize("form", ["plain", "accelerated"])
def test_frames_are_the_published_ones(painter, painted, form):
    image, landmarks, example, wanted = painted
    network = painter if form == "plain" else accelerated(painter)
    with torch.inference_mode():
        for piece in (1, 2, 16):
            for mine, theirs in zip(network(image, landmarks, example, piece), wanted, strict=True):
                assert mine.shape == theirs.shape and (mine - theirs).abs().max() < 1e-3
    assert (wanted[0][0] - wanted[0][1]).abs().max() > 0.05  # landmarks matter


def test_half_precision_is_near(painter, painted):
    image, landmarks, example, wanted = painted
    with torch.inference_mode():
        frames, *others = accelerated(painter, torch.bfloat16)(image, landmarks, example)
    assert {part.dtype for part in (frames, *others)} == {torch.float32}
    assert 10 * torch.log10(4 / (frames - wanted[0]).square().mean()) > 30  # of -1..1


def test_pixels_that_attention_leaves_alone_are_the_photo_s(painter, painted):
    image, landmarks, example, _ = painted
    with torch.inference_mode():
        frames, attention, colour, _ = painter(image, landmarks, example)
    assert torch.allclose(frames, attention * colour + (1 - attention) * image, atol=1e-5)


def test_the_space_of_coefficients(listener):
    coefficients = torch.randn(4, 6, generator=torch.Generator().manual_seed(3))
    assert torch.allclose(listener.project(listener.expand(coefficients)), coefficients, atol=1e-5)
    assert EXAGGERATION == (1.0, 2.2, 2.4, 2.6, 2.8, 3.0)


def test_a_state_of_zeros_is_no_state():
    step = ConvGRUStep(4, 8).eval()
    maps = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(step(maps), step(maps, torch.zeros(2, 8, 8, 8)), atol=1e-6)
        assert (step(maps, torch.ones(2, 8, 8, 8)) - step(maps)).abs().max() > 0.1


golden = pytest.mark.skipif(
    not GOLDEN, reason="recorded outputs of the authors' code are compared where ARTICULATE_GOLDEN names their folder"
)


@golden
@pytest.mark.parametrize("case", ["a", "b"])
def test_recorded_outputs(case):
    spec = importlib.util.spec_from_file_location("golden_weights", Path(GOLDEN) / "golden_weights.py")
    weights = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(weights)
    record = np.load(Path(GOLDEN) / f"atvg_case_{case}.npz")
    known = {name: torch.from_numpy(record[name]).float() for name in record.files if record[name].dtype.kind != "U"}
    states = {
        network: {
            name: torch.from_numpy(weights.tensor(name, shape, str(record["salt"]))) for name, shape in names.items()
        }
        for network, names in plain.shapes().items()
    }
    constants, _ = read_basics(Path(GOLDEN) / "atvg_basics")
    listener, painter = landmark_network(states["at"], constants), frame_network(states["vg"], constants)[0]
    lips = listener.neutral.view(68, 2)[[62, 66], 1]
    errors = {"gap of the constant example's inner lips": lips[1] - lips[0] - 0.0019}  # seed 02, section 2
    with torch.inference_mode():
        quick = accelerated(listener), accelerated(painter)
        example = listener.project(known["example_landmark"])
        coefficients = quick[0](known["mfcc"], example)
        landmarks = listener.expand(coefficients * torch.tensor(EXAGGERATION))
        errors["coefficients"] = coefficients - known["coefficients"]
        errors["landmarks"] = landmarks - known["landmarks"]
        errors["example_projected"] = listener.expand(example) - known["example_projected"].view(1, -1)
        for piece in (1, 3, 16):
            made = quick[1](known["image"], known["landmarks"][0], listener.expand(example), piece)
            for name, values in zip(("frames", "attention", "colour", "landmark_attention"), made, strict=True):
                errors[f"prediction {name}, {piece} at once"] = values - known[name].reshape(values.shape)
    largest = {name: float(error.abs().max()) for name, error in errors.items()}
    print(case, largest)
    assert all(error <= (1e-3 if name.startswith("prediction") else 1e-4) for name, error in largest.items()), largest


def test_at_net_tells_how_far_it_is_and_can_be_stopped():
    torch.manual_seed(0)
    network, told = ATVGnetLandmarks(hidden=8, layers=1).eval(), []
    windows, example = torch.randn(1, 5, 28, 12), torch.zeros(1, 6)
    with torch.inference_mode():
        network(windows, example, piece=2, progress=lambda *state: told.append(state))
    assert told == [(2, 5), (4, 5), (5, 5)]

    def stop(done, _in_all):
        raise KeyboardInterrupt(done)

    with torch.inference_mode(), pytest.raises(KeyboardInterrupt, match="2"):
        network(windows, example, piece=2, progress=stop)


@pytest.mark.parametrize(("count", "lengths"), [(24, [12, 12]), (33, [11, 11, 11]), (5, [5]), (17, [9, 8]), (0, [0])])
def test_pieces_are_few_and_even(count, lengths):
    values = torch.arange(count)
    pieces = even_pieces(values, 16)
    assert [len(piece) for piece in pieces] == lengths and torch.equal(torch.cat(pieces), values)
