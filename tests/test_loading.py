"""Weights files: whole or refused, by name."""

import json

import pytest
import torch
from articulate.models_hub import cards, loading
from articulate.models_hub.architectures import known
from articulate.models_hub.errors import WeightsError
from articulate.models_hub.networks.frame_critic import FrameCritic
from safetensors.torch import load_file, save_file

CONFIG = {"widths": [4, 8]}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "체중 file.safetensors"
    loading.save_network(FrameCritic(**CONFIG), path, CONFIG)
    return path


def rewrite(path, change, **header):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"architecture": "FrameCritic", "config": json.dumps(CONFIG), **header})


def test_a_saved_network_comes_back_the_same(file):
    network = loading.load_network("frame_critic", str(file))
    assert isinstance(network, FrameCritic) and not network.training
    for name, value in load_file(file).items():
        torch.testing.assert_close(network.state_dict()[name], value)
    assert loading.load_network("frame_critic", str(file)) is network


def test_half_precision_files_load_as_float32(tmp_path):
    path = tmp_path / "half.safetensors"
    loading.save_network(FrameCritic(**CONFIG), path, CONFIG, half=True)
    assert all(p.dtype == torch.float32 for p in loading.load_network("frame_critic", str(path)).parameters())


@pytest.mark.parametrize("keep", [0, 5, 100, 2000])
def test_cut_short(file, keep):
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(WeightsError, match="cut short"):
        loading.load_network("frame_critic", str(file))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("score.bias"), "score.bias"),
        (lambda t: t.update(extra=torch.ones(1)), "extra"),
        (lambda t: t.update({"score.bias": torch.ones(3)}), "score.bias"),
        (lambda t: t["score.bias"].fill_(float("nan")), "not finite"),
    ],
)
def test_tensors_that_do_not_fit_are_named(file, change, message):
    rewrite(file, change)
    with pytest.raises(WeightsError, match=message):
        loading.load_network("frame_critic", str(file))


def test_unknown_architecture_names_the_known(file):
    rewrite(file, lambda t: None, architecture="Wav2Lip")
    with pytest.raises(WeightsError, match=r"Wav2Lip.*MemoryWarper"):
        loading.load_network("frame_critic", str(file))


def test_missing_file_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(WeightsError, match="nowhere"):
        loading.load_network("warper", str(tmp_path / "nowhere.safetensors"))


def test_every_embedded_file_is_what_its_card_says():
    table = {name: card for name, card in loading.cards().items() if cards.source(card) == loading.EMBEDDED}
    assert {path.stem for path in loading.WEIGHTS_FOLDER.glob("*.safetensors")} == set(table)
    for name, card in table.items():
        path = loading.weights_path(card["stage"])
        assert path.name == f"{name}.safetensors" and path.stat().st_size == card["bytes"]
        assert loading.sha256(path) == card["sha256"]
        assert loading.architecture_of(loading.load_network(name)).name == card["architecture"]
    assert sum(card["bytes"] for card in table.values()) < 40e6


def test_cards_say_all_that_users_ask():
    asked = {"stage", "architecture", "source", "licence", "trained_on", "input", "normalisation", "paper", "title"}
    for name, card in loading.cards().items():
        assert asked <= set(card), name
        assert all(isinstance(card[key], str) and card[key] for key in asked), name
        assert card["architecture"] in known() and card["stage"] in known()[card["architecture"]].stages
        assert cards.source(card) in cards.SOURCES
        if cards.source(card) == "bring your own":
            assert "articulate models convert" in card["how"] and card["original"]
        for place in [card.get("hub"), card if cards.source(card) == "hub" else None]:
            if place:
                assert len(place["commit"]) == 40 and len(place["sha256"]) == 64
                assert place["repository"] and place["file"] and place["bytes"] > 0


def test_altered_embedded_weights_are_refused(tmp_path, monkeypatch):
    name = "face_finder"
    damaged = bytearray(loading.weights_path(name).read_bytes())
    damaged[-1] ^= 1
    (tmp_path / f"{name}.safetensors").write_bytes(damaged)
    monkeypatch.setattr("articulate.models_hub.cards.WEIGHTS_FOLDER", tmp_path)
    with pytest.raises(WeightsError, match="altered"):
        loading.load_network(name)
