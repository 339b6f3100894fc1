"""Adapters: nothing at the start, merged for the tuned face, bit for bit the old network for others."""

import copy

import pytest
import torch
from articulate.models_hub.loading import load_network, save_network
from articulate.models_hub.networks.face_code import FaceCode
from articulate.models_hub.networks.low_rank import OPEN, SHUT, PersonalGenerator, adapt, personal
from articulate.models_hub.stages.fine_tune import with_condensers
from articulate.models_hub.stages.personal import face_codes
from torch import nn


def direction(likeness):
    """A code of the given cosine with the first unit vector."""
    code = torch.zeros(32)
    code[0], code[1] = likeness, (1 - likeness**2) ** 0.5
    return code


@pytest.fixture(scope="module")
def tuned():
    """The embedded generator with adapters that do something, and what it was before."""
    torch.manual_seed(0)
    before = load_network("generator")
    after = copy.deepcopy(before)
    for parameter in adapt(after, 4):
        nn.init.normal_(parameter, std=0.02)
    return before, after


@pytest.fixture(scope="module")
def made(tuned):
    before, after = tuned
    return personal(before, after, direction(1.0)[None], before.sizes, 4)


def inputs(generator):
    random = torch.Generator().manual_seed(1)
    half, quarter, coarse = generator.channels
    features = [torch.randn(1, c, s, s, generator=random) for c, s in ((coarse, 8), (quarter, 16), (half, 32))]
    points = torch.rand(1, 68, 2, generator=random) - 0.5
    hints = generator.hints(points, points, torch.zeros(1, 8, 8, 2), 64)
    return tuple(features), hints, torch.rand(1, 3, 64, 64, generator=random)


def test_fresh_adapters_change_nothing():
    before = load_network("generator")
    after = copy.deepcopy(before)
    trained = adapt(after, 8)
    assert sum(value.numel() for value in trained) < 0.2 * sum(value.numel() for value in before.parameters())
    for ours, theirs in zip(after(*inputs(before)), before(*inputs(before)), strict=True):
        assert torch.equal(ours, theirs)


def test_other_faces_get_the_old_network_bit_for_bit(tuned, made):
    plain = made.for_face(direction(SHUT - 0.01))
    for name, value in tuned[0].state_dict().items():
        assert torch.equal(plain.state_dict()[name], value), name


def test_the_tuned_face_gets_the_tuned_network(tuned, made):
    before, after = tuned
    merged = made.for_face(direction(1.0))
    for ours, theirs, old in zip(merged(*inputs(before)), after(*inputs(before)), before(*inputs(before)), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
        assert (ours - old).abs().max() > 1e-4


def test_between_both_the_change_grows(tuned, made):
    weight = "paint.weight"
    old = tuned[0].state_dict()[weight]
    sizes = [(made.for_face(direction(at)).state_dict()[weight] - old).norm() for at in (SHUT, (SHUT + OPEN) / 2, OPEN)]
    assert sizes[0] == 0 < sizes[1] < sizes[2]


def test_a_personal_file_is_small_and_loads_as_it_was(made, tmp_path, tuned):
    path = tmp_path / "me.safetensors"
    save_network(made, path, {"channels": list(made.channels), "rank": 4}, half=True)
    assert path.stat().st_size < 3_000_000
    loaded = load_network("generator", str(path))
    assert isinstance(loaded, PersonalGenerator) and loaded.rank == 4
    for likeness in (0.0, 1.0):
        ours, theirs = (network.for_face(direction(likeness)).state_dict() for network in (loaded, made))
        for name, value in theirs.items():
            torch.testing.assert_close(ours[name], value, atol=2e-3, rtol=2e-3, msg=name)


def test_condensers_leave_the_generator_as_it_was_and_are_shut_for_others():
    before = load_network("generator")
    after = with_condensers(before, 512)
    for ours, theirs in zip(after(*inputs(before)), before(*inputs(before)), strict=True):
        assert torch.equal(ours, theirs)
    tuned = copy.deepcopy(after)
    adapt(tuned, 2)
    with torch.no_grad():
        tuned.condense_coarse.strength.fill_(0.7)
    made = personal(after, tuned, direction(1.0)[None], {"channels": list(before.channels), "condenser": 512}, 2)
    assert made.for_face(direction(1.0)).condense_coarse.strength == pytest.approx(0.7)
    assert made.for_face(direction(0.0)).condense_coarse.strength == 0


def test_face_codes_know_a_face_in_other_light_and_expression(moving_face, sample_face):
    frames, points = moving_face
    codes = face_codes(torch.cat([frames[:3], frames[:1] * 0.7]), torch.cat([points[:3], points[:1]]))
    assert (codes @ codes[0]).min() > SHUT and (codes @ codes[0])[-1] > OPEN
    mirrored = face_codes(frames[:1].flip(-2), points[:1])  # upside down: no face at all
    assert (mirrored @ codes[0]).item() < SHUT


def test_face_code_separates_made_up_people():
    random = torch.Generator().manual_seed(0)
    code = FaceCode(8)
    people = torch.randn(12, 830, generator=random)
    values = people.repeat_interleave(10, 0) + 0.3 * torch.randn(120, 830, generator=random)
    code.fit(values, [str(index // 10) for index in range(120)], variance=40)
    fresh = people + 0.3 * torch.randn(12, 830, generator=random)
    codes = nn.functional.normalize((torch.cat([people, fresh]) - code.mean) @ code.directions, dim=-1)
    likeness = codes[:12] @ codes[12:].T
    assert (likeness.argmax(1) == torch.arange(12)).all()
