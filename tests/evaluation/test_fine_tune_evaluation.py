"""What fine-tuning changes for other people: nothing where the adapters are shut, and measured where they are not."""

import copy

import pytest
import torch
from articulate.models_hub.evaluation.fine_tune import change_for_others, opened
from articulate.models_hub.loading import load_network, save_network
from articulate.models_hub.networks.low_rank import adapt, personal
from articulate.models_hub.stages.personal import face_codes
from articulate.models_hub.training.material import Take


@pytest.fixture(scope="module")
def face(sample_face):
    """Two frames of a face, one of them with its mouth wider open."""
    points = sample_face.points.repeat(2, 1, 1)
    points[1, [65, 66, 67, 56, 57, 58], 1] += 0.05
    return sample_face.crop.repeat(2, 1, 1, 1), points


@pytest.fixture(scope="module")
def base():
    return {stage: load_network(stage) for stage in ("warper", "generator")}


@pytest.fixture(scope="module")
def files(base, face, tmp_path_factory):
    """Personal generators with adapters that do something: for this face, and for another."""
    torch.manual_seed(0)
    folder, code = tmp_path_factory.mktemp("personal"), face_codes(face[0][:1], face[1][:1])
    after = copy.deepcopy(base["generator"])
    for parameter in adapt(after, 2):
        torch.nn.init.normal_(parameter, std=0.03)
    paths, sizes = {}, base["generator"].sizes
    for name, references in (("own", code), ("other", -code)):
        paths[name] = folder / f"{name}.safetensors"
        save_network(personal(base["generator"], after, references, sizes, 2), paths[name], {**sizes, "rank": 2})
    return paths


def test_a_shut_network_changes_nothing_and_an_open_one_is_measured(files, base, face):
    others = {"somebody": face}
    assert change_for_others({"generator": files["other"]}, base, others) == {"somebody": 0.0}
    assert abs(change_for_others({"generator": files["own"]}, base, others)["somebody"]) > 1e-4


def test_networks_are_opened_as_far_as_the_face_is_alike(files, base, face):
    take = Take("clip", (face[0] * 255).round().byte().permute(0, 2, 3, 1), face[1])
    used, likeness = opened({"generator": files["own"]}, base, take, 0)
    assert likeness == pytest.approx(1, abs=1e-3)
    assert used["warper"] is base["warper"] and used["generator"] is not base["generator"]
    assert opened({"generator": files["other"]}, base, take, 0)[1] < 0


def test_what_was_tuned_for_all_faces_counts_as_open(tmp_path, base, face):
    save_network(base["generator"], tmp_path / "all.safetensors", base["generator"].sizes)
    take = Take("clip", (face[0] * 255).round().byte().permute(0, 2, 3, 1), face[1])
    assert opened({"generator": tmp_path / "all.safetensors"}, base, take, 0)[1] == 1.0
    assert opened({}, base, take, 0) == (base, 1.0)
