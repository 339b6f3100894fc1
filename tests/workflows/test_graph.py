import json
from pathlib import Path

import articulate
import pytest
from articulate.models_hub.errors import WorkflowError
from articulate.workflows.graph import Link, load_workflow, nearest


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


@pytest.mark.parametrize(
    "content, said",
    [
        ("{not json", "is not JSON.*Export"),
        ("", "is not JSON"),
        ("[1, 2]", "holds no nodes"),
        ("{}", "holds no nodes"),
        ("null", "holds no nodes"),
        ('{"nodes": [], "links": [], "version": 0.4}', "holds no nodes"),
        ('{"nodes": [{"id": 1}]}', "not a complete workflow of the graph editor.*save it again"),
        ('{"nodes": [{"id": 1, "type": "Danse"}]}', "'Danse', which is not known here.*--server"),
        ('{"1": {"inputs": {}}}', "'1'.*not a node"),
        ('{"1": 5}', "'1'.*not a node"),
        ('{"1": {"class_type": "X", "inputs": []}}', "inputs of node 1"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_a_file_that_is_no_workflow_gets_a_sentence(tmp_path, content, said):
    path = tmp_path / "작업 흐름.json"
    path.write_text(content)
    with pytest.raises(WorkflowError, match=said) as caught:
        load_workflow(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_bytes(b"\xff\xfe{")]
)
def test_a_file_that_cannot_be_read_gets_a_sentence(tmp_path, make):
    make(tmp_path / "x.json")
    with pytest.raises(WorkflowError, match=r"x\.json"):
        load_workflow(tmp_path / "x.json")


def test_links_titles_and_wrapped_lists_are_understood():
    workflow = load_workflow(
        {
            "1": node("A") | {"_meta": {"title": "First"}},
            "2": node("B", link=["1", 0], number=[1, 2.0], words={"__value__": ["1", 0]}),
        }
    )
    assert workflow.nodes["2"].inputs == {"link": Link("1", 0), "number": [1, 2.0], "words": ["1", 0]}
    assert workflow.find("First") is workflow.nodes["1"] is workflow.find("A")


def test_what_is_sent_to_a_server_is_a_workflow_too(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps({"prompt": {"1": node("A")}, "client_id": "x"}))
    assert list(load_workflow(tmp_path / "x.json").nodes) == ["1"]


def test_an_ambiguous_or_unknown_name_lists_the_nodes():
    workflow = load_workflow({"1": node("A"), "2": node("A")})
    with pytest.raises(WorkflowError, match="several"):
        workflow.find("A")
    with pytest.raises(WorkflowError, match=r"no node 'C'.*1 \(A\)"):
        workflow.find("C")


def test_nodes_come_after_those_they_need():
    workflow = load_workflow(
        {
            "4": node("X", a=["3", 0], b=["2", 0]),
            "3": node("X", a=["1", 0]),
            "2": node("X", a=["1", 0]),
            "1": node("X"),
            "5": node("X"),
        }
    )
    assert workflow.needed_by(["4"]) == ["1", "3", "2", "4"]


def test_a_long_chain_is_no_problem():
    chain = {str(number): node("X", a=[str(number - 1), 0]) for number in range(1, 5000)} | {"0": node("X")}
    assert len(load_workflow(chain).needed_by(["4999"])) == 5000


def test_the_nearest_name_is_suggested():
    assert "LoadImage" in nearest("loadimage", ["LoadAudio", "LoadImage"])
    assert nearest("something else", ["LoadAudio"]) == ""


def test_the_packs_own_workflows_find_its_samples_and_others_do_not(tmp_path):
    ours = Path(articulate.__file__).parent / "workflows" / "api" / "talking_head.json"
    copied = tmp_path / "mine.json"
    copied.write_bytes(ours.read_bytes())
    folders = load_workflow(ours).input_folders("input")
    assert folders[0] == Path("input") and (folders[-1] / "portrait.jpg").is_file()
    assert load_workflow(copied).input_folders("input") == (Path("input"), tmp_path, Path())
