"""The Hub, spoken to by the real client: one good copy or a sentence, whatever happens on the way."""

import hashlib
import json
import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest
from articulate.models_hub import finding
from articulate.models_hub import hub as hub_module
from articulate.models_hub.errors import WeightsError

WEIGHTS = bytes(range(256)) * 12_000  # 3 MB; finding looks at bytes, loading at tensors
OTHER = WEIGHTS[::-1]
NAME = "me/portrait-weights"
REFERENCE = f"{NAME}:warper.safetensors"


@pytest.fixture
def published(hub):
    return hub.put(NAME, {"warper.safetensors": WEIGHTS, "README.md": b"# weights"})


def content(answer: dict) -> bytes:
    assert "path" in answer, answer
    return Path(answer["path"]).read_bytes()


def test_fresh_then_cached_without_asking(hub, client, published):
    first = client.ask(REFERENCE)
    assert content(first) == WEIGHTS
    assert first["told"][-1] == [len(WEIGHTS), len(WEIGHTS)]
    assert first["modules"] == []  # fetching needs no torch
    hub.asked.clear()
    assert client.ask(REFERENCE)["path"] == first["path"]
    assert hub.asked == []


def test_pinned_to_a_commit(hub, client, published):
    hub.put(NAME, {"warper.safetensors": OTHER})
    reference = f"{NAME}@{published}:warper.safetensors"
    assert content(client.ask(reference)) == WEIGHTS
    hub.asked.clear()
    assert content(client.ask(reference)) == WEIGHTS
    assert hub.asked == []


def test_a_branch_that_moved_is_followed_when_asked_to(hub, client, published):
    client.ask(REFERENCE)
    hub.put(NAME, {"warper.safetensors": OTHER})
    assert content(client.ask(REFERENCE)) == WEIGHTS  # what is local is used, and nothing is asked
    assert content(client.ask(REFERENCE, refresh=True)) == OTHER
    assert content(client.ask(REFERENCE)) == OTHER
    assert content(client.ask(f"{NAME}@{published}:warper.safetensors")) == WEIGHTS  # the good old file stays


def test_a_repository_says_which_file_is_for_which_stage(hub, client):
    entry = {"file": "files/mine.safetensors", "bytes": len(OTHER), "sha256": hashlib.sha256(OTHER).hexdigest()}
    config = json.dumps({"articulate": {"files": {"warper": entry, "generator": {"file": "../../x.safetensors"}}}})
    hub.put(NAME, {"config.json": config.encode(), "files/mine.safetensors": OTHER})
    assert content(client.ask(NAME)) == OTHER
    hub.asked.clear()
    assert content(client.ask(NAME)) == OTHER
    assert hub.asked == []
    assert "none for stage 'generator'" in client.ask(NAME, stage="generator")["error"]
    hub.put(NAME, {"config.json": config.encode(), "files/mine.safetensors": WEIGHTS})
    assert "pinned" in client.ask(NAME, refresh=True)["error"]


def test_a_repository_without_a_config_has_the_stage_as_its_file_name(hub, client, published):
    assert content(client.ask(NAME)) == WEIGHTS
    hub.asked.clear()
    assert content(client.ask(NAME)) == WEIGHTS
    assert hub.asked == []


def test_a_cut_is_resumed(hub, client):
    large = WEIGHTS * 10
    hub.put(NAME, {"warper.safetensors": large})
    hub.cut_after = 25 << 20
    assert content(client.ask(REFERENCE)) == large
    ranges = [entry[2] for entry in hub.gets()]
    assert ranges[0] is None and ranges[-1] in ("bytes=20971520-", "bytes=26214400-"), ranges


def test_what_arrives_damaged_is_refused_and_not_kept(hub, client, published):
    hub.damage = True
    answer = client.ask(REFERENCE)
    assert "damaged" in answer["error"] and "Fetch it again" in answer["error"]
    assert client.files() == []
    hub.damage = False
    assert content(client.ask(REFERENCE)) == WEIGHTS


def test_what_was_altered_in_the_cache_is_noticed(client, published):
    path = Path(client.ask(REFERENCE)["path"])
    blob = path.resolve()
    blob.chmod(0o644)
    blob.write_bytes(OTHER)
    assert "altered" in client.ask(REFERENCE)["error"]
    assert content(client.ask(REFERENCE)) == WEIGHTS


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ((401, None), "Sign in"),
        ((401, "RepoNotFound"), "private"),
        ((403, None), "HTTP 403"),
        ((403, "GatedRepo"), "Accept its terms"),
        ((404, "RepoNotFound"), "no such repository"),
        ((404, "RevisionNotFound"), "no revision 'main'"),
        ((404, "EntryNotFound"), "no such file"),
        ((500, None), "HTTP 500|no answer"),  # 0.36 repeats until it is given up
        ((503, None), "HTTP 503|no answer"),
    ],
)
def test_refusals_become_instructions(hub, client, published, refusal, said):
    hub.refuse = refusal
    answer = client.ask(REFERENCE)
    assert answer["kind"] == "HubError" and re.search(said, answer["error"]), answer
    assert NAME in answer["error"] and "Traceback" not in answer["error"]
    assert answer["seconds"] < 10  # of the 23 that the client takes


