"""Checkpoints of others -> weights files: nothing lost, nothing kept that does not belong, nothing believed."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from articulate.models_hub import loading
from articulate.models_hub.converters.atvgnet import BASICS, neutral_landmark, read_basics
from articulate.models_hub.converters.checkpoint import plain_state, read_checkpoint
from articulate.models_hub.converters.mcnet import convert_mcnet
from articulate.models_hub.errors import WeightsError
from articulate.models_hub.files import sha256
from articulate.models_hub.header import read_header
from articulate.models_hub.networks.mcnet import MCNetWarper
from articulate.workflows.commands import main


def content_of(path):
    return torch.load(path, weights_only=True)


@pytest.fixture
def broken(mcnet_checkpoint, tmp_path):
    """Convert the checkpoint after a change to its content."""

    def convert(change):
        content = content_of(mcnet_checkpoint)
        change(content)
        path = tmp_path / "changed.pth.tar"
        torch.save(content, path)
        return convert_mcnet(path, tmp_path / "out")

    yield convert
    assert not (tmp_path / "out").exists()  # nothing is written of what cannot be converted


def test_mcnet_becomes_three_files_that_load_by_their_tensors(mcnet_checkpoint, mcnet_files):
    names = {"mcnet_keypoints": "mcnet_keypoints", "mcnet_warper": "warper", "mcnet_generator": "generator"}
    assert {path.stem for path in mcnet_files.iterdir()} == set(names)
    for name, stage in names.items():
        path = mcnet_files / f"{name}.safetensors"
        network = loading.load_network(stage, str(path))
        assert not network.training and not any(value.requires_grad for value in network.parameters())
        facts = read_header(path).metadata
        assert facts["source_sha256"] == sha256(mcnet_checkpoint)
        assert facts["source_file"] == "final-checkpoint.pth.tar"
        assert json.loads(facts["constants"])["mixing_temperature"] == 34.0
    state = content_of(mcnet_checkpoint)["generator"]
    warper = loading.load_network("warper", str(mcnet_files / "mcnet_warper.safetensors"))
    assert torch.equal(warper.memory.bank, state["module.mbUnit.mb"][0])
    assert warper.first[1].num_batches_tracked == 7


def test_mapping_anew_changes_no_number(mcnet_files, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes((mcnet_files / "mcnet_warper.safetensors").read_bytes())
    network = loading.load_network("warper", str(path))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    places = {name: value.data_ptr() for name, value in network.state_dict().items()}
    loading.map_anew(network)
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert any(after[name].data_ptr() != places[name] for name in before)
    maps = Path("/proc/self/maps")
    if maps.is_file():
        assert maps.read_text().count(str(path)) == 1  # the first mapping is gone, and what was read of it
    path.unlink()
    loading.map_anew(network)  # a file that has gone: what is in memory stays
    assert torch.equal(network.memory.bank, before["memory.bank"])
    loading.map_anew(MCNetWarper(4, 2, 4, 2, 8, 8, 8))  # of no file


def test_a_missing_part_is_named(broken):
    with pytest.raises(WeightsError, match="has no kp_detector"):
        broken(lambda content: content.pop("kp_detector"))


def test_a_missing_tensor_is_named(broken):
    with pytest.raises(WeightsError, match=r"mask\.weight"):
        broken(lambda content: content["generator"].pop("module.dense_motion_network.mask.weight"))


def test_a_surplus_tensor_is_named(broken):
    with pytest.raises(WeightsError, match=r"unknown \['memory\.extra\.weight"):
        broken(lambda content: content["generator"].update({"module.extra.weight": torch.ones(1)}))


def test_values_that_are_not_finite_are_refused(broken):
    with pytest.raises(WeightsError, match=r"mbUnit\.mb holds values that are not finite"):
        broken(lambda content: content["generator"]["module.mbUnit.mb"].fill_(float("nan")))


def test_another_filter_of_thumbnails_is_refused(broken):
    with pytest.raises(WeightsError, match="another filter"):
        broken(lambda content: content["kp_detector"]["module.down.weight"].mul_(2))


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "sprung"), "w")

    path = tmp_path / "trap.pth.tar"
    torch.save({"generator": Trap()}, path)
    with pytest.raises(WeightsError, match="more than tensors"):
        read_checkpoint(path)
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(WeightsError, match=r"trap\.pth\.tar"):
        read_checkpoint(path)
    assert not (tmp_path / "sprung").exists()


def test_a_cut_checkpoint_is_a_sentence(mcnet_checkpoint, tmp_path):
    content = mcnet_checkpoint.read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 5):
        (tmp_path / "cut.pth.tar").write_bytes(content[:length])
        with pytest.raises(WeightsError, match=r"cut\.pth\.tar"):
            convert_mcnet(tmp_path / "cut.pth.tar", tmp_path)
    with pytest.raises(WeightsError, match="does not exist"):
        read_checkpoint(tmp_path / "nothing.pth")


def test_parallel_training_leaves_no_trace_in_names():
    state = plain_state({"module.a.module.b": torch.ones(1, dtype=torch.float16)}, "x")
    assert list(state) == ["a.b"] and state["a.b"].dtype == torch.float32
    for content in ([], {}, {"a": 1}):
        with pytest.raises(WeightsError, match="x"):
            plain_state(content, "x")


def test_atvgnet_becomes_two_files_with_its_constants(atvgnet_checkpoints, atvgnet_files):
    constants, digest = read_basics(atvgnet_checkpoints / "basics")
    landmarks = loading.load_network("atvgnet_landmarks", str(atvgnet_files / "atvgnet_landmarks.safetensors"))
    frames = loading.load_network("atvgnet_frames", str(atvgnet_files / "atvgnet_frames.safetensors"))
    assert torch.equal(landmarks.basis, constants["U_lrw1"][:, :6].float())
    assert torch.equal(frames.templates[1], constants["base_68_close"].float())
    assert landmarks.mean_shape.norm() == pytest.approx(1) and landmarks.mean_shape.mean(0).abs().max() < 1e-6
    for name, source in (("atvgnet_landmarks", "at.pth"), ("atvgnet_frames", "vg.pth")):
        facts = read_header(atvgnet_files / f"{name}.safetensors").metadata
        assert facts["basics_sha256"] == digest and facts["source_sha256"] == sha256(atvgnet_checkpoints / source)
        assert json.loads(facts["constants"])["exaggeration"][1] == 2.2


def test_the_neutral_landmark_closes_the_mean_shape_s_mouth_alone_in_parameters():
    identity = {"S": torch.eye(136, dtype=torch.float64)[:100], "mean_shape_norm": torch.zeros(1, 136).double()}
    identity["S"][1, 96:] = 1
    moved = neutral_landmark(identity)
    assert moved[:2].tolist() == [0, pytest.approx(-(identity["S"] @ _opening())[1])]


def _opening():
    opening = torch.zeros(136, dtype=torch.float64)
    opening[96:] = -0.06
    return opening


def test_basics_are_checked(atvgnet_checkpoints, tmp_path):
    with pytest.raises(WeightsError, match=r"U_lrw1\.npy cannot be read"):
        read_basics(tmp_path)
    for name in BASICS:
        np.save(tmp_path / f"{name}.npy", np.load(atvgnet_checkpoints / "basics" / f"{name}.npy"))
    assert read_basics(tmp_path)[1] == read_basics(atvgnet_checkpoints / "basics")[1]
    np.save(tmp_path / "S.npy", np.zeros((3, 4)))
    with pytest.raises(WeightsError, match=r"S\.npy has the shape \(3, 4\)"):
        read_basics(tmp_path)


def test_the_command_puts_files_where_nodes_find_them(mcnet_checkpoint, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("ARTICULATE_MODELS", str(tmp_path))
    assert main(["models", "convert", "mcnet", str(mcnet_checkpoint), "--json"]) == 0
    made = [entry["path"] for entry in json.loads(capsys.readouterr().out)]
    assert made == [str(tmp_path / stage / f"{name}.safetensors")
                    for stage, name in (("mcnet_keypoints", "mcnet_keypoints"), ("warper", "mcnet_warper"),
                                        ("generator", "mcnet_generator"))]  # fmt: skip
    assert isinstance(loading.load_network("warper", "mcnet_warper"), MCNetWarper)  # by its card's name
    assert main(["models", "show", "mcnet_warper", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sizes"]["memory_size"] == 8
