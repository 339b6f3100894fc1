"""The way into the faster form: same numbers, memory of its own, and nothing of the original left behind."""

import gc
import itertools
import weakref

import pytest
import torch
from articulate.models_hub.networks import acceleration
from articulate.models_hub.networks.acceleration import OneMemory, accelerated
from articulate.models_hub.networks.atvgnet import ATVGnetFrames, ATVGnetLandmarks
from articulate.models_hub.networks.blocks import conv_block, fold_batch_norms
from articulate.models_hub.networks.mcnet import MCNetGenerator, MCNetWarper
from torch import nn

MAKERS = {
    "sound": lambda: ATVGnetLandmarks(hidden=16, layers=2),
    "frames": lambda: ATVGnetFrames(blocks=1),
    "warper": lambda: MCNetWarper(8, 3, 4, 5, 32, 16, 8),
    "generator": lambda: MCNetGenerator(8),
}


@pytest.fixture(params=MAKERS)
def make(request):
    return lambda: filled(MAKERS[request.param]())


def filled(made):
    torch.manual_seed(0)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return made.eval().requires_grad_(False)


def tensors(network):
    return dict((*network.named_parameters(), *network.named_buffers()))


def test_nothing_keeps_the_original_alive(make):
    network = make()
    unread = getattr(network, "unread", ())
    left = {name: weakref.ref(value) for name, value in tensors(network).items() if name not in unread}
    quick = accelerated(network)
    del network
    gc.collect()
    assert quick is not None and not [name for name, value in left.items() if value() is not None]


def test_what_was_released_is_not_read_again(make, monkeypatch):
    """Every release puts equal tensors in place of the original's and spoils the old ones."""
    network = make()
    wanted = tensors(accelerated(network))
    monkeypatch.setattr(acceleration, "READ_AT_ONCE", 1)
    times = []

    def release(original):
        times.append(original)
        for value in tensors(original).values():
            old = value.data
            value.data = old.clone()
            old.fill_(float("nan") if value.is_floating_point() else -1)

    found = tensors(accelerated(network, release=release))
    assert len(times) > 10 and all(each is network for each in times)
    assert found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_weights_that_an_lstm_computes_with_are_its_own():
    torch.manual_seed(0)
    network = ATVGnetLandmarks(hidden=16, layers=2).eval().requires_grad_(False)
    windows, example = torch.randn(1, 3, 28, 12), torch.randn(1, 6)
    quick = accelerated(network)
    with torch.inference_mode():
        wanted = network(windows, example)
    for value in network.parameters():
        value.data.fill_(float("nan"))
    with torch.inference_mode():
        assert (quick(windows, example) - wanted).abs().max() < 1e-4


def test_small_tensors_share_one_piece_of_memory():
    """Among others that are freed they would leave holes that the process keeps."""
    network = ATVGnetFrames(blocks=1).eval().requires_grad_(False)
    made = {name: value for name, value in tensors(accelerated(network)).items() if name not in network.unread}
    assert len({value.untyped_storage().data_ptr() for value in made.values()}) == 1
    places = sorted((value.data_ptr(), value.nbytes) for value in made.values())
    assert all(start % acceleration.ALIGNED == 0 for start, _ in places)
    assert all(start + size <= after for (start, size), (after, _) in itertools.pairwise(places))


def test_a_memory_that_is_full_or_too_small_gives_other_memory(monkeypatch):
    memory, value = OneMemory(100), torch.randn(2, 3, 2, 2)
    first, second = (memory.copy(value, torch.float32) for _ in range(2))  # 96 bytes each
    assert torch.equal(first, value) and torch.equal(second, value)
    assert first.untyped_storage().data_ptr() != second.untyped_storage().data_ptr()
    assert all(made.is_contiguous(memory_format=torch.channels_last) for made in (first, second))
    monkeypatch.setattr(acceleration, "LARGE", 10)
    large = OneMemory(1000)
    assert torch.equal(large.copy(value[0], torch.float64), value[0].double()) and len(large.free) == 1000


def test_folding_leaves_the_folded_tensors_as_they_were():
    """They may be those of the network that a copy shares them with."""
    torch.manual_seed(0)
    sequence = nn.Sequential(conv_block(3, 4), nn.ConvTranspose2d(4, 5, 3), nn.BatchNorm2d(5)).eval()
    maps, held = torch.randn(1, 3, 6, 6), {name: (value, value.clone()) for name, value in tensors(sequence).items()}
    with torch.inference_mode():
        wanted = sequence(maps)
        assert (fold_batch_norms(sequence)(maps) - wanted).abs().max() < 1e-5
    assert not [part for part in sequence.modules() if isinstance(part, nn.BatchNorm2d)]
    assert all(torch.equal(value, before) for value, before in held.values())
