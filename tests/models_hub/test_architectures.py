"""Architectures are read off names and shapes, or the nearest one is named."""

import json

import pytest
import torch
from articulate.models_hub import architectures, loading
from articulate.models_hub.architectures import Architecture, expected_shapes, known, recognise, register
from articulate.models_hub.errors import WeightsError
from articulate.models_hub.networks.frame_critic import FrameCritic
from articulate.models_hub.networks.generator import FrameGenerator
from articulate.models_hub.networks.warper import MemoryWarper
from safetensors.torch import save_file

OTHER_SIZES = [
    (MemoryWarper, {"channels": [8, 16, 24, 24], "motion_widths": [8, 16, 24], "cells": 12, "width": 20}),
    (FrameGenerator, {"channels": [8, 12, 20], "width": 16}),
    (FrameCritic, {"widths": [4, 8, 12, 16]}),
]


@pytest.mark.parametrize(("network", "sizes"), OTHER_SIZES, ids=lambda value: getattr(value, "__name__", ""))
def test_sizes_are_read_off_the_tensors_alone(network, sizes, tmp_path):
    path, made = tmp_path / "w.safetensors", network(**sizes).eval()
    save_file(made.state_dict(), path)  # no header at all
    stage = next(stage for stage in known()[network.__name__].stages)
    loaded = loading.load_network(stage, str(path))
    assert type(loaded) is network
    for name, value in made.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value)


def test_every_architecture_knows_its_own_files_and_no_others():
    """Equal shapes are told apart by the header, or else by the stage."""
    for name, architecture in known().items():
        shapes = expected_shapes(architecture, {})
        found, sizes = recognise(shapes, {"architecture": name}, None, "file")
        assert found is architecture
        assert expected_shapes(found, sizes) == shapes
        assert recognise(shapes, {}, architecture.stages[0], "file")[0] is architecture


def test_limits_are_stated():
    for architecture in known().values():
        assert architecture.smallest >= 1 and architecture.smallest % architecture.multiple == 0
        assert architecture.unit and architecture.source and architecture.stages
        assert str(architecture.smallest) in architecture.limits()


def test_what_the_tensors_cannot_tell_comes_from_the_header(tmp_path):
    shapes = expected_shapes(known()["MemoryWarper"], {})
    _, sizes = recognise(shapes, {"config": json.dumps({"motion_size": 32, "cells": 5, "unheard": 3})}, None, "file")
    assert sizes["motion_size"] == 32 and sizes["cells"] == 256 and "unheard" not in sizes
    for config in ('{"motion_size": 1000000}', '{"motion_size": "64"}', "{", "[1]", '{"motion_size": NaN}'):
        with pytest.raises(WeightsError, match="header"):
            recognise(shapes, {"config": config}, None, "file")


def test_an_unknown_file_is_told_the_nearest_and_what_differs():
    shapes = expected_shapes(known()["FrameGenerator"], {})
    shapes["paint.weight"] = (16, 40, 5, 5)
    del shapes["paint.bias"]
    del shapes["up_half.0.weight"]
    shapes["attention.weight"] = (1, 2)
    with pytest.raises(WeightsError) as caught:
        recognise(shapes, {}, "generator", "mine.safetensors")
    said = str(caught.value)
    assert "mine.safetensors" in said and "nearest is FrameGenerator" in said
    assert "paint.bias [16] is missing" in said and "up_half.0.weight [32, 64, 3, 3] is missing" in said
    assert "paint.weight is [16, 40, 5, 5] where [16, 40, 3, 3] belongs" in said
    with pytest.raises(WeightsError, match=r"not one of its 1 tensors \(conv_in\.weight \[3\]\)"):
        recognise({"conv_in.weight": (3,)}, {}, None, "other.safetensors")


def test_weights_of_another_stage_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    loading.save_network(FrameCritic([4]), path, {"widths": [4]})
    with pytest.raises(WeightsError, match=r"FrameCritic.*frame_critic.*'warper'"):
        loading.load_network("warper", str(path))


def test_registration_is_all_or_nothing(monkeypatch):
    known()
    monkeypatch.setattr(architectures, "_registered", dict(architectures._registered))

    def one(name):
        facts = {"half": True, "smallest": 1, "multiple": 1, "unit": "pixels", "source": "none"}
        return Architecture(name, ("none",), lambda shapes: None, FrameCritic, **facts)

    before = set(known())
    with pytest.raises(ValueError, match="FrameCritic"):
        register(one("New"), one("FrameCritic"))
    with pytest.raises(ValueError, match="Twice"):
        register(one("Twice"), one("Twice"))
    assert set(known()) == before
    register(one("New"))
    assert "New" in known()


def test_loaded_networks_can_be_trained_and_never_write_to_their_file(tmp_path):
    path = tmp_path / "w.safetensors"
    loading.save_network(FrameCritic([4]), path, {"widths": [4]})
    before = path.read_bytes()
    with torch.inference_mode():  # as ComfyUI runs nodes
        network = loading.load_network("frame_critic", str(path))
    weight = network.score.bias
    assert not weight.is_inference() and not weight.requires_grad
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    assert path.read_bytes() == before