def test_a_good_file_stays_when_the_hub_fails_later(hub, client, published):
    good = client.ask(REFERENCE)
    hub.put(NAME, {"warper.safetensors": OTHER})
    hub.refuse_get = 500
    assert "HTTP 500" in client.ask(REFERENCE, refresh=True)["error"]
    assert content(good) == WEIGHTS
    assert content(client.ask(f"{NAME}@{published}:warper.safetensors")) == WEIGHTS


def test_offline(hub, client, published):
    offline = {"HF_HUB_OFFLINE": "1"}
    answer = client.ask(REFERENCE, settings=offline)
    assert "HF_HUB_OFFLINE" in answer["error"] and hub.asked == []
    client.ask(REFERENCE)
    hub.asked.clear()
    assert content(client.ask(REFERENCE, settings=offline)) == WEIGHTS
    assert hub.asked == []


def test_a_dead_server_is_noticed_at_once(client):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        answer = client.ask(REFERENCE, settings={"HF_ENDPOINT": f"http://127.0.0.1:{nobody.getsockname()[1]}"})
    assert answer["kind"] == "HubError" and "HF_ENDPOINT" in answer["error"]
    assert answer["seconds"] < 10  # of the 23 that the client takes


def test_a_server_that_never_answers_is_given_up(client):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        answer = client.ask(REFERENCE, settings={"HF_ENDPOINT": address, "HF_HUB_ETAG_TIMEOUT": "2"})
    assert answer["kind"] == "HubError" and answer["seconds"] < 10


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_no_space_left(client, published):
    answer = client.ask(REFERENCE, full_disk=True)
    assert "no space is left" in answer["error"] and "HF_HOME" in answer["error"]
    assert content(client.ask(REFERENCE)) == WEIGHTS


def test_two_at_once_end_with_one_good_copy(hub, client, published):
    hub.chunk_seconds = 0.01
    both = [client.start(choice=REFERENCE, stage="warper") for _ in range(2)]
    answers = [json.loads(program.communicate(timeout=60)[0]) for program in both]
    assert [content(answer) for answer in answers] == [WEIGHTS] * 2
    assert answers[0]["path"] == answers[1]["path"]
    assert [path.name for path in client.files()] == [hashlib.sha256(WEIGHTS).hexdigest()]


def test_killed_in_the_middle(hub, client, published):
    hub.chunk_seconds = 0.05
    program = client.start(choice=REFERENCE, stage="warper")
    limit = time.monotonic() + 30
    while hub.sent < 500_000 and time.monotonic() < limit:
        time.sleep(0.01)
    program.send_signal(signal.SIGKILL)
    assert program.wait(10) == -signal.SIGKILL
    assert list(client.cache.rglob("warper.safetensors")) == []  # nothing that looks whole
    hub.chunk_seconds = 0
    assert content(client.ask(REFERENCE)) == WEIGHTS


def test_cancelling_does_not_wait_for_the_network(hub, client, published):
    hub.chunk_seconds = 0.5  # 23 s for the file
    answer = client.ask(REFERENCE, cancel=True)
    assert answer["kind"] == "KeyboardInterrupt" and answer["seconds"] < 8
    assert list(client.cache.rglob("warper.safetensors")) == []
    hub.chunk_seconds = 0
    assert content(client.ask(REFERENCE)) == WEIGHTS


@pytest.mark.parametrize(
    "choice",
    [
        "../escape", "me/..", "me/name:../../x.safetensors", "me/name:/etc/x.safetensors", "me/name:a\\x.safetensors",
        "me/name@../../main:x.safetensors", "me/name:C:x.safetensors", "me/name:.hid.safetensors", "me/name:model.pth",
        "me/name@:x.safetensors", "me/name:", "me/na--me", "me/name:con.safetensors", "me/name:a//b.safetensors",
        "me/name:x\u202e.safetensors", "me/name:x\n.safetensors", "/work", "file:///etc/passwd", "https://me/name", "",
        "me/name:" + "a/" * 400 + "x.safetensors", "~/x.safetensors", "x\0.safetensors", "..\\x.safetensors",
    ],
)  # fmt: skip
def test_names_from_outside_reach_no_server_and_no_file(choice, tmp_path, monkeypatch):
    for name in ("cached", "fetch", "published_files"):
        monkeypatch.setattr(hub_module, name, lambda *_, **__: pytest.fail("it was looked for"))
    for place in (tmp_path, tmp_path / "models"):
        (place / "warper").mkdir(parents=True)
        (place / "x.safetensors").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"Looked in|cannot be used"):
        finding.find("warper", choice, [tmp_path / "models" / "warper"])
