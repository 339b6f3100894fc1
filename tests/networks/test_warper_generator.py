"""Warper and generator: shapes, batch independence, once-encoded sources, windows, budgets."""

import pytest
import torch
from articulate.models_hub.networks.blocks import cut_windows, fold_batch_norms, warp
from articulate.models_hub.networks.generator import TRUST, FrameGenerator
from articulate.models_hub.networks.warper import MemoryWarper
from torch.utils.flop_counter import FlopCounterMode


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    warper, generator = MemoryWarper(), FrameGenerator()
    for module in (*warper.modules(), *generator.modules()):
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return warper.eval().requires_grad_(False), generator.eval().requires_grad_(False)


def landmarks(batch: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, 68, 2, generator=torch.Generator().manual_seed(seed)) - 0.5


def paint(networks, source, driving):
    warper, generator = networks
    encoded = source.repeat(len(driving))
    flow, _, features = warper(encoded, driving)
    hints = generator.hints(encoded.points, driving, flow, encoded.image.shape[-1])
    return flow, *generator(features, hints, warp(encoded.image, flow))


def standing(warper):
    """The flow (h, w, 2) that leaves everything where it is."""
    size = warper.dense_motion.size
    return warper.dense_motion.places[:2].view(2, size, size).permute(1, 2, 0)


@pytest.fixture(scope="module")
def source(networks):
    image = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(5))
    return networks[0].encode(image, landmarks(1))


def test_shapes_and_ranges(networks, source):
    flow, painted, shaded, blend = paint(networks, source, landmarks(2, 7))
    assert flow.shape == (2, 64, 64, 2)
    assert painted.shape == (2, 3, 256, 256)
    assert blend.shape == (2, 1, 256, 256)
    assert shaded.shape == (2, 3, 256, 256)
    for values in (painted, shaded, blend):
        assert values.min() >= 0 and values.max() <= 1


def test_the_source_is_trusted_more_in_use_than_while_training(networks, source, monkeypatch):
    _, used, _, blend = paint(networks, source, landmarks(2, 7))
    monkeypatch.setattr(networks[1], "training", True)  # its norms stay as they are
    _, painted, _, less = paint(networks, source, landmarks(2, 7))
    assert torch.equal(used, painted)
    assert (blend >= less).all() and (blend > less + 0.05).any()


def test_frames_do_not_depend_on_their_neighbours(networks, source):
    driving = landmarks(3, 8)
    together = paint(networks, source, driving)
    alone = [paint(networks, source, frame[None]) for frame in driving]
    for whole, parts in zip(together, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(whole, torch.cat(parts), atol=1e-4, rtol=0)


def test_no_motion_is_the_identity_before_training(networks, source):
    flow, _ = networks[0].flow(source, source.points)
    torch.testing.assert_close(flow[0], standing(networks[0]), atol=1e-3, rtol=0)


def test_a_window_equals_the_same_part_of_the_whole(networks, source):
    driving = landmarks(2, 9)
    encoded = source.repeat(2)
    warper = networks[0]
    flow, occlusion = warper.flow(encoded, driving)
    whole = warper.compensate(encoded, flow, occlusion)
    corners = torch.tensor([[0.25, 0.125], [0.5, 0.375]])
    part = warper.compensate(encoded, flow, occlusion, lambda maps: cut_windows(maps, corners, 0.5))
    inside = slice(2, -2)  # the merging convolutions see zeros beyond a window's edge
    for full, cut in zip(whole, part, strict=True):
        expected = cut_windows(full, corners, 0.5)
        torch.testing.assert_close(cut[..., inside, inside], expected[..., inside, inside], atol=1e-4, rtol=1e-4)


def test_memory_is_conditioned_on_the_source(networks):
    warper = networks[0]
    first = warper.encode(torch.rand(1, 3, 256, 256), landmarks(1))
    second = warper.encode(torch.zeros(1, 3, 256, 256), landmarks(1))
    assert (first.values - second.values).abs().max() > 1e-3


def test_folding_changes_nothing(networks, source):
    import copy

    driving = landmarks(1, 4)
    folded = tuple(fold_batch_norms(copy.deepcopy(network)) for network in networks)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded[1].modules())
    for a, b in zip(paint(networks, source, driving), paint(folded, source, driving), strict=True):
        torch.testing.assert_close(a, b, atol=2e-3, rtol=0)


def test_every_parameter_learns():
    torch.manual_seed(1)
    networks = MemoryWarper(), FrameGenerator()
    encoded = networks[0].encode(torch.rand(2, 3, 128, 128), landmarks(2))
    flow, _occlusion, features = networks[0](encoded, landmarks(2, 3))
    warped = warp(encoded.image, flow)
    painted, shaded, blend = networks[1](
        features, networks[1].hints(encoded.points, landmarks(2, 3), flow, 128), warped
    )
    (blend * shaded + (1 - blend) * painted - torch.rand(2, 3, 128, 128)).square().sum().backward()
    silent = [name for net in networks for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_compute_fits_the_budget(networks, source):
    with FlopCounterMode(display=False) as counter:
        paint(networks, source, landmarks(1, 2))
    assert counter.get_total_flops() < 15e9


def mouth(opening: float) -> torch.Tensor:
    """Landmarks whose inner lips stand `opening` apart around the centre, the rest in a corner."""
    points = torch.full((1, 68, 2), -0.9)
    across = torch.tensor([-0.25, -0.15, 0.0, 0.15, 0.25, 0.15, 0.0, -0.15])
    along = torch.tensor([0.0, -1.0, -1.0, -1.0, 0.0, 1.0, 1.0, 1.0]) * opening / 2
    points[0, 60:] = torch.stack([across, along], -1)
    return points


def test_what_the_source_never_showed_is_painted(networks, source):
    flow = standing(networks[0])[None]
    blends = {}
    for name, points in (("closed", mouth(0.0)), ("slit", mouth(0.02)), ("open", mouth(0.3))):
        hints = networks[1].hints(points, mouth(0.3), flow, 256)
        features = [torch.randn(1, c, s, s) for c, s in ((128, 32), (64, 64), (32, 128))]
        blends[name] = networks[1](features, hints, source.image)[2][0, 0, 124:132, 124:132].mean()
    assert blends["closed"] == 0
    assert blends["slit"] < 0.1
    assert blends["open"] > 0.1


def test_teeth_that_the_source_shows_are_trusted_twice_as_much(networks, source, monkeypatch):
    warper, generator = networks
    hints = generator.hints(mouth(0.3), mouth(0.3), standing(warper)[None], 256)
    features = [torch.randn(1, c, s, s) for c, s in ((128, 32), (64, 64), (32, 128))]
    used = generator(features, hints, source.image)[2].logit()
    monkeypatch.setattr(generator, "training", True)
    more = used - generator(features, hints, source.image)[2].logit()
    torch.testing.assert_close(more[..., 126:130, 126:130], torch.full((1, 1, 4, 4), 2 * TRUST), atol=1e-3, rtol=0)
    torch.testing.assert_close(more[..., 200:, :], torch.full((1, 1, 56, 256), TRUST), atol=1e-3, rtol=0)
