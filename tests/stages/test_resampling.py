"""A doubled picture holds the picture, and what lies between its pixels."""

import cv2
import numpy as np
import pytest
from articulate.models_hub.stages.resampling import TAPS, doubled, halfway_kernel


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_the_picture_is_every_other_pixel(kind):
    random = np.random.default_rng(0)
    picture = (random.random((9, 14, 3)) * (255 if kind == np.uint8 else 1)).astype(kind)
    result = doubled(picture)
    assert result.shape == (18, 28, 3) and result.dtype == kind
    assert np.array_equal(result[::2, ::2], picture)


def test_pixels_between_lie_halfway():
    kernel = halfway_kernel()
    assert len(kernel) == TAPS and kernel.sum() == pytest.approx(1) and np.allclose(kernel, kernel[::-1])
    y, x = np.mgrid[0:40, 0:60] / 1.0
    waves = [np.sin(0.9 * x + 0.4 * y), np.cos(0.3 * x - 1.3 * y), x / 60]
    result = doubled(np.stack(waves, -1).astype(np.float32))
    v, u = np.mgrid[0:80, 0:120] / 2
    inner = (slice(TAPS, -TAPS), slice(TAPS, -TAPS))
    for wave, exact in zip(
        np.moveaxis(result, -1, 0), (np.sin(0.9 * u + 0.4 * v), np.cos(0.3 * u - 1.3 * v)), strict=False
    ):
        assert np.abs(wave - exact)[inner].max() < 0.01


def test_fine_texture_survives_half_a_pixel():
    random = np.random.default_rng(1)
    grain = cv2.GaussianBlur(random.normal(0.5, 0.1, (64, 64, 3)).astype(np.float32), (0, 0), 0.7)
    places = (np.stack(np.meshgrid(np.arange(64), np.arange(64)), -1) + 0.5).astype(np.float32)

    def left(source, scale):
        moved = cv2.remap(source, places * scale, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return cv2.Laplacian(moved, -1)[12:-12, 12:-12].var() / cv2.Laplacian(grain, -1)[12:-12, 12:-12].var()

    assert left(doubled(grain), 2) > 0.85
    assert left(grain, 1) < 0.75
