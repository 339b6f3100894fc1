"""The workflows that we ship say everything that ComfyUI wants to be told, and nothing unknown."""

import json
from pathlib import Path

import pytest
from articulate.workflows.definitions import known_definitions, stand_ins
from articulate.workflows.graph import Link, load_workflow
from articulate.workflows.runner import known_nodes
from articulate.workflows.validation import find_problems

FILES = sorted((Path(__file__).parents[2] / "workflows" / "api").glob("*.json"))


CHECKED = stand_ins(known_definitions())
"""Nodes that can be checked, but of which some run in ComfyUI only."""


def classes() -> dict:
    return CHECKED | known_nodes()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_only_the_input_files_are_missing(path):
    workflow = load_workflow(path)
    problems = [problem for problem in find_problems(workflow, classes()) if "There is no file" not in problem.message]
    assert problems == []


@pytest.mark.parametrize("name", ["talking_head", "reenactment"])
def test_our_nodes_stand_at_their_defaults(name):
    path = FILES[0].with_name(f"{name}.json")
    for node in load_workflow(path).nodes.values():
        if not node.class_type.startswith("Articulate"):
            continue
        for socket in known_nodes()[node.class_type].GET_SCHEMA().inputs:
            if hasattr(socket, "default") and not isinstance(node.inputs[socket.id], Link):
                assert node.inputs[socket.id] == socket.default, f"{path.name}: {node.title}.{socket.id}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_input_is_unknown(path):
    for node in load_workflow(path).nodes.values():
        known = {socket.id for socket in classes()[node.class_type].GET_SCHEMA().inputs}
        assert {name.split(".")[0] for name in node.inputs} <= known, node.title


def test_only_one_workflow_needs_comfyui():
    foreign = {path.stem for path in FILES for node in load_workflow(path).nodes.values()
               if node.class_type not in known_nodes()}  # fmt: skip
    assert foreign == {"text_to_talking_head"}


def test_both_everyday_workflows_are_there():
    assert {"talking_head", "reenactment"} <= {path.stem for path in FILES}
    assert all(json.loads(path.read_text(encoding="utf-8")) for path in FILES)
