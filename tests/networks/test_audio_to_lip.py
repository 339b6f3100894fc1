"""The audio encoder's receptive field is exact, and it knows no absolute time."""

import pytest
import torch
from articulate.models_hub.networks.audio_to_lip import CONTEXT, MARGIN, STEP, UNIT, AudioToLip


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return AudioToLip(width=24).eval().requires_grad_(False)


def mel(frames, seed=0):
    return torch.randn(1, frames * STEP + 2 * MARGIN, 64, generator=torch.Generator().manual_seed(seed))


def test_one_unit_per_video_frame(network):
    assert network(mel(1)).shape == (1, 1, 24)
    assert network(mel(50)).shape == (1, 50, 24)


def test_context_is_1_24_seconds():
    assert UNIT + 2 * CONTEXT * STEP == 2 * MARGIN + STEP == 124  # mel frames of 10 ms


@pytest.mark.parametrize("index", [0, 20, 39])
def test_a_unit_sees_its_window_and_nothing_else(network, index):
    sound = mel(40)
    first, last = index * STEP, index * STEP + 2 * MARGIN + STEP  # what the unit may see
    outside = sound.clone()
    outside[:, :first] += 3
    outside[:, last:] -= 3
    torch.testing.assert_close(network(outside)[:, index], network(sound)[:, index], atol=1e-6, rtol=0)
    for edge in (first, last - 1):
        inside = sound.clone()
        inside[:, edge] += 3
        assert (network(inside)[:, index] - network(sound)[:, index]).abs().max() > 1e-5


def test_delaying_the_sound_by_a_frame_delays_the_units(network):
    sound = mel(30)
    delayed = torch.cat([mel(1, seed=1)[:, :STEP], sound[:, :-STEP]], 1)
    torch.testing.assert_close(network(delayed)[:, 1:], network(sound)[:, :-1], atol=1e-6, rtol=0)


def test_normalisation_is_fixed_and_per_band(network):
    sound = mel(2)
    assert torch.equal(network.normalise(sound)[:, :5], network.normalise(sound[:, :5]))
