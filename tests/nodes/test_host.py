import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from articulate.models_hub.errors import WeightsError
from articulate.nodes import host
from articulate.nodes.host import io
from articulate.nodes.standin.execution import Execution, at_node, executing, numbered_path


def test_loading_the_pack_loads_nothing_heavy():
    code = (
        "import torch, tqdm, safetensors.torch;"
        "import asyncio, sys, articulate;"
        "nodes = asyncio.run(asyncio.run(articulate.comfy_entrypoint()).get_node_list());"
        "[node.GET_SCHEMA() for node in nodes];"
        "heavy = {'av', 'cv2', 'insightface', 'librosa', 'lightning_fabric', 'huggingface_hub', 'matplotlib', 'PIL',"
        " 'skimage', 'onnxruntime'};"
        "print(sorted(heavy & set(sys.modules)), [name for name in sys.modules if 'models_hub.training' in name])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert loaded.stdout.strip() == "[] []", loaded.stderr


def test_types_of_ones_own_do_not_mix():
    first, second = io.Custom("ART_A"), io.Custom("ART_B")
    sockets = [first.Input("a"), second.Input("b"), first.Output("c"), io.Image.Input("d")]
    assert [socket.get_io_type() for socket in sockets] == ["ART_A", "ART_B", "ART_A", "IMAGE"]
    assert io.MultiType.Input("e", [first, io.Image]).get_io_type() == "ART_A,IMAGE"
    assert io.MultiType.Input(io.Float.Input("f", default=1.0), [io.Mask]).get_io_type() == "FLOAT,MASK"


def test_an_input_publishes_what_it_was_told():
    shown = io.Float.Input("x", default=1.0, min=0.0, max=2.0, step=0.1, tooltip="Seconds.", advanced=True).as_dict()
    assert shown == {
        "optional": False, "tooltip": "Seconds.", "default": 1.0, "min": 0.0, "max": 2.0, "step": 0.1, "advanced": True,
    }  # fmt: skip


def test_sockets_of_a_node_must_differ():
    class Twice(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return io.Schema(node_id="Twice", inputs=[io.Int.Input("a"), io.Int.Input("a")])

        @classmethod
        def execute(cls):
            return io.NodeOutput()

    with pytest.raises(ValueError, match="'a'"):
        Twice.GET_SCHEMA()


def test_hidden_values_belong_to_one_execution():
    class Node(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return io.Schema(node_id="Node")

        @classmethod
        def execute(cls):
            return io.NodeOutput(cls.hidden.unique_id)

    clone = Node.PREPARE_CLASS_CLONE({"hidden_inputs": {io.Hidden.unique_id: "7"}})
    assert (clone.execute()[0], Node.execute()[0]) == ("7", None)


def test_progress_may_come_with_a_frame_and_correct_its_total():
    progress = host.host_progress(1)
    for done in (1, 2, 3):
        progress(done, 3, torch.zeros(4, 4, 3))


def test_frames_are_shown_on_the_node_that_makes_them(monkeypatch):
    """A node that saves a video would take a live picture for the video that it has saved."""
    sent = []

    class ProgressBar:
        def __init__(self, total, node_id=None):
            self.node_id = node_id

        def update_absolute(self, done, total, preview=None):
            sent.append((self.node_id, done, total, preview is not None))

    modules = {
        "comfy.model_management": {"throw_exception_if_processing_interrupted": lambda: None},
        "comfy.utils": {"ProgressBar": ProgressBar},
        "comfy_execution.progress": {
            "get_progress_state": lambda: SimpleNamespace(finish_progress=lambda node: sent.append((node, "finished")))
        },
    }
    for name, content in modules.items():
        monkeypatch.setitem(sys.modules, name.split(".")[0], SimpleNamespace())
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**content))
    monkeypatch.setattr(host, "INSIDE_COMFYUI", True)
    frame = torch.zeros(4, 4, 3)
    host.host_progress(2)(1, 2, frame)
    assert sent == [(None, 1, 2, True)]
    sent.clear()
    progress = host.host_progress(2, shown_on="9")
    progress(1, 2, frame)
    progress(2, 2, frame)
    assert sent == [("9", 1, 2, True), (None, 1, 2, False), ("9", 2, 2, True), ("9", "finished"), (None, 2, 2, False)]


def test_a_users_weights_join_the_embedded_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARTICULATE_MODELS", str(tmp_path / "mine"))
    before = host.weights_choices("warper")
    assert before[0] == "embedded"
    for folder, name in (
        (tmp_path / "models" / "articulate", "mine 나.safetensors"),
        (tmp_path / "mine", "a.safetensors"),
    ):
        (folder / "warper").mkdir(parents=True)
        (folder / "warper" / name).write_bytes(b"x")
        (folder / "warper" / "notes.txt").write_text("x")
    assert host.weights_choices("warper") == [*before, "a.safetensors", "mine 나.safetensors"]
    assert host.weights_file("warper", "embedded") == "embedded"
    for name in ("a.safetensors", "mine 나.safetensors"):
        found = tmp_path / host.weights_file("warper", name)
        assert found.name == name and found.read_bytes() == b"x"


@pytest.mark.parametrize(
    "name",
    ["../secret.safetensors", "/etc/passwd", "..", "a/../../secret.safetensors", "C:secret.safetensors", "", "x\0y"],
)
def test_a_choice_never_leaves_the_model_folders(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "articulate" / "warper").mkdir(parents=True)
    for place in (tmp_path, tmp_path / "models", tmp_path / "models" / "articulate"):
        (place / "secret.safetensors").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"Looked in|cannot be used"):
        host.weights_file("warper", name)


def test_a_download_moves_the_bar_of_the_node_and_can_be_cancelled(tmp_path, monkeypatch):
    class Cancelled(BaseException):
        pass

    seen = []

    def bar(total, node_id=None):
        def progress(done, in_all):
            seen.append((total, done, in_all))
            if done > 1:
                raise Cancelled

        return progress

    def find(stage, choice, folders, progress):
        assert (stage, choice) == ("warper", "me/mine")
        for done in range(9):
            progress(done, 8)

    monkeypatch.setattr(host, "host_progress", bar)
    monkeypatch.setattr(host.finding, "find", find)
    with pytest.raises(Cancelled):
        host.weights_file("warper", "embedded", "me/mine")
    assert seen == [(8, 0, 8), (8, 1, 8), (8, 2, 8)]


def test_files_are_numbered_as_the_host_numbers_them(tmp_path):
    for name in ("a_00003_.png", "a_00007_.mp4", "a_b_00020_.png", "a_x.png", "aa_00030_.png"):
        (tmp_path / name).write_bytes(b"")
    assert numbered_path(tmp_path, "a", "_.png") == (tmp_path / "a_00008_.png", "")
    assert numbered_path(tmp_path, "새/%width%x%height%", ".flac", (4, 3))[0] == tmp_path / "새" / "4x3_00001.flac"


def test_a_node_inherits_the_run_that_it_is_part_of(tmp_path):
    with executing(Execution(output_folder=tmp_path, quiet=True)), executing(at_node("Face")) as now:
        assert (now.output_folder, now.quiet, now.node_title) == (tmp_path, True, "Face")
