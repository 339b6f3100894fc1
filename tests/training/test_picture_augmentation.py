"""Changes of pictures: landmarks go along, and worse cameras only take away."""

import numpy as np
import pytest
import torch
from articulate.models_hub.networks.ibug68 import MIRROR
from articulate.models_hub.training.picture_augmentation import augment, coarsen, compress, degrade
from skimage.data import astronaut


@pytest.fixture(scope="module")
def picture():
    """(3, 256, 256) of a real face."""
    return torch.from_numpy(astronaut()[:256, 96:352].copy()).permute(2, 0, 1).float() / 255


@pytest.mark.parametrize("seed", range(6))
def test_augmentation_moves_picture_and_landmarks_together(seed):
    points = torch.rand(1, 68, 2, generator=torch.Generator().manual_seed(seed)) - 0.5
    image = torch.zeros(1, 3, 256, 256)
    x, y = ((points[0, 8] + 1) * 128).int().tolist()
    image[..., y - 3 : y + 4, x - 3 : x + 4] = 1
    made, moved = augment(image, points, np.random.default_rng(seed))
    lit = (made[0, 0] - made[0, 0].median()).clamp(min=0)
    rows, columns = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
    centre = torch.stack([(lit * columns).sum(), (lit * rows).sum()]) / lit.sum()
    candidates = (moved[0, [8, MIRROR[8]]] + 1) * 128 - 0.5
    assert (candidates - centre).norm(dim=1).min() < 1.5


def energy(image):
    """How much neighbouring pixels differ."""
    return float((image[..., 1:] - image[..., :-1]).abs().mean())


def test_coarse_pictures_keep_their_colours_and_lose_detail(picture):
    made = [coarsen(picture[None], share) for share in (0.3, 0.6)]
    assert energy(made[0]) < energy(made[1]) < energy(picture)
    for image in made:
        assert image.shape == (1, 3, 256, 256) and image.min() >= 0 and image.max() <= 1
        assert (image.mean((2, 3)) - picture.mean((1, 2))).abs().max() < 0.005


def test_compression_loses_more_at_lower_quality(picture):
    errors = [float((compress(picture, quality) - picture).abs().mean()) for quality in (95, 50, 15)]
    assert 0 < errors[0] < errors[1] < errors[2] < 0.1


def test_all_frames_lose_resolution_and_the_source_alone_is_compressed(picture):
    images = torch.stack([picture, picture])
    same = degrade(images, np.random.default_rng(0), coarse=0, compressed=0)
    assert torch.equal(same, images)
    soft = degrade(images, np.random.default_rng(0), coarse=1, compressed=0)
    assert torch.equal(soft[0], soft[1]) and energy(soft) < energy(images)
    blocky = degrade(images, np.random.default_rng(0), coarse=0, compressed=1)
    assert torch.equal(blocky[1], picture) and not torch.equal(blocky[0], picture)
