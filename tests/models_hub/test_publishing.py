"""What is published loads by its repository's name alone."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from articulate.models_hub import cards, loading, publishing
from articulate.models_hub.errors import WeightsError
from articulate.models_hub.networks.frame_critic import FrameCritic
from articulate.models_hub.networks.landmark_predictor import LandmarkPredictor
from articulate.workflows.commands import main

SIZES = {"units": 4, "hidden": 6, "shapes": 2}


@pytest.fixture
def mine(tmp_path):
    """A folder with weights of one's own, and things that must not be sent."""
    folder = tmp_path / "mine 내 것"
    loading.save_network(LandmarkPredictor(**SIZES), folder / "lips.safetensors", SIZES)
    loading.save_network(FrameCritic([4]), folder / "critic.safetensors", {"widths": [4]})
    (folder / "checkpoint.pt").write_bytes(b"secret")
    (folder / "footage.mp4").write_bytes(b"private")
    return folder


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(mine, capsys, monkeypatch):
    monkeypatch.setattr("articulate.models_hub.hub.publish", lambda *_, **__: pytest.fail("it was sent"))
    command = [
        "models",
        "publish",
        str(mine),
        "--repo-id",
        "me/lips",
        "--licence",
        "cc-by-nc-4.0",
        "--dry-run",
        "--json",
    ]
    assert main(command) == 0
    facts = json.loads(capsys.readouterr().out)
    assert set(facts["files"]) == {"lips.safetensors", "critic.safetensors", "config.json", "README.md", "LICENSE"}
    assert facts["files"]["lips.safetensors"] == (mine / "lips.safetensors").stat().st_size
    assert "commit" not in facts and len(facts["checks"]) >= 4
    assert sorted(path.name for path in mine.iterdir()) == [
        "checkpoint.pt", "critic.safetensors", "footage.mp4", "lips.safetensors",
    ]  # fmt: skip


def test_the_model_card_has_the_form_of_the_hub(mine):
    plan = publishing.make_plan(mine, "me/lips", "cc-by-nc-4.0")
    _, front, text = plan.texts["README.md"].split("---\n", 2)
    assert "license: cc-by-nc-4.0\n" in front and "library_name: articulate\n" in front
    assert "me/lips" in text and all(entry.sha256 in text for entry in plan.entries)
    config = json.loads(plan.texts["config.json"])["articulate"]["files"]
    assert config["landmark_predictor"]["file"] == "lips.safetensors"
    assert config["frame_critic"]["sha256"] == loading.sha256(mine / "critic.safetensors")
    (mine / "README.md").write_text("# by hand\n")
    (mine / "LICENSE").write_text("All rights reserved.\n")
    plan = publishing.make_plan(mine, "me/lips")
    assert plan.texts["README.md"] == "# by hand\n" and plan.texts["LICENSE"] == "All rights reserved.\n"


def spoil_nan(folder):
    network = FrameCritic([4])
    network.score.bias.data.fill_(float("nan"))
    loading.save_network(network, folder / "critic.safetensors", {"widths": [4]})


def spoil_cut(folder):
    path = folder / "critic.safetensors"
    path.write_bytes(path.read_bytes()[:-4])


def spoil_converted(folder):
    loading.save_network(FrameCritic([4]), folder / "critic.safetensors", {"widths": [4]}, source_sha256="0" * 64)


def spoil_twice(folder):
    loading.save_network(FrameCritic([4]), folder / "another.safetensors", {"widths": [4]})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_nan, "not finite"),
        (spoil_cut, "cut short"),
        (spoil_converted, "not ours to redistribute"),
        (spoil_twice, "both for stage"),
        (lambda folder: [path.unlink() for path in folder.glob("*.safetensors")], "nothing to publish"),
    ],
)
def test_what_cannot_be_published_is_named(mine, spoil, said):
    spoil(mine)
    with pytest.raises(WeightsError, match=said):
        publishing.make_plan(mine, "me/lips", "mit")


def test_a_licence_is_needed_for_weights_of_ones_own(mine):
    with pytest.raises(WeightsError, match="--licence"):
        publishing.make_plan(mine, "me/lips")
    for name in ("lips", "me/lips@main", "me/lips:x.safetensors", "../x"):
        with pytest.raises(WeightsError):
            publishing.make_plan(mine, name, "mit")


def publish(client, folder, *options):
    """Publish with the real client, in a program of its own."""
    command = [sys.executable, "-m", "articulate", "models", "publish", str(folder), "--repo-id", "me/lips", "--json"]
    environment = client.environment(HF_TOKEN="hf_of_the_tests")
    done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


LOADED = """
import sys
from articulate.nodes.host import weights_file
from articulate.models_hub.loading import load_network
network = load_network(sys.argv[1], weights_file(sys.argv[1], "embedded", sys.argv[2]))
print(type(network).__name__, sum(p.double().sum().item() for p in network.parameters()))
"""


def test_published_weights_load_in_the_nodes_by_their_repository_alone(hub, client, mine):
    facts = publish(client, mine, "--licence", "cc-by-nc-4.0")
    sent = hub.commits["me/lips"][facts["commit"]]
    assert set(sent) == {*facts["files"], ".gitattributes"}
    assert sent["lips.safetensors"] == (mine / "lips.safetensors").read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", LOADED, "landmark_predictor", "me/lips"],
        env=client.environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    name, total = done.stdout.split()
    wanted = loading.load_network("landmark_predictor", str(mine / "lips.safetensors"))
    assert name == "LandmarkPredictor"
    assert float(total) == pytest.approx(sum(p.double().sum().item() for p in wanted.parameters()))


def test_recording_writes_repository_and_commit_into_the_cards(mine, tmp_path, monkeypatch):
    table = tmp_path / "cards.toml"
    table.write_bytes(Path(cards.__file__).with_name("cards.toml").read_bytes())
    monkeypatch.setattr(cards, "_cards_file", lambda: table)
    before = tomllib.loads(table.read_text(encoding="utf-8"))
    assert not any("hub" in card for card in before.values())  # no owner has published them yet
    plan = publishing.make_plan(mine, "me/lips", "mit")
    publishing.record(plan, "c" * 40)
    after = cards.cards()
    record = after["landmark_predictor"]["hub"]
    assert record["repository"] == "me/lips" and record["commit"] == "c" * 40 and record["file"] == "lips.safetensors"
    assert cards.newer(after["landmark_predictor"]) == record
    assert {name: card for name, card in after.items() if "hub" not in card} == {
        name: card for name, card in before.items() if name not in ("landmark_predictor", "frame_critic")
    }


def test_the_embedded_weights_can_be_published_and_recorded():
    plan = publishing.make_plan(loading.WEIGHTS_FOLDER, "me/articulate")
    names = [name for name, card in cards.cards().items() if cards.source(card) == "embedded"]
    assert publishing.recorded_cards(plan) == sorted(names)
    assert all(entry.card["title"] in plan.texts["README.md"] for entry in plan.entries)


def test_no_token_is_a_sentence(hub, client, mine):
    hub.refuse = (401, None)
    command = [
        sys.executable,
        "-m",
        "articulate",
        "models",
        "publish",
        str(mine),
        "--repo-id",
        "me/lips",
        "--licence",
        "mit",
    ]
    done = subprocess.run(command, env=client.environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "Cannot push to me/lips" in done.stderr and "Traceback" not in done.stderr
    assert os.listdir(mine)
