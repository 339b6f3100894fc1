"""What fine-tuning changes for other people: nothing where the adapters are shut, and measured where they are not."""

import pytest
from articulate.models_hub.evaluation.fine_tune import change_for_others, opened
from articulate.models_hub.loading import load_network, save_network
from articulate.models_hub.training.material import Take


@pytest.fixture(scope="module")
def base():
    return {stage: load_network(stage) for stage in ("warper", "generator")}


@pytest.fixture(scope="module")
def face(sample_face):
    """Two frames of a face, one of them with its mouth wider open."""
    points = sample_face.points.repeat(2, 1, 1)
    points[1, [65, 66, 67, 56, 57, 58], 1] += 0.05
    return sample_face.crop.repeat(2, 1, 1, 1), points


@pytest.fixture(scope="module")
def take(face):
    return Take("clip", (face[0] * 255).round().byte().permute(0, 2, 3, 1), face[1])


def test_a_shut_network_changes_nothing_and_an_open_one_is_measured(personal_files, base, face):
    own, other = ({"generator": personal_files / f"generator_{name}.safetensors"} for name in ("own", "other"))
    others = {"somebody": face}
    assert change_for_others(other, base, others) == {"somebody": 0.0}
    assert abs(change_for_others(own, base, others)["somebody"]) > 1e-4


def test_networks_are_opened_as_far_as_the_face_is_alike(personal_files, base, take):
    used, likeness = opened({"generator": personal_files / "generator_own.safetensors"}, [take])
    assert likeness == pytest.approx(1, abs=1e-3)
    assert used["warper"] is base["warper"] and used["generator"] is not base["generator"]
    assert opened({"generator": personal_files / "generator_other.safetensors"}, [take])[1] < 0


def test_what_was_tuned_for_all_faces_counts_as_open(tmp_path, base, take):
    save_network(base["generator"], tmp_path / "all.safetensors", base["generator"].sizes)
    assert opened({"generator": tmp_path / "all.safetensors"}, [take])[1] == 1.0
    assert opened({}, [take]) == (base, 1.0)
