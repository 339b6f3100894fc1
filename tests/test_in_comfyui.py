"""What needs a running ComfyUI with this pack: COMFY_URL=http://127.0.0.1:8188 pytest tests/test_in_comfyui.py

Frames are compared with a headless run in float32 on the same machine, so ComfyUI should run there with --cpu.
"""

import json
import os
import urllib.request
from pathlib import Path

import articulate
import pytest
from articulate.models_hub.media import VideoReader, read_audio, read_picture
from articulate.nodes import NODES, contract
from articulate.workflows.definitions import inputs_of, known_definitions
from articulate.workflows.editor_format import api_format

URL = os.environ.get("COMFY_URL", "")
pytestmark = pytest.mark.skipif(not URL, reason="no COMFY_URL: give the address of a ComfyUI that has this pack")
ROOT = Path(articulate.__file__).parent
SAMPLES = ROOT / "samples"


@pytest.fixture(scope="module")
def published() -> dict:
    with urllib.request.urlopen(f"{URL}/object_info") as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def short() -> dict:
    """One second of the talking head, also as pictures and sound without loss."""
    workflow = json.loads((ROOT / "workflows" / "api" / "talking_head.json").read_text(encoding="utf-8"))
    cut = {"audio": ["3", 0], "start_index": 0.2, "duration": 1.0}
    workflow["20"] = {"class_type": "TrimAudioDuration", "inputs": cut}
    workflow["4"]["inputs"]["audio"] = workflow["9"]["inputs"]["audio"] = ["20", 0]
    workflow["21"] = {"class_type": "GetVideoComponents", "inputs": {"video": ["9", 0]}}
    workflow["22"] = {"class_type": "SaveImage", "inputs": {"images": ["21", 0], "filename_prefix": "test/frame"}}
    workflow["23"] = {"class_type": "SaveAudio", "inputs": {"audio": ["21", 1], "filename_prefix": "test/sound"}}
    return workflow


def test_all_nodes_are_there_as_recorded(published):
    for name, promise in contract.promises().items():
        inputs = inputs_of(published[name])
        assert {entry[0] for entry in promise["inputs"]} == set(inputs), name
        assert published[name]["output"] == [kind for _, kind in promise["outputs"]], name
    assert {node.__name__ for node in NODES} <= set(published)


def test_both_ways_to_know_the_widgets_agree(published):
    for path in sorted((ROOT / "workflows").glob("*.json")):
        drawn = json.loads(path.read_text(encoding="utf-8"))
        assert api_format(drawn, path.name, published) == api_format(drawn, path.name, known_definitions()), path.name


def test_help_locales_and_blueprint_are_served():
    with urllib.request.urlopen(f"{URL}/i18n") as answer:
        locales = json.load(answer)
    with urllib.request.urlopen(f"{URL}/global_subgraphs") as answer:
        assert "Talking Head" in {entry["name"] for entry in json.load(answer).values()}
    folder = os.environ.get("COMFY_PACK", "articulate")
    for node in NODES:
        assert all(node.__name__ in locales[language]["nodeDefs"] for language in ("en", "zh", "ja", "ko"))
        with urllib.request.urlopen(f"{URL}/extensions/{folder}/docs/{node.__name__}.md") as answer:
            assert answer.read().startswith(b"# ")


def test_the_server_gives_the_frames_and_samples_of_a_headless_run(short, tmp_path):
    there = articulate.run(short, server=URL, input_dir=SAMPLES, output_dir=tmp_path / "there")
    here = articulate.run(short, input_dir=SAMPLES, output_dir=tmp_path / "here", precision="float32")
    pictures = [[read_picture(path) for path in run.files["22"]] for run in (there, here)]
    assert len(pictures[0]) == len(pictures[1]) == 25
    assert all(bool((one == other).all()) for one, other in zip(*pictures, strict=True))
    (one, rate), (other, other_rate) = (read_audio(run.files["23"][0]) for run in (there, here))
    assert rate == other_rate and one.shape == other.shape and bool((one == other).all())
    # The encoder's choices depend on how many processors a process may use; both must be given the same.
    one, other = (VideoReader(run.files["10"][0]) for run in (there, here))
    assert all(bool((a == b).all()) for a, b in zip(one.frames(), other.frames(), strict=True))
