"""Personal weights in the stages: the tuned face is made by the tuned networks, other faces as ever."""

import pytest
import torch
from articulate.models_hub.networks.ibug68 import DENSITY_REGIONS
from articulate.models_hub.stages.generator import generate_stream
from articulate.models_hub.stages.warper import warp_stream
from articulate.models_hub.types import Density, Landmarks


def frames(face, warper="embedded", generator="embedded"):
    points = face.points.repeat(2, 1, 1)
    points[1, [65, 66, 67, 56, 57, 58], 1] += 0.05
    density = Density(Landmarks(points, torch.ones(2, dtype=torch.bool)), tuple(map(tuple, DENSITY_REGIONS)))
    stream = generate_stream(warp_stream(face, density, str(warper)), str(generator))
    return torch.cat([chunk.frames for chunk in stream])


@pytest.mark.parametrize("stage", ["warper", "generator"])
def test_the_tuned_face_changes_and_others_do_not_by_a_bit(personal_files, sample_face, stage):
    plain = frames(sample_face)
    own = frames(sample_face, **{stage: personal_files / f"{stage}_own.safetensors"})
    other = frames(sample_face, **{stage: personal_files / f"{stage}_other.safetensors"})
    assert (own - plain).abs().max() > 1e-3
    assert torch.equal(other, plain)
