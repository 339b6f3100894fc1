"""Sounds without speech: as long and as loud as they should be, steady where they are called so, always closed."""

import pytest
import torch
from articulate.models_hub.networks.audio_to_lip import MARGIN, STEP
from articulate.models_hub.stages.audio import SAMPLE_RATE
from articulate.models_hub.training import other_sounds

SAMPLES = 3 * SAMPLE_RATE


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seed", range(4))
def test_crops_are_whole_and_closed_and_repeat_with_their_seed(seed):
    first, second = (other_sounds.other_sounds_batch(3, 16, seeded(seed), 5) for _ in range(2))
    assert torch.equal(first.mel, second.mel)
    assert first.mel.shape == (3, 16 * STEP + 2 * MARGIN, 64) and first.mel.isfinite().all()
    assert torch.equal(first.clean, first.mel[:, MARGIN:-MARGIN])
    assert (first.motion == 0).all() and (first.seen == 1).all() and (first.phones == 0).all()
    assert first.heard.shape == (3, 16, 5) and not first.heard.any()


@pytest.mark.parametrize("make", [other_sounds.noise, other_sounds.hum, other_sounds.music, other_sounds.drums])
@pytest.mark.parametrize("seed", range(3))
def test_each_kind_is_heard(make, seed):
    sound = make(SAMPLES, seeded(seed))
    assert sound.shape == (SAMPLES,) and sound.isfinite().all()
    assert sound.square().mean() == pytest.approx(1, abs=1e-3)


def course(sound):
    """Loudness of every 100 ms."""
    return sound.view(-1, SAMPLE_RATE // 10).square().mean(1).sqrt()


def test_noise_and_hum_are_steady_and_music_and_drums_have_a_beat():
    for seed in range(5):
        for steady in (other_sounds.noise, other_sounds.hum):
            assert course(steady(SAMPLES, seeded(seed))).std() < 0.25
        for beating in (other_sounds.music, other_sounds.drums):
            assert course(beating(SAMPLES, seeded(seed))).std() > 0.1
