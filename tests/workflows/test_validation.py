import pytest
from articulate.models_hub.errors import WorkflowError
from articulate.workflows.graph import load_workflow
from articulate.workflows.runner import known_nodes
from articulate.workflows.validation import checked, find_problems


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


def problems(workflow, nodes):
    return [str(problem) for problem in find_problems(load_workflow(workflow), nodes)]


SHOW = node("Show", value=["1", 0])

BAD = [
    ({"1": node("Numbr", value=1), "2": SHOW}, ["node 1 (Numbr): no node of class 'Numbr'", "Did you mean 'Number'?"]),
    ({"1": node("Number"), "2": SHOW}, ["node 1 (Number), input 'value': a INT is required"]),
    ({"1": node("Number", value="many"), "2": SHOW}, ["input 'value': it takes a whole number, not 'many'"]),
    ({"1": node("Number", value=1.5), "2": SHOW}, ["it takes a whole number, not 1.5"]),
    ({"1": node("Number", value=True), "2": SHOW}, ["it takes a whole number, not True"]),
    ({"1": node("Number", value=None), "2": SHOW}, ["it takes a whole number, not None"]),
    ({"1": node("Number", value=101), "2": SHOW}, ["101 is above the greatest value, 100"]),
    ({"1": node("Number", value=-1), "2": SHOW}, ["-1 is below the least value, 0"]),
    ({"1": node("Number", value=1, scale="NaN"), "2": SHOW}, ["input 'scale': it takes a number, not 'NaN'"]),
    ({"1": node("Number", value=1, scale=1.01), "2": SHOW}, ["1.01 is above the greatest value, 1.0"]),
    ({"1": node("Number", value=1, label={"a": 1}), "2": SHOW}, ["input 'label': it takes text"]),
    ({"1": node("Number", value=1, negative="no"), "2": SHOW}, ["it takes true or false, not 'no'"]),
    (
        {"1": node("Number", value=1, kind="fency"), "2": SHOW},
        ["'fency' is not one of 'plain', 'fancy'", "mean 'fancy'"],
    ),
    ({"1": node("Number", value=1, kind=[None, 0]), "2": SHOW}, ["it takes one of its choices, not [None, 0]"]),
    ({"1": node("Number", value=1, kind=None), "2": SHOW}, ["it takes one of its choices, not None"]),
    ({"1": node("Show", value=["9", 0])}, ["linked to node 9, which is not in the workflow"]),
    ({"1": node("Number", value=1), "2": node("Show", value=["1", 2])}, ["output 2 of node 1", "2 outputs"]),
    ({"1": node("Number", value=1), "2": node("Show", value=["1", -1])}, ["output -1 of node 1"]),
    (
        {"1": node("Number", value=1), "2": node("Add", a=["1", 0], b=["1", 1]), "3": node("Show", value=["2", 0])},
        ["node 2 (Add), input 'b': it takes INT, but output 1 of node 1 (Number) gives STRING"],
    ),
    ({"1": node("Checked", even=2, image="x.png"), "2": SHOW}, ["input 'image': it takes IMAGE from another node"]),
    ({"1": node("Checked", even=3), "2": SHOW}, ["node 1 (Checked), input 'even': 3 is odd."]),
    (
        {"1": node("Add", a=["2", 0], b=1), "2": node("Add", a=["1", 0], b=1), "3": SHOW},
        ["it needs itself: 1 (Add) <- 2 (Add) <- 1 (Add)"],
    ),
    ({"1": node("Add", a=["1", 0], b=1), "3": SHOW}, ["it needs itself: 1 (Add) <- 1 (Add)"]),
    ({"1": node("Number", value=1)}, ["workflow: no node writes or shows anything"]),
]


@pytest.mark.parametrize("workflow, said", BAD)
def test_each_kind_of_problem_is_said_once(nodes, workflow, said):
    found = problems(workflow, nodes)
    assert len(found) == 1
    for words in said:
        assert words in found[0]


def test_all_problems_come_at_once_with_node_and_input(nodes):
    workflow = {
        "1": node("Number", value=500, scale="x", kind="odd"),
        "2": node("Add", a=["1", 1], b=["8", 0]),
        "3": node("Show", value=["2", 0]),
        "4": node("Nothing"),
    }
    with pytest.raises(WorkflowError, match="6 problems") as caught:
        checked(load_workflow(workflow), nodes)
    for place in ("node 1 (Number), input 'value'", "'scale'", "'kind'", "node 2 (Add), input 'a'", "'b'", "node 4"):
        assert place in str(caught.value)


def test_nodes_that_nothing_needs_may_be_unfinished(nodes):
    workflow = {"1": node("Number", value=1), "2": SHOW, "3": node("Add")}
    assert problems(workflow, nodes) == []


def test_a_wrong_link_hides_nothing_upstream_of_it(nodes):
    workflow = {
        "1": node("Number", value=500),
        "2": node("Add", a=["1", 0]),
        "3": node("Show", value=["77", 0]),
        "4": node("Checked", even=3),
    }
    found = problems(workflow, nodes)
    for said in ("node 77", "500 is above", "node 2 (Add), input 'b'", "3 is odd"):
        assert sum(said in problem for problem in found) == 1, said
    assert len(found) == 4


def test_values_come_in_the_type_of_their_input(nodes):
    workflow = checked(load_workflow({"1": node("Number", value="7", scale=1, label=5, negative=1), "2": SHOW}), nodes)
    inputs = workflow.nodes["1"].inputs
    assert [inputs[name] for name in ("value", "scale", "label", "negative")] == [7, 1.0, "5", True]
    assert [type(inputs[name]) for name in ("value", "scale", "label", "negative")] == [int, float, str, bool]


def test_an_own_check_replaces_the_range_check_and_sees_links_as_none(nodes):
    assert problems({"1": node("Checked", even=6), "2": SHOW}, nodes) == []
    linked = {"1": node("Number", value=1), "2": node("Checked", even=["1", 0]), "3": node("Show", value=["2", 0])}
    assert problems(linked, nodes) == []


def test_large_seeds_stay_exact(nodes):
    workflow = load_workflow({"1": node("Add", a=2**64 - 1, b=0), "2": SHOW})
    assert checked(workflow, nodes).nodes["1"].inputs["a"] == 2**64 - 1


@pytest.mark.parametrize("weights", [[None, 0], {"a": 1}, 5, 0.5, None, True])
def test_weights_that_are_no_text_are_told(weights):
    links = {"face": ["2", 0], "density": ["2", 0]}
    workflow = {"1": node("ArticulateWarper", weights=weights, repository="", **links), "2": node("Elsewhere")}
    elsewhere, found = problems(workflow, known_nodes())
    assert "node 2 (Elsewhere)" in elsewhere and "weights" in found
