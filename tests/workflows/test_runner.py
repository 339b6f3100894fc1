import articulate
import numpy as np
import pytest
import torch
from articulate.models_hub.errors import InputError, WorkflowError
from articulate.models_hub.media import read_picture
from articulate.nodes.host import host_progress
from articulate.nodes.standin import io
from articulate.nodes.standin.execution import execution
from articulate.workflows.core_nodes import CORE_NODES
from articulate.workflows.runner import Runner, known_nodes, run


def node(class_type, title=None, **inputs):
    entry = {"class_type": class_type, "inputs": inputs}
    return entry | ({"_meta": {"title": title}} if title else {})


SUM = {
    "1": node("Number", "Left", value=1),
    "2": node("Number", value=2),
    "3": node("Add", a=["1", 0], b=["2", 0]),
    "4": node("Show", value=["3", 0]),
}


@pytest.fixture
def runner(nodes):
    return Runner(nodes)


def test_nodes_run_once_after_those_they_need(runner, executions):
    result = runner.run(SUM)
    assert result.outputs == {"4": (3,)}
    assert executions == ["Number 1", "Number 2", "Add", "Show 3"]
    assert set(result.seconds) == {"1", "2", "3", "4"}


def test_twins_run_once(runner, executions):
    twins = SUM | {"2": node("Number", value=1)}
    assert runner.run(twins).outputs == {"4": (2,)}
    assert executions == ["Number 1", "Add", "Show 2"]


def test_only_what_changed_runs_again(runner, executions):
    runner.run(SUM)
    executions.clear()
    again = runner.run(SUM)
    assert executions == [] and again.outputs == {"4": (3,)} and sorted(again.reused) == ["1", "2", "3", "4"]
    assert runner.run(SUM, {"2.value": 5}).outputs == {"4": (6,)}
    assert executions == ["Number 5", "Add", "Show 6"]


def test_another_precision_or_device_runs_everything_again(runner, executions):
    runner.run(SUM, precision="float32")
    assert len(runner.run(SUM, precision="bfloat16").seconds) == 4
    assert len(runner.run(SUM, precision="bfloat16").seconds) == 0
    assert len(runner.run(SUM, precision="bfloat16", device="meta").seconds) == 4


def test_results_that_a_run_did_not_use_are_forgotten(runner, executions):
    runner.run(SUM)
    runner.run({"1": node("Number", value=9), "2": node("Show", value=["1", 0])})
    executions.clear()
    runner.run(SUM)
    assert "Add" in executions


def test_a_fingerprint_of_nan_runs_every_time(runner, executions):
    workflow = {"1": node("Always"), "2": node("Show", value=["1", 0])}
    runner.run(workflow)
    runner.run(workflow)
    assert executions.count("Always") == 2


@pytest.mark.parametrize("first, other", [(True, "Number 2"), (False, "Number 1")])
def test_lazy_inputs_that_are_not_needed_do_not_run(runner, executions, first, other):
    workflow = {
        "1": node("Number", value=1),
        "2": node("Number", value=2),
        "3": node("Choose", first=first, yes=["1", 0], no=["2", 0]),
        "4": node("Show", value=["3", 0]),
    }
    assert runner.run(workflow).outputs == {"4": (1 if first else 2,)}
    assert other not in executions


def test_hidden_values_are_those_that_were_asked_for(runner):
    result = runner.run(SUM)
    assert result.texts == {"4": ["4 ['1', '2', '3', '4'] None"]}


