"""Weights tuned to a person are published, and load by their repository's name as they were."""

import json
import shutil
import subprocess
import sys

import torch
from articulate.models_hub.loading import load_network
from articulate.models_hub.networks.low_rank import Personal
from articulate.models_hub.stages.personal import face_codes


def test_a_personal_file_is_published_and_loads_by_its_repository_alone(
    hub, client, personal_files, sample_face, tmp_path
):
    folder, code = tmp_path / "me", face_codes(sample_face.crop, sample_face.points[None])
    folder.mkdir()
    for stage in ("generator", "warper"):
        shutil.copy(personal_files / f"{stage}_own.safetensors", folder / f"me_{stage}.safetensors")
    command = [sys.executable, "-m", "articulate", "models", "publish", str(folder), "--repo-id", "me/person", "--json"]
    environment = client.environment(HF_TOKEN="hf_of_the_tests")
    done = subprocess.run(
        [*command, "--licence", "cc-by-nc-4.0"], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert {"me_generator.safetensors", "me_warper.safetensors", "README.md"} <= set(json.loads(done.stdout)["files"])
    for stage in ("generator", "warper"):
        found = client.ask("me/person", stage)
        assert "path" in found, found
        network = load_network(stage, found["path"])
        mine = load_network(stage, str(folder / f"me_{stage}.safetensors"))
        assert isinstance(network, Personal) and network.rank == 2
        ours, theirs = (made.for_face(code[0]).state_dict() for made in (network, mine))
        assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
        assert not torch.equal(network.for_face(-code[0]).state_dict()[name := next(iter(ours))], ours[name])
