"""The fast convolutions are the plain ones."""

import pytest
import torch
from articulate.models_hub.networks.acceleration import NormRelu, RowwiseConv
from articulate.models_hub.networks.convolution import (
    EnlargedConv,
    WinogradConv,
    fetch,
    linear,
    tile_transform,
    transformed_kernel,
)
from articulate.models_hub.networks.mcnet_blocks import thumbnail
from torch import nn
from torch.nn import functional as F

SIZES = [(1, 8, 8), (2, 5, 7), (1, 33, 4), (3, 64, 68)]


@pytest.fixture(autouse=True)
def same_numbers():
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


def conv(inputs=24, outputs=40, kernel=3, bias=True):
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("kept", [False, True])
def test_winograd(size, relu, kept):
    batch, height, width = size
    plain, maps = conv(bias=not relu), torch.randn(batch, 24, height, width)
    quick = WinogradConv(plain, relu)
    if kept:
        quick.keep_kernel()
    wanted = plain(maps).relu() if relu else plain(maps)
    assert (quick(maps) - wanted).abs().max() < 1e-4 * wanted.std() * 10
    assert (quick(maps.to(memory_format=torch.channels_last)) - wanted).abs().max() < 1e-3


def test_winograd_of_two_convolutions_in_turn():
    """Their transformed kernels share one place in memory."""
    one, two, maps = conv(24, 40), conv(24, 16), torch.randn(1, 24, 12, 12)
    quick = WinogradConv(one), WinogradConv(two)
    for _ in range(2):
        assert (quick[0](maps) - one(maps)).abs().max() < 1e-3
        assert (quick[1](maps) - two(maps)).abs().max() < 1e-3


def test_tiles_of_many_pictures_are_those_of_each():
    maps = torch.randn(9, 14, 22, 8)  # 15 tiles a picture, so two pictures at once
    whole = tile_transform(maps).unflatten(1, (9, 15))
    assert torch.equal(whole, torch.stack([tile_transform(one[None]) for one in maps], dim=1))


def test_an_impulse_gives_the_kernel_back():
    kernel = transformed_kernel(torch.eye(9), 3, 3)  # taps as (9, out in): one tap for each pair
    assert kernel.shape == (36, 3, 3)
    plain = conv(1, 1, bias=False)
    maps = torch.zeros(1, 1, 8, 8)
    maps[0, 0, 3, 4] = 1
    assert torch.allclose(WinogradConv(plain)(maps)[0, 0, 2:5, 3:6], plain.weight[0, 0].flip(0, 1), atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("relu", [False, True])
def test_doubling_then_convolving(size, relu):
    batch, height, width = size
    plain, maps = conv(), torch.randn(batch, 24, height, width)
    wanted = plain(F.interpolate(maps, scale_factor=2, mode="nearest"))
    wanted = wanted.relu() if relu else wanted
    assert (EnlargedConv(plain, relu)(maps) - wanted).abs().max() < 1e-4


def test_seven_by_seven_by_rows():
    plain, maps = conv(16, 3, 7), torch.randn(2, 16, 20, 13)
    assert (RowwiseConv(plain)(maps) - plain(maps)).abs().max() < 1e-4


def test_norm_and_relu():
    norm = nn.BatchNorm2d(6).eval()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.2, 2)
    norm.weight.data.normal_()
    maps = torch.randn(2, 6, 5, 5)
    assert (NormRelu(norm)(maps) - norm(maps).relu()).abs().max() < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("relu", [False, True])
def test_matrix_products(dtype, relu):
    inputs, weight, bias = (torch.randn(shape, dtype=dtype) for shape in ((33, 48), (20, 48), (20,)))
    wanted = F.linear(inputs.float(), weight.float(), bias.float())
    wanted = wanted.relu() if relu else wanted
    found = linear(inputs, weight, bias, relu)
    assert found.dtype == dtype and (found.float() - wanted).abs().max() < (1e-4 if dtype == torch.float32 else 0.2)
    wide = torch.randn(33, 96, dtype=dtype)
    part = wide[:, 10:58]  # a slice is the same product
    assert torch.allclose(linear(part, weight), linear(part.contiguous(), weight))


@pytest.mark.parametrize("reach", [1.0, 1.6])
def test_fetching_is_bilinear_with_zeros_beyond(reach):
    maps = torch.randn(1, 12, 9, 14)
    grid = (torch.rand(2, 10, 11, 2) * 2 - 1) * reach
    weight = torch.rand(2, 1, 10, 11)
    wanted = F.grid_sample(maps.expand(2, -1, -1, -1), grid, align_corners=True) * weight
    assert (fetch(maps, grid, weight) - wanted).abs().max() < 1e-5
    outside = fetch(maps, torch.full((1, 1, 1, 2), 3.0), torch.ones(1, 1, 1, 1))
    assert not outside.any()


def test_fetching_has_gradients():
    with torch.inference_mode(False), torch.enable_grad():
        maps = torch.randn(1, 3, 6, 6)
        grid = (torch.rand(1, 4, 4, 2) - 0.5).requires_grad_()
        fetch(maps, grid, torch.ones(1, 1, 4, 4)).sum().backward()
        assert grid.grad.abs().max() > 0


def test_thumbnail_keeps_grey_and_takes_every_fourth_pixel():
    grey = torch.full((1, 3, 64, 64), 0.5)
    small = thumbnail(grey)
    assert small.shape == (1, 3, 16, 16) and torch.allclose(small[:, :, 2:-2, 2:-2], torch.tensor(0.5), atol=1e-4)
    dot = torch.zeros(1, 3, 64, 64)
    dot[..., 8, 20] = 1
    assert thumbnail(dot)[0, 0].argmax() == 2 * 16 + 5
