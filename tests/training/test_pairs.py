"""Pairs that teach: of one clip, opening and closing, in a row where critics look; pictures that move like clips."""

import numpy as np
import pytest
import torch
from articulate.models_hub.training.pairs import PairSampler, in_a_row
from articulate.models_hub.training.stills import Stills


@pytest.fixture
def stills(footage):
    """One picture with the landmarks of the footage, all of one colour that no frame is of."""
    return Stills(np.full((1, 256, 256, 3), 200, np.uint8), footage.points[:1])


def test_sources_and_driven_frames_are_of_one_clip(footage):
    sampler = PairSampler(footage, seed=1)
    for _ in range(40):
        chosen = sampler._indices(2, sampler.random)
        assert len(chosen) == 5
        assert len({index // 12 for index in chosen}) == 1
        assert chosen[2] - chosen[1] == 1  # neighbours, for the difference critic


def test_most_pairs_open_or_close_the_mouth(footage):
    sampler = PairSampler(footage, seed=2)
    draws = [sampler._indices(1, sampler.random) for _ in range(200)]
    change = [abs(sampler.opening[a] - sampler.opening[b]) for a, b, *_ in draws]
    assert np.mean(change) > 0.4 * np.ptp(sampler.opening)


def test_the_same_seed_gives_the_same_batch(footage):
    a, b = PairSampler(footage, 3)(), PairSampler(footage, 3)()
    assert torch.equal(a.driving, b.driving) and torch.equal(a.source_points, b.source_points)


@pytest.mark.parametrize("first", [0, 5, 11])
def test_frames_in_a_row_stay_in_their_clip(first):
    chosen = in_a_row([12 + first, 40, 41, 42], 4, 12, 12)
    assert chosen == list(range(chosen[0], chosen[0] + 4)) and chosen[0] >= 12 and chosen[-1] < 24
    assert in_a_row([12 + first, 40, 41, 42], 1, 12, 12) == [12 + first, 40, 41, 42]
    assert in_a_row([12, 40, 41], 3, 12, 2) == [12, 13, 13]  # a clip that is too short repeats its end


def test_some_sources_are_pictures_that_move(footage, stills):
    plain, mixed = PairSampler(footage, 5), PairSampler(footage, 5, stills=stills)
    assert not any(flat(source) for _ in range(10) for source in plain().source)
    found = []
    for _ in range(20):
        batch = mixed()
        for place, source in enumerate(batch.source):
            if flat(source):
                found.append(place)
                driven = slice(4 * place, 4 * place + 4)
                assert all(flat(frame) for frame in batch.driving[driven])
                assert (batch.driving_points[driven] - batch.source_points[place]).abs().amax() > 0.003
    assert 5 <= len(found) <= 30  # a fifth of 80


def test_pairs_for_mouths_are_never_pictures(footage, stills):
    assert PairSampler(footage, 0, widest=True, stills=stills).stills is None


def flat(image):
    """Whether a picture is smooth: the footage is noise."""
    return float((image[:, 1:] - image[:, :-1]).abs().mean()) < 0.008
