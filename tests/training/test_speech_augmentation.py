"""Codecs only lose: what each kind of loss may do to log mel power, and what it may not."""

import pytest
import torch
from articulate.models_hub.training import speech_augmentation as augmentation

LOSSES = (augmentation.limit_band, augmentation.dig_holes, augmentation.quantise, augmentation.smear)
FLOOR = augmentation.LOG_FLOOR


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def mel():
    """(4, 200, 64) spoken-like: a slow envelope, two broad formants, grain."""
    time, band = torch.arange(200)[:, None], torch.arange(64)[None]
    envelope = 3 * torch.sin(time / 9.0)
    formants = 4 * torch.exp(-((band - 18 - 6 * torch.sin(time / 17.0)) ** 2) / 30) - band / 12
    grain = 0.5 * torch.randn(4, 200, 64, generator=seeded())
    return (envelope + formants - 9 + grain).clamp(min=FLOOR)


@pytest.mark.parametrize("lose", LOSSES)
@pytest.mark.parametrize("frames", [1, 3, 200])
def test_losses_keep_shape_and_floor_and_repeat_with_their_seed(mel, lose, frames):
    part = mel[:, :frames]
    first, second = lose(part, seeded(1)), lose(part, seeded(1))
    assert torch.equal(first, second)
    assert first.shape == part.shape and first.isfinite().all() and first.min() >= FLOOR


def test_a_limited_band_loses_its_ends_and_nothing_else(mel):
    lost = augmentation.limit_band(mel, seeded()) - mel
    assert (lost <= 0).all()
    assert (lost[..., augmentation.LOWEST_LEFT + 1 : augmentation.BANDWIDTHS[0]] == 0).all()
    top = lost[..., -1]
    assert ((top < -1) | (mel[..., -1] + lost[..., -1] <= FLOOR + 1e-5)).all()  # at least 8 dB a band, 3 bands


def test_holes_are_dug_beside_what_is_louder_only(mel):
    coded = augmentation.dig_holes(mel, seeded())
    holes = coded == FLOOR
    assert 0 < holes.float().mean() < 0.5
    assert torch.equal(coded[~holes], mel[~holes])
    strongest = mel.argmax(2, keepdim=True)
    assert not holes.gather(2, strongest).all()
    flat = torch.full((2, 50, 64), -9.0)
    assert torch.equal(augmentation.dig_holes(flat, seeded()), flat)  # nothing is hidden by its equals


def test_quantised_levels_stay_within_half_a_step(mel):
    coded = augmentation.quantise(mel, seeded())
    assert (coded - mel).abs().max() <= 3 * augmentation.NEPERS + 1e-4
    assert all(len(sound.unique()) < 100 for sound in coded)


def test_smear_is_heard_before_an_onset_and_adds_only():
    sudden = torch.full((3, 120, 64), FLOOR)
    sudden[:, 60:] = -5
    coded = augmentation.smear(sudden, seeded())
    assert (coded >= sudden).all()
    heard = (coded[:, :60] > FLOOR + 1).any(2).nonzero()[:, 1]
    assert not len(heard) or heard.min() >= 50  # no longer than a frame of a codec
    assert coded[:, 70:].sub(sudden[:, 70:]).mean() < 0.5


def test_some_sounds_stay_whole_and_some_are_coded(mel):
    many = mel[:1].expand(200, -1, -1)
    whole = (augmentation.coded(many, seeded()) == many).flatten(1).all(1).float().mean()
    assert 0.15 < whole < 0.5
    assert torch.equal(many[0], mel[0])  # and what was given stays
