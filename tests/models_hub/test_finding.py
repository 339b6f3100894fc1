"""Model folders, embedded files, the cache, the Hub: in this order, and nothing unverified."""

import hashlib
import os
import shutil

import pytest
from articulate.models_hub import cards, files, finding, loading
from articulate.models_hub.errors import WeightsError
from articulate.models_hub.networks.frame_critic import FrameCritic
from test_hub import NAME, OTHER, WEIGHTS, content


def pin(data: bytes) -> dict:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@pytest.fixture
def embedded(client):
    """A card of an embedded file, and that file."""
    folder = client.folder / "weights"
    folder.mkdir()
    (folder / "warper.safetensors").write_bytes(WEIGHTS)
    card = {"stage": "warper", "source": "embedded", "architecture": "MemoryWarper", **pin(WEIGHTS)}
    return {"cards": {"warper": card}, "embedded": str(folder)}


def test_the_embedded_file_needs_no_server(hub, client, embedded):
    answer = client.ask("embedded", **embedded)
    assert content(answer) == WEIGHTS and hub.asked == [] and not client.cache.exists()


def test_published_newer_weights_come_first_and_embedded_ones_are_the_fallback(hub, client, embedded):
    commit = hub.put(NAME, {"warper.safetensors": OTHER})
    record = {"repository": NAME, "commit": commit, "file": "warper.safetensors", **pin(OTHER)}
    embedded["cards"]["warper"]["hub"] = record
    hub.refuse = (500, None)
    assert content(client.ask("embedded", **embedded)) == WEIGHTS
    hub.refuse = ()
    assert content(client.ask("embedded", **embedded)) == OTHER
    hub.asked.clear()
    assert content(client.ask("embedded", **embedded)) == OTHER
    assert hub.asked == []
    record |= pin(WEIGHTS)  # what is published is what is embedded
    assert content(client.ask("embedded", **embedded)) == WEIGHTS
    assert hub.asked == []


def test_published_weights_that_are_not_the_recorded_ones_are_refused(hub, client, embedded):
    commit = hub.put(NAME, {"warper.safetensors": OTHER})
    record = {"repository": NAME, "commit": commit, "file": "warper.safetensors", **pin(OTHER[:-1] + b"x")}
    embedded["cards"]["warper"]["hub"] = record
    answer = client.ask("embedded", **embedded)
    assert "pinned" in answer["error"] and hub.gets() == []  # known before anything is downloaded


def test_a_card_of_the_hub_is_satisfied_by_a_file_in_the_model_folder(hub, client):
    commit = hub.put(NAME, {"w.safetensors": OTHER})
    place = {"repository": NAME, "commit": commit, "file": "w.safetensors", **pin(OTHER)}
    question = {"cards": {"other": {"stage": "warper", "source": "hub", **place}}}
    folder = client.folder / "models" / "warper"
    folder.mkdir(parents=True)
    (folder / "w.safetensors").write_bytes(OTHER)
    assert client.ask("other", **question)["path"] == str(folder / "w.safetensors")
    assert hub.asked == []
    (folder / "w.safetensors").write_bytes(WEIGHTS)  # not the pinned one: passed over, and kept
    assert content(client.ask("other", **question)) == OTHER
    assert (folder / "w.safetensors").read_bytes() == WEIGHTS


def test_weights_to_bring_say_how_to_get_them(tmp_path):
    with pytest.raises(WeightsError, match="articulate models convert mcnet") as caught:
        finding.find("warper", "mcnet_warper", [tmp_path / "warper"])
    assert str(tmp_path / "warper") in str(caught.value) and "mcnet_warper.safetensors" in str(caught.value)
    assert "mcnet_warper" in finding.choices("warper", [])
    (tmp_path / "warper").mkdir()
    (tmp_path / "warper" / "mcnet_warper.safetensors").write_bytes(b"x")
    assert finding.find("warper", "mcnet_warper", [tmp_path / "warper"]).read_bytes() == b"x"


def test_a_file_is_read_once_for_each_version(tmp_path, monkeypatch):
    monkeypatch.setenv("ARTICULATE_MODELS", str(tmp_path))
    path, digests = tmp_path / "w.safetensors", []
    path.write_bytes(WEIGHTS)
    real = files.sha256
    monkeypatch.setattr(files, "sha256", lambda path: digests.append(path) or real(path))
    files.known_sha256(path)
    assert files.recall(path) == {}  # too fresh: it might change again within the same tick
    os.utime(path, (1_700_000_000, 1_700_000_000))
    for _ in range(3):
        files.check(path, **{"size": len(WEIGHTS), "digest": hashlib.sha256(WEIGHTS).hexdigest()})
    assert len(digests) == 2
    path.write_bytes(OTHER)
    os.utime(path, (1_700_000_001, 1_700_000_001))
    with pytest.raises(WeightsError, match="altered"):
        files.check(path, len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())
    copy = tmp_path / "copy"
    shutil.copy2(path, copy)
    os.replace(copy, path)  # same size and time, another inode
    assert files.recall(path) == {}
    files.remember(path, sha256="a" * 64)
    assert files.recall(path)["sha256"] == "a" * 64
    (tmp_path / "verified.json").write_text('{"broken": ')
    assert files.recall(path) == {}


def test_pinning_forgets_an_older_publication_and_keeps_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(cards, "WEIGHTS_FOLDER", tmp_path)
    monkeypatch.setattr(cards, "_cards_file", lambda: tmp_path / "cards.toml")
    (tmp_path / "mine.safetensors").write_bytes(WEIGHTS)
    cards.pin_card("mine", {"title": 'A "title" 한', "steps": 3})
    record = {"repository": NAME, "commit": "a" * 40, "file": "mine.safetensors", **pin(WEIGHTS)}
    cards.change_card("mine", {"hub": record})
    cards.pin_card("mine", {"steps": 4})  # the same file
    assert cards.cards()["mine"]["hub"] == record and cards.newer(cards.cards()["mine"]) is None
    (tmp_path / "mine.safetensors").write_bytes(OTHER)
    cards.pin_card("mine", {"steps": 5})
    assert "hub" not in cards.cards()["mine"]
    assert cards.cards()["mine"] == {"title": 'A "title" 한', "steps": 5, **pin(OTHER)}
    cards.change_card("mine", {"hub": record})
    assert cards.newer(cards.cards()["mine"]) == record


def test_states_change_with_what_would_be_used(tmp_path, monkeypatch):
    monkeypatch.setattr("articulate.models_hub.hub.fetch", lambda *_, **__: pytest.fail("a server was asked"))
    folder = tmp_path / "warper"
    folder.mkdir()
    commit = "b" * 40
    assert finding.state("warper", "embedded", [folder]) == cards.cards()["warper"]["sha256"]
    assert finding.state("warper", f"{NAME}@{commit}", [folder]) == f"{NAME}@{commit}"
    loading.save_network(FrameCritic([4]), folder / "a.safetensors", {"widths": [4]})
    first = finding.state("warper", "a.safetensors", [folder])
    loading.save_network(FrameCritic([8]), folder / "a.safetensors", {"widths": [8]})
    assert finding.state("warper", "a.safetensors", [folder]) != first
