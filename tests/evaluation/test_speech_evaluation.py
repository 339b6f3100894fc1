"""The figures of speech to lips on motions whose answers are known."""

import numpy as np
import pytest
import torch
from articulate.models_hub.evaluation.speech import correlation, lip_figures, summary


def lips(curve, amplitude=0.2):
    """(T, 20, 2): inner and outer lower lip drop with the curve."""
    points = torch.zeros(len(curve), 20, 2)
    points[:, 6:12, 1] = points[:, 17:20, 1] = amplitude * curve[:, None]
    return points


@pytest.fixture
def curve():
    random = np.random.default_rng(0)
    return torch.from_numpy(np.convolve(random.random(120), np.ones(5) / 5, "same")).float()


def test_a_perfect_prediction(curve):
    figures = summary([lip_figures(lips(curve), lips(curve))])
    assert figures["mouth_opening_correlation"] == pytest.approx(1)
    assert figures["lip_error_reduction"] == pytest.approx(1)
    assert figures["lip_error_reduction_strict"] == pytest.approx(1)


def test_a_still_prediction_is_the_constant_mouth(curve):
    figures = summary([lip_figures(lips(curve * 0), lips(curve))])
    assert figures["mouth_opening_correlation"] == 0
    assert figures["lip_error_reduction"] == pytest.approx(0, abs=1e-6)


def test_an_offset_costs_in_the_strict_figure_only(curve):
    figures = summary([lip_figures(lips(curve) + 0.3, lips(curve))])
    assert figures["lip_error_reduction"] == pytest.approx(1, abs=1e-5)
    assert figures["lip_error_reduction_strict"] < 0


def test_amplitude_costs_error_but_not_correlation(curve):
    figures = summary([lip_figures(lips(curve, 0.1), lips(curve))])
    assert figures["mouth_opening_correlation"] == pytest.approx(1)
    assert figures["lip_error_reduction"] == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("lag", [-3, 2])
def test_the_best_lag_finds_a_shift(curve, lag):
    figures = lip_figures(lips(curve.roll(lag)), lips(curve))
    assert figures["best_lag"] > 0.99 > figures["correlation"]


def test_correlation_of_something_still_is_zero():
    assert correlation(np.zeros(5), np.arange(5.0)) == 0
