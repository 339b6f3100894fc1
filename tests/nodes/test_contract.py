"""Saved workflows go on working: recorded ids, inputs and outputs stay, and renames are announced."""

import asyncio
import subprocess
import sys
from types import SimpleNamespace

import articulate
import articulate.nodes as pack
import pytest
from articulate.nodes import NODES, RENAMED, contract
from articulate.nodes.host import io

SCHEMAS = {node.GET_SCHEMA().node_id: node.GET_SCHEMA() for node in NODES}


def test_every_promise_is_kept():
    renamed = {entry["old_node_id"] for entry in RENAMED}
    for name, promise in contract.promises().items():
        if name not in renamed:
            assert name in SCHEMAS, f"{name} is gone; announce its successor in nodes.RENAMED"
            assert contract.broken(promise, SCHEMAS[name]) == [], name


def test_every_node_is_recorded_as_it_is():
    recorded = contract.promises()
    for name, schema in SCHEMAS.items():
        assert recorded.get(name) == contract.promise_of(schema), "run: python -m articulate.nodes.contract"


def changed(**options) -> SimpleNamespace:
    inputs = [io.Image.Input("image"), io.Int.Input("count", default=1)]
    facts = {"inputs": inputs, "outputs": [io.Mask.Output("mask")]} | options
    return SimpleNamespace(**facts)


def test_breaches_are_noticed():
    promise = contract.promise_of(changed())
    image, count = changed().inputs
    assert contract.broken(promise, changed()) == []
    assert contract.broken(promise, changed(inputs=[image, count, io.Int.Input("more", default=0)])) == []
    assert contract.broken(promise, changed(inputs=[io.MultiType.Input("image", [io.Image, io.Mask]), count])) == []
    for breach in (
        {"inputs": [count, image]},
        {"inputs": [image]},
        {"inputs": [io.Image.Input("picture"), count]},
        {"inputs": [io.Mask.Input("image"), count]},
        {"inputs": [image, count, io.Mask.Input("needed")]},
        {"outputs": []},
        {"outputs": [io.Image.Output("mask")]},
    ):
        assert contract.broken(promise, changed(**breach)), breach


def test_recording_again_changes_nothing(tmp_path, monkeypatch):
    copy = tmp_path / "contract.json"
    copy.write_bytes(contract.FILE.read_bytes())
    monkeypatch.setattr(contract, "FILE", copy)
    assert contract.record() == []
    assert contract.promises() == contract.promises() and copy.stat().st_size > 1000


@pytest.mark.parametrize("present, fits", [("0.8.2", False), ("0.19.9", False), ("0.20.0", True), ("1.0.0", True)])
def test_an_older_host_is_told_what_it_lacks(monkeypatch, present, fits):
    monkeypatch.setitem(sys.modules, "comfy_api", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "comfyui_version", SimpleNamespace(__version__=present))
    if fits:
        articulate._check_host()
    else:
        with pytest.raises(RuntimeError, match=f"needs ComfyUI {articulate.OLDEST_COMFYUI} or newer, but this is"):
            articulate._check_host()


def test_renames_reach_the_host(monkeypatch):
    told = []

    class Replacement:
        async def register(self, entry):
            told.append(entry)

    api = SimpleNamespace(ComfyAPI=lambda: SimpleNamespace(node_replacement=Replacement()))
    monkeypatch.setitem(sys.modules, "comfy_api", SimpleNamespace(latest=api))
    monkeypatch.setitem(sys.modules, "comfy_api.latest", api)
    monkeypatch.setattr(pack, "INSIDE_COMFYUI", True)
    monkeypatch.setattr(pack, "RENAMED", ({"new_node_id": "New", "old_node_id": "Old"},))
    monkeypatch.setattr(pack.io, "NodeReplace", dict, raising=False)
    asyncio.run(pack.ArticulateExtension().on_load())
    assert told == [{"new_node_id": "New", "old_node_id": "Old"}]


def test_the_pack_loads_without_any_optional_package():
    """A package that is not installed must not keep the nodes from loading."""
    code = (
        "import asyncio, sys;"
        "[sys.modules.__setitem__(name, None) for name in ('av', 'cv2', 'insightface', 'librosa', 'tqdm', 'PIL',"
        " 'huggingface_hub', 'onnxruntime', 'scipy')];"
        "import articulate;"
        "nodes = asyncio.run(asyncio.run(articulate.comfy_entrypoint()).get_node_list());"
        "print(len([node.GET_SCHEMA() for node in nodes]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == str(len(NODES)), run.stderr


def test_a_missing_package_is_named_with_its_cure():
    from articulate.models_hub.errors import InputError
    from articulate.nodes.types import explains_missing_packages

    @explains_missing_packages
    def needs():
        raise ModuleNotFoundError("No module named 'cv2'", name="cv2")

    with pytest.raises(InputError, match=r"'cv2' is not installed.*pip install -r requirements.txt"):
        needs()
