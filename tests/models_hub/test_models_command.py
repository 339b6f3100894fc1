"""`articulate models`: every action, for people and for programs."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from articulate.models_hub import cards, loading
from articulate.models_hub.converters.insightface_pack import install_pack
from articulate.models_hub.errors import WeightsError
from articulate.models_hub.networks.frame_critic import FrameCritic
from articulate.models_hub.networks.vgg19 import Vgg19
from articulate.workflows.commands import main
from safetensors.torch import save_file

NAME = "me/portrait-weights"


def said(capsys, *command) -> object:
    assert main(["models", *map(str, command), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_list_has_every_card_and_where_it_lies(capsys):
    listed = said(capsys, "list")
    assert set(listed) == set(cards.cards())
    assert Path(listed["warper"]["path"]).is_file() and listed["mcnet_warper"]["path"] is None
    assert set(said(capsys, "list", "--stage", "warper")) >= {"warper", "mcnet_warper"}
    assert main(["models", "list"]) == 0
    assert "mcnet_warper" in capsys.readouterr().out


def test_show_looks_into_files_too(capsys, tmp_path):
    loading.save_network(FrameCritic([4, 8]), tmp_path / "mine.safetensors", {"widths": [4, 8]}, half=True, note="hers")
    shown = said(capsys, "show", tmp_path / "mine.safetensors")
    assert shown["architecture"] == "FrameCritic" and shown["sizes"]["widths"] == [4, 8]
    assert shown["stored_as"] == ["F16"] and shown["header"] == {"note": "hers"} and "pixels" in shown["takes"]
    assert "convert mcnet" in said(capsys, "show", "mcnet_warper")["how"]


def test_verify_reads_everything_anew(capsys, tmp_path):
    path = tmp_path / "mine.safetensors"
    loading.save_network(FrameCritic([4]), path, {"widths": [4]})
    assert said(capsys, "verify", "face_finder", path) == {
        name: {"ok": True, "problem": None} for name in ("face_finder", str(path))
    }
    content = bytearray(path.read_bytes())
    content[-4:] = b"\xff\xff\xff\x7f"  # NaN
    path.write_bytes(content)
    assert main(["models", "verify", str(path), "mcnet_warper", "nothing"]) == 1
    out = capsys.readouterr().out
    assert "not finite" in out and "not here" in out and "no card 'nothing'" in out


def test_fetch_takes_all_that_a_repository_has_or_one_file(hub, client, tmp_path):
    loading.save_network(FrameCritic([4]), tmp_path / "c.safetensors", {"widths": [4]})
    weights = (tmp_path / "c.safetensors").read_bytes()
    config = json.dumps({"articulate": {"files": {"frame_critic": {"file": "c.safetensors"}}}}).encode()
    hub.put(NAME, {"c.safetensors": weights, "config.json": config})
    command = [sys.executable, "-m", "articulate", "models", "fetch", NAME, f"{NAME}:c.safetensors", "warper", "--json"]
    done = subprocess.run(command, env=client.environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    fetched = json.loads(done.stdout)
    assert [entry["stage"] for entry in fetched] == ["frame_critic", "frame_critic", "warper"]
    assert Path(fetched[0]["path"]).read_bytes() == weights and fetched[1]["path"] == fetched[0]["path"]
    done = subprocess.run(
        [*command[:-3], f"{NAME}:gone.safetensors"],
        env=client.environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1 and "no such file" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("form", ["safetensors", "pth"])
def test_vgg19_keeps_what_the_loss_looks_at(form, capsys, tmp_path):
    state = {name: value.half() for name, value in Vgg19().state_dict().items()}
    state |= {"features.30.weight": torch.ones(2), "head.fc.weight": torch.ones(2), "classifier.0.bias": torch.ones(2)}
    path = tmp_path / f"vgg.{form}"
    save_file(state, path) if form == "safetensors" else torch.save(state, path)
    made = said(capsys, "convert", "vgg19", path, "-o", tmp_path / "out")
    network = loading.load_network("vgg19", made[0]["path"])
    assert torch.equal(network.features[28].weight, state["features.28.weight"].float())
    torch.save({"other": torch.ones(1)}, tmp_path / "other.pth")
    assert main(["models", "convert", "vgg19", str(tmp_path / "other.pth"), "-o", str(tmp_path / "out")]) == 1
    assert "not VGG-19" in capsys.readouterr().err
    assert torch.equal(loading.load_network("vgg19", made[0]["path"]).features[28].weight, network.features[28].weight)


def test_insightface_packs_are_put_in_place_whole_or_not_at_all(capsys, tmp_path):
    with zipfile.ZipFile(tmp_path / "pack.zip", "w") as pack:
        for name in ("buffalo_l/det_10g.onnx", "../../escaped.onnx", "/absolute.onnx", "notes.txt"):
            pack.writestr(name, b"model")
    made = said(capsys, "convert", "insightface", tmp_path / "pack.zip", "-o", tmp_path / "models", "--name", "mine")
    assert sorted(Path(entry["path"]).name for entry in made) == ["absolute.onnx", "det_10g.onnx", "escaped.onnx"]
    assert {Path(entry["path"]).parent for entry in made} == {tmp_path / "models" / "mine"}
    assert not list(tmp_path.rglob("notes.txt")) and not (tmp_path.parent / "escaped.onnx").exists()
    with pytest.raises(WeightsError, match="is kept"):
        install_pack(tmp_path / "pack.zip", "mine", tmp_path / "models")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"no \.onnx model"):
        install_pack(tmp_path / "empty", "mine", tmp_path / "models", overwrite=True)
    assert len(list((tmp_path / "models" / "mine").iterdir())) == 3
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["mine"]
    with pytest.raises(WeightsError, match="name of a pack"):
        install_pack(tmp_path / "pack.zip", "../mine", tmp_path / "models")


def test_converting_something_else_is_a_sentence(capsys, tmp_path):
    (tmp_path / "x.pth.tar").write_bytes(b"nothing")
    assert main(["models", "convert", "mcnet", str(tmp_path / "x.pth.tar"), "-o", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "x.pth.tar" in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()
