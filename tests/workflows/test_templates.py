"""The workflows of the template browser: tidy, consistent, and the same graphs as their API twins."""

import json
from pathlib import Path

import articulate
import pytest
from articulate.models_hub.media import read_picture
from articulate.nodes import NODES
from articulate.workflows.editor_format import api_format

FOLDER = Path(articulate.__file__).parent / "workflows"
TEMPLATES = sorted(FOLDER.glob("*.json"))
SCHEMAS = {node.__name__: node.GET_SCHEMA() for node in NODES}
WIDGETS = ("COMBO", "INT", "FLOAT", "BOOLEAN", "STRING")


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(params=TEMPLATES, ids=lambda path: path.stem)
def template(request) -> dict:
    return read(request.param)


def test_the_templates_are_there():
    assert {path.stem for path in TEMPLATES} >= {
        "talking_head", "reenactment", "look_inside", "edit_mouth", "two_people", "text_to_talking_head", "upscale",
        "fine_tune_then_talk", "published_mcnet", "published_atvgnet",
    }  # fmt: skip
    for path in TEMPLATES:
        picture = read_picture(path.with_suffix(".jpg"))  # the page shows it under this name
        assert 256 <= min(picture.shape[:2]) <= max(picture.shape[:2]) <= 1024


def test_links_agree_on_both_sides(template):
    nodes = {node["id"]: node for node in template["nodes"]}
    assert template["version"] == 0.4
    assert template["last_node_id"] == max(nodes)
    assert template["last_link_id"] == max(link[0] for link in template["links"])
    assert len({link[0] for link in template["links"]}) == len(template["links"])
    for number, source, out, target, slot, kind in template["links"]:
        output, given = nodes[source]["outputs"][out], nodes[target]["inputs"][slot]
        assert number in output["links"]
        assert number == given["link"]
        assert kind == output["type"]
        assert kind in given["type"].split(",") or "*" in given["type"]
    ends = [given["link"] for node in template["nodes"] for given in node["inputs"] if given["link"] is not None]
    starts = [link for node in template["nodes"] for output in node["outputs"] for link in output["links"] or []]
    assert sorted(ends) == sorted(starts) == sorted(link[0] for link in template["links"])


def widgets(node: dict) -> dict:
    """Values by input id, read by position as the page does."""
    values = iter(node["widgets_values"])
    found = {}
    for socket in SCHEMAS[node["type"]].inputs:
        if socket.get_io_type() in WIDGETS:
            found[socket.id] = next(values)
            if getattr(socket, "control_after_generate", None):
                assert next(values) in ("fixed", "increment", "decrement", "randomize")
    assert list(values) == []
    return found


def test_nodes_follow_their_schemas(template):
    ours = [node for node in template["nodes"] if node["type"] in SCHEMAS]
    assert ours
    for node in ours:
        schema = SCHEMAS[node["type"]]
        sockets = [(s.id, s.get_io_type()) for s in schema.inputs if s.get_io_type() not in WIDGETS]
        shown = [(given["name"], given["type"]) for given in node["inputs"] if "widget" not in given]
        assert shown == sockets
        assert [(out["name"], out["type"]) for out in node["outputs"]] == [(o.id, o.io_type) for o in schema.outputs]
        required = {s.id for s in schema.inputs if not s.optional and s.get_io_type() not in WIDGETS}
        assert {given["name"] for given in node["inputs"] if given["link"] is None}.isdisjoint(required)
        for name, value in widgets(node).items():
            facts = next(socket for socket in schema.inputs if socket.id == name).as_dict()
            if "options" in facts:
                assert value in facts["options"]
            elif "min" in facts:
                assert facts["min"] <= value <= facts["max"]
            else:
                assert type(value) is type(facts["default"])


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_the_api_twin_is_the_same_graph(path):
    template, twin = read(path), read(FOLDER / "api" / path.name)
    links = {link[0]: [str(link[1]), link[2]] for link in template["links"]}
    drawn = {str(node["id"]): node for node in template["nodes"] if node["type"] != "MarkdownNote"}
    assert set(drawn) == set(twin)
    for number, node in drawn.items():
        assert twin[number]["class_type"] == node["type"]
        linked = {given["name"]: links[given["link"]] for given in node["inputs"] if given["link"] is not None}
        values = widgets(node) if node["type"] in SCHEMAS else {}
        stated = twin[number]["inputs"]
        assert {k: v for k, v in stated.items() if isinstance(v, list)} == linked
        if node["type"] in SCHEMAS:
            fixed = {name: value for name, value in values.items() if name not in linked}
            assert {k: v for k, v in stated.items() if not isinstance(v, list)} == fixed


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_the_converter_gives_the_api_twin(path):
    assert api_format(read(path), path.name) == read(FOLDER / "api" / path.name)


def test_every_template_explains_itself_and_names_its_groups(template):
    notes = [node["widgets_values"][0] for node in template["nodes"] if node["type"] == "MarkdownNote"]
    assert any(len(note) > 200 for note in notes)
    assert [group["title"][0] for group in template["groups"]] == [str(n + 1) for n in range(len(template["groups"]))]
    for node in template["nodes"]:  # every node stands in exactly one group
        x, y = node["pos"]
        inside = [
            group
            for group in template["groups"]
            if group["bounding"][0] <= x <= group["bounding"][0] + group["bounding"][2] - node["size"][0]
            and group["bounding"][1] <= y <= group["bounding"][1] + group["bounding"][3] - node["size"][1]
        ]
        assert len(inside) == 1, node.get("title") or node["type"]


def test_nodes_do_not_overlap(template):
    boxes = [(*node["pos"], *node["size"]) for node in template["nodes"]]
    for place, (x, y, width, height) in enumerate(boxes):
        for other_x, other_y, other_width, other_height in boxes[place + 1 :]:
            apart = x + width <= other_x or other_x + other_width <= x
            # A title bar of 30 units stands above every node.
            assert apart or y + height <= other_y - 30 or other_y + other_height <= y - 30
