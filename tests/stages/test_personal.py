"""Personal weights in the stages: the tuned face is made by the tuned networks, other faces as ever."""

import copy

import pytest
import torch
from articulate.models_hub.loading import load_network, save_network
from articulate.models_hub.networks.ibug68 import DENSITY_REGIONS
from articulate.models_hub.networks.low_rank import adapt, personal
from articulate.models_hub.stages.generator import generate_stream
from articulate.models_hub.stages.personal import face_codes
from articulate.models_hub.stages.warper import warp_stream
from articulate.models_hub.types import Density, Landmarks


@pytest.fixture(scope="module")
def files(sample_face, tmp_path_factory):
    """Personal files of both stages with adapters that do something: for the sample face, and for some other face."""
    torch.manual_seed(0)
    folder, code = tmp_path_factory.mktemp("personal"), face_codes(sample_face.crop, sample_face.points[None])
    for stage in ("warper", "generator"):
        before = load_network(stage)
        after = copy.deepcopy(before)
        for parameter in adapt(after, 2):
            torch.nn.init.normal_(parameter, std=0.03)
        for name, references in (("own", code), ("other", -code)):
            sizes = getattr(before, "sizes", {"channels": list(before.channels)})
            made = personal(before, after, references, sizes, 2)
            save_network(made, folder / f"{stage}_{name}.safetensors", {**sizes, "rank": 2})
    return folder


def frames(face, warper="embedded", generator="embedded"):
    points = face.points.repeat(2, 1, 1)
    points[1, [65, 66, 67, 56, 57, 58], 1] += 0.05
    density = Density(Landmarks(points, torch.ones(2, dtype=torch.bool)), tuple(map(tuple, DENSITY_REGIONS)))
    stream = generate_stream(warp_stream(face, density, str(warper)), str(generator))
    return torch.cat([chunk.frames for chunk in stream])


@pytest.mark.parametrize("stage", ["warper", "generator"])
def test_the_tuned_face_changes_and_others_do_not_by_a_bit(files, sample_face, stage):
    plain = frames(sample_face)
    own = frames(sample_face, **{stage: files / f"{stage}_own.safetensors"})
    other = frames(sample_face, **{stage: files / f"{stage}_other.safetensors"})
    assert (own - plain).abs().max() > 1e-3
    assert torch.equal(other, plain)