def test_the_workflow_is_kept_with_its_settings(runner):
    class Keeper(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return io.Schema(node_id="Keeper", inputs=[io.Int.Input("n")], is_output_node=True)

        @classmethod
        def execute(cls, n):
            return io.NodeOutput(cls.hidden.prompt)

    result = Runner({"Keeper": Keeper}).run({"1": node("Keeper", n=1)}, {"1.n": "7"})
    assert result.outputs["1"][0]["1"]["inputs"] == {"n": 7}


@pytest.mark.parametrize(
    "place, value, expected",
    [
        ("1.value", "7", 7),
        ("Left.value", 7, 7),
        ("3.a", '["2", 0]', 2),
        ("Left.negative", "true", -1),
        ("1.label", "0.5", 1),
    ],
)
def test_settings_reach_their_input(runner, place, value, expected):
    left = runner.run(SUM, {place: value}).outputs["4"][0] - 2
    assert left == expected


@pytest.mark.parametrize(
    "place, said",
    [
        ("9.value", "no node '9'"),
        ("Number.value", "several"),
        ("1.valeu", "no input 'valeu'.*Did you mean 'value'"),
        ("value", "NODE.INPUT"),
    ],
)
def test_a_setting_that_fits_nowhere_is_refused(runner, executions, place, said):
    with pytest.raises(WorkflowError, match=said):
        runner.run(SUM, {place: "1"})
    assert executions == []


def test_nothing_runs_when_something_is_wrong(runner, executions):
    with pytest.raises(WorkflowError, match="is above"):
        runner.run(SUM, {"2.value": 1000})
    assert executions == []


def test_an_error_names_its_node_and_keeps_its_kind(runner):
    with pytest.raises(InputError, match=r"A Number \(node 2\): label 'fail'"):
        runner.run(SUM, {"2.label": "fail"})


def test_a_defect_keeps_its_traceback_and_says_where(runner):
    with pytest.raises(ZeroDivisionError) as caught:
        runner.run(SUM, {"2.label": "defect"})
    assert caught.value.__notes__ == ["This happened in A Number (node 2)."]


def test_targets_choose_what_runs(runner, executions):
    assert runner.run(SUM, targets=["1"]).outputs == {"1": (1, "plain")}
    assert executions == ["Number 1"]


def test_no_run_leaks_into_the_next(runner, tmp_path):
    before = execution()
    with pytest.raises(InputError):
        runner.run(SUM, {"2.label": "fail"}, output_dir=tmp_path)
    assert execution() == before


def test_gradients_are_off(nodes):
    class Grad(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return io.Schema(node_id="Grad", is_output_node=True)

        @classmethod
        def execute(cls):
            return io.NodeOutput(torch.is_inference_mode_enabled())

    assert Runner({"Grad": Grad}).run({"1": node("Grad")}).outputs == {"1": (True,)}


def test_saved_pictures_are_counted_and_reported(nodes, tmp_path):
    known = nodes | {cls.GET_SCHEMA().node_id: cls for cls in CORE_NODES}
    workflow = {
        "1": node("Picture", count=2),
        "2": node("SaveImage", images=["1", 0], filename_prefix="그림/p %width%"),
        "3": node("PreviewImage", images=["1", 0]),
    }
    result = Runner(known).run(workflow, output_dir=tmp_path)
    names = [path.relative_to(tmp_path.resolve()).as_posix() for path in result.files["2"]]
    assert names == ["그림/p 24_00001_.png", "그림/p 24_00002_.png"]
    assert all(path.parent.name == "previews" for path in result.files["3"])
    again = Runner(known).run(workflow, output_dir=tmp_path)
    assert [path.name for path in again.files["2"]] == ["p 24_00003_.png", "p 24_00004_.png"]
    assert np.isclose(read_picture(result.files["2"][0]).mean(), 0.2, atol=0.01)


@pytest.mark.parametrize("prefix", ["../x", "/tmp/x", "a/../../x", ".."])
def test_output_stays_in_its_folder(nodes, tmp_path, prefix):
    known = nodes | {cls.GET_SCHEMA().node_id: cls for cls in CORE_NODES}
    workflow = {"1": node("Picture", count=1), "2": node("SaveImage", images=["1", 0], filename_prefix=prefix)}
    with pytest.raises(InputError, match="leads out"):
        Runner(known).run(workflow, output_dir=tmp_path / "out")
    assert not (tmp_path / "x_00001_.png").exists()


def test_progress_bars_are_silent_without_a_terminal(capsys):
    progress = host_progress(3)
    for done in range(1, 4):
        progress(done, 3)
    assert capsys.readouterr() == ("", "")


def test_a_run_says_what_took_how_long(runner, capsys):
    runner.run(SUM, quiet=False)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4 and lines[0].endswith("s  A Number (node 1)")


def test_our_nodes_and_the_core_nodes_are_known():
    assert {"LoadImage", "SaveVideo", "ArticulateFace", "ArticulateCompose"} <= set(known_nodes())


def test_the_python_call(tmp_path):
    for call in (run, articulate.run):
        with pytest.raises(WorkflowError, match="no workflow file"):
            call(tmp_path / "nothing.json")
