"""What the graph editor saves becomes what its own Export (API) gives."""

import copy
import json
from pathlib import Path

import articulate
import pytest
from articulate.models_hub.errors import WorkflowError
from articulate.workflows.commands import main
from articulate.workflows.definitions import known_definitions, stand_ins
from articulate.workflows.editor_format import api_format
from articulate.workflows.graph import load_workflow

ROOT = Path(articulate.__file__).parent


def node(number, kind, values=(), inputs=(), outputs=(), **more):
    return {"id": number, "type": kind, "order": number, "mode": 0, "widgets_values": list(values), "inputs": [
        {"name": name, "type": form, "link": link} for name, form, link in inputs],
        "outputs": [{"name": form, "type": form, "links": []} for form in outputs]} | more  # fmt: skip


@pytest.fixture
def graph():
    """A picture is scaled and saved."""
    return {
        "version": 0.4,
        "nodes": [
            node(1, "LoadImage", ["me.png", "image"], outputs=["IMAGE", "MASK"]),
            node(2, "ImageScaleBy", ["lanczos", 2.0], [("image", "IMAGE", 1)], ["IMAGE"]),
            node(3, "SaveImage", ["out"], [("images", "IMAGE", 2)]),
            node(4, "MarkdownNote", ["Read me."]),
        ],
        "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"]],
    }


def test_widgets_get_their_names_and_notes_disappear(graph):
    assert api_format(graph, "it") == {
        "1": {"inputs": {"image": "me.png"}, "class_type": "LoadImage", "_meta": {"title": "Load Image"}},
        "2": {"inputs": {"upscale_method": "lanczos", "scale_by": 2.0, "image": ["1", 0]},
              "class_type": "ImageScaleBy", "_meta": {"title": "Upscale Image By"}},
        "3": {"inputs": {"filename_prefix": "out", "images": ["2", 0]},
              "class_type": "SaveImage", "_meta": {"title": "Save Image"}},
    }  # fmt: skip


def test_a_bypassed_node_passes_its_input_on_and_a_muted_one_is_cut_off(graph):
    graph["nodes"][1]["mode"] = 4
    assert api_format(graph, "it")["3"]["inputs"]["images"] == ["1", 0]
    assert "2" not in api_format(graph, "it")
    graph["nodes"][1]["mode"] = 2
    assert "images" not in api_format(graph, "it")["3"]["inputs"]


def test_reroutes_and_primitives_vanish(graph):
    graph["nodes"] += [
        node(5, "Reroute", inputs=[("", "*", 1)], outputs=["IMAGE"]),
        node(6, "PrimitiveNode", [3.0, "fixed"], outputs=["FLOAT"]),
    ]
    graph["links"] += [[3, 5, 0, 2, 0, "IMAGE"], [4, 6, 0, 2, 1, "FLOAT"]]
    graph["nodes"][1]["inputs"] = [
        {"name": "image", "type": "IMAGE", "link": 3},
        {"name": "scale_by", "type": "FLOAT", "link": 4, "widget": {"name": "scale_by"}},
    ]
    inputs = api_format(graph, "it")["2"]["inputs"]
    assert inputs == {"upscale_method": "lanczos", "scale_by": 3.0, "image": ["1", 0]}


def test_a_seed_takes_two_places_and_a_nested_choice_brings_its_own():
    seeded = {"nodes": [node(1, "KSampler", [7, "randomize", 20, 8.0, "euler", "karras", 0.5])], "links": []}
    assert api_format(seeded, "it")["1"]["inputs"] == {
        "seed": 7, "steps": 20, "cfg": 8.0, "sampler_name": "euler", "scheduler": "karras", "denoise": 0.5,
    }  # fmt: skip
    saved = {"nodes": [node(1, "SaveVideo", ["v", "mp4", "h264", "re-encode", 18.0, "sRGB", "auto"])], "links": []}
    assert api_format(saved, "it")["1"]["inputs"] == {
        "filename_prefix": "v", "format": "mp4", "format.codec": "h264", "format.codec.encoding": "re-encode",
        "format.codec.encoding.crf": 18.0, "format.codec.encoding.color_space": "sRGB", "codec": "auto",
    }  # fmt: skip


