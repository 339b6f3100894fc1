"""The attention condenser: identity at the start, teachable, guided by CLIP or without it."""

import pytest
import torch
from articulate.models_hub.losses.clip import clip_distillation
from articulate.models_hub.networks.condenser import AttentionCondenser
from articulate.models_hub.networks.vgg19 import Vgg19


@pytest.mark.parametrize("size", [(32, 32), (13, 7), (1, 1)])
def test_it_starts_as_the_identity_bit_for_bit(size):
    condenser = AttentionCondenser(16)
    features = torch.randn(2, 16, *size)
    assert torch.equal(condenser(features), features)
    assert torch.equal(condenser(features, torch.randn(1, 512)), features)


def test_gradients_reach_the_gate():
    condenser = AttentionCondenser(16)
    condenser(torch.randn(2, 16, 8, 8), torch.randn(1, 512)).square().sum().backward()
    assert condenser.strength.grad != 0
    with torch.no_grad():
        condenser.strength.fill_(0.5)
    condenser(torch.randn(2, 16, 8, 8), torch.randn(1, 512)).square().sum().backward()
    assert all(getattr(condenser, name).weight.grad.abs().sum() > 0 for name in ("enter", "guide", "look", "leave"))


def test_clip_guides_the_gate():
    condenser = AttentionCondenser(16)
    with torch.no_grad():
        condenser.strength.fill_(1.0)
    features = torch.rand(1, 16, 8, 8)
    one, other = (condenser(features, torch.randn(1, 512)) for _ in range(2))
    assert not torch.allclose(one, other)


def test_what_clip_says_can_be_learned_from_the_features():
    torch.manual_seed(0)
    condenser, features, embedding = AttentionCondenser(16), torch.rand(4, 16, 8, 8), torch.randn(4, 512)
    before = clip_distillation(condenser.embedding(features), embedding).item()
    optimiser = torch.optim.Adam(condenser.parameters(), 1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        clip_distillation(condenser.embedding(features), embedding).backward()
        optimiser.step()
    assert clip_distillation(condenser.embedding(features), embedding).item() < 0.5 * before


def test_vgg_gives_its_five_slices():
    with torch.device("meta"):
        network = Vgg19()
        found = network(torch.rand(1, 3, 64, 64))
    assert [tuple(level.shape[1:]) for level in found] == [
        (64, 64, 64),
        (128, 32, 32),
        (256, 16, 16),
        (512, 8, 8),
        (512, 4, 4),
    ]
    assert [name for name in network.state_dict()][-1] == "features.28.bias"  # torchvision's conv5_1