def test_the_blueprint_unfolds_to_the_whole_chain():
    blueprint = json.loads((ROOT / "subgraphs" / "Talking Head.json").read_text(encoding="utf-8"))
    (shell,) = blueprint["nodes"]
    assert [socket["name"] for socket in shell["inputs"]] == [
        "image", "audio", "strength", "blink", "head_motion", "seed",
    ]  # fmt: skip
    whole = copy.deepcopy(blueprint)
    whole["nodes"] += [
        node(1, "LoadImage", ["me.png", "image"], outputs=["IMAGE", "MASK"]),
        node(3, "LoadAudio", ["me.flac", None, None], outputs=["AUDIO"]),
        node(11, "SaveVideo", ["v", "mp4", "auto"], [("video", "VIDEO", 3)]),
    ]
    whole["links"] = [[1, 1, 0, 10, 0, "IMAGE"], [2, 3, 0, 10, 1, "AUDIO"], [3, 10, 0, 11, 0, "VIDEO"]]
    whole["nodes"][0]["inputs"][0]["link"], whole["nodes"][0]["inputs"][1]["link"] = 1, 2
    whole["nodes"][0]["widgets_values"] = [1.5, 0.0, 0.0, 42]
    prompt = api_format(whole, "it")
    assert prompt["11"]["inputs"]["video"] == ["10:9", 0]
    assert prompt["10:2"]["inputs"]["image"] == ["1", 0]
    assert prompt["10:4"]["inputs"]["audio"] == prompt["10:9"]["inputs"]["audio"] == ["3", 0]
    predictor = prompt["10:5"]["inputs"]
    assert (predictor["strength"], predictor["blink"], predictor["seed"]) == (1.5, 0.0, 42)
    twin = json.loads((ROOT / "workflows" / "api" / "talking_head.json").read_text(encoding="utf-8"))
    assert {entry["class_type"] for entry in prompt.values()} == {entry["class_type"] for entry in twin.values()}


def test_either_format_can_be_loaded(tmp_path, graph):
    (tmp_path / "그래프.json").write_text(json.dumps(graph), encoding="utf-8")
    drawn = load_workflow(tmp_path / "그래프.json")
    assert drawn.prompt == load_workflow(api_format(graph, "it")).prompt
    assert drawn.nodes["2"].title == "Upscale Image By"


def test_a_link_that_leads_nowhere_is_told(graph):
    graph["links"].pop()
    with pytest.raises(WorkflowError, match="link 2 is used but not listed"):
        api_format(graph, "it")


@pytest.mark.parametrize("row", [[1], [1, 1], [1, 5, 0, 2, 0, "IMAGE"]])
def test_a_broken_row_of_links_is_told(graph, row):
    graph["nodes"].append(node(5, "Reroute", inputs=[("", "*", 1)], outputs=["IMAGE"]))  # which feeds itself
    graph["links"][0] = row
    with pytest.raises(WorkflowError, match="open it in ComfyUI and save it again"):
        api_format(graph, "it")


def test_core_definitions_agree_with_the_nodes_that_run_here():
    from articulate.workflows.core_nodes import CORE_NODES

    known = known_definitions()
    for cls in CORE_NODES:
        schema = cls.GET_SCHEMA()
        definition = known[schema.node_id]
        required = set(definition["input"].get("required") or {})
        here = {socket.id.split(".")[0] for socket in schema.inputs}
        assert required <= here, schema.node_id
        assert len(schema.outputs) <= len(definition["output"])
    assert set(stand_ins(known)) == set(known)


def test_the_command_converts_and_checks(tmp_path, graph, capsys):
    source, target = tmp_path / "it.json", tmp_path / "api.json"
    source.write_text(json.dumps(graph))
    assert main(["workflow", "api", str(source), "-o", str(target)]) == 0
    assert json.loads(target.read_text()) == api_format(graph, "it")
    assert main(["workflow", "api", str(source), "-o", str(target)]) == 1  # it exists
    assert main(["workflow", "api", str(source), "-o", str(source), "--overwrite"]) == 1
    assert "the same file as the input" in capsys.readouterr().err and json.loads(source.read_text()) == graph
    assert main(["workflow", "check", str(target), "--input-dir", str(tmp_path)]) == 2
    assert "There is no file 'me.png'" in capsys.readouterr().out
    (tmp_path / "me.png").write_bytes(b"x")
    assert main(["workflow", "check", str(target), "--input-dir", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"problems": [], "needs_comfyui": []}
