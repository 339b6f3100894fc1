"""`bench --against` with a small stand-in for the authors' code, in their layout and with their habits."""

import json
import sys

import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.evaluation.bench_peers import bench_against
from articulate.models_hub.evaluation.peers import load_peer
from articulate.workflows.commands import main

GENERATOR = """
import collections
import torchdiffeq
from torch import nn
from helpers.blocks import Holder

class Unet_Generator_keypoint_aware(Holder):
    def __init__(self, num_kp, mbunit, **sizes):
        assert num_kp == 15 and mbunit == "ExpendMemoryUnit"
        super().__init__("generator")
        self.mbUnit = collections.namedtuple("Unit", "conv_kv")(nn.Module())
        self.mbUnit.conv_kv.bias = nn.Parameter(self.state["mbUnit.conv_kv.bias"])

    def forward(self, source, kp_source, kp_driving):
        return self.plain.generate(self.state, source, kp_source, kp_driving)
"""

DETECTOR = """
from helpers.blocks import Holder

class KPDetector(Holder):
    def __init__(self, **sizes):
        super().__init__("kp_detector")

    def forward(self, image):
        return self.plain.detect(self.state, image)
"""

BLOCKS = """
import collections
import published_mcnet
from torch import nn

class Holder(nn.Module):
    plain = published_mcnet

    def __init__(self, network):
        super().__init__()
        assert isinstance([], collections.Iterable) and list(xrange(2)) == [0, 1]
        self.state = published_mcnet.random_states(5)[network]
        self.state = {name: value.cuda() for name, value in self.state.items()}

    def state_dict(self):
        return self.state
"""


@pytest.fixture
def folder(tmp_path):
    """A checkout that needs a package nobody has, words of Python 2 and a GPU."""
    for name, text in (("modules/generator", GENERATOR), ("modules/keypoint_detector", DETECTOR),
                       ("helpers/blocks", BLOCKS), ("modules/__init__", ""), ("helpers/__init__", "")):  # fmt: skip
        path = tmp_path / "peer" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "peer"


def test_their_code_is_imported_as_it_is_and_forgotten(folder):
    before = {path: path.read_bytes() for path in folder.rglob("*.py")}
    torchvision = sys.modules.get("torchvision")
    peer = load_peer(folder)
    assert peer.name == "mcnet" and set(peer.networks) == {"generator", "kp_detector"}
    assert not [name for name in sys.modules if name.split(".")[0] in ("modules", "helpers", "torchdiffeq")]
    assert sys.modules.get("torchvision") is torchvision
    assert before == {path: path.read_bytes() for path in folder.rglob("*.py")}


def test_both_make_the_same_frames(folder, capsys):
    told = []
    figures = bench_against(folder, repeats=1, progress=lambda *state: told.append(state))
    assert figures["system"] == "mcnet" and figures["threads"] == 1
    assert figures["largest_difference"] < 1e-3 and figures["psnr"] > 60
    seconds = figures["seconds_per_frame"]
    assert seconds["theirs"] > 0 and figures["ratio"] == pytest.approx(seconds["theirs"] / seconds["ours"])
    assert told == [(1, 1)]
    if figures["peak_megabytes"]:  # told by Linux alone
        assert 0 < figures["peak_megabytes"]["ours"] < 2000


def test_the_number_of_threads_is_put_back(folder, monkeypatch):
    monkeypatch.setattr("articulate.models_hub.evaluation.bench_peers._peaks", lambda *_: {})
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        bench_against(folder, repeats=1, batch=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_command_prints_figures(folder, capsys, monkeypatch):
    monkeypatch.setattr("articulate.models_hub.evaluation.bench_peers._peaks", lambda *_: {"theirs": 2.0, "ours": 1.0})
    assert main(["bench", "--against", str(folder), "--repeats", "1", "--json", "--quiet"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["batch"] == 1 and figures["dtype"] == "float32"
    assert main(["bench", "--against", str(folder), "--repeats", "1", "--dtype", "bfloat16", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "ratio" in out and "ours, bfloat16" in out and "2 MB theirs, 1 MB ours" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--repeats", "0"], "must be 1 or more"),
        (["--dtype", "float16"], "is for GPUs"),
        (["--device", "cuda"], "no GPU"),
    ],
)
def test_impossible_wishes_are_a_sentence(folder, options, message, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["bench", "--against", str(folder), *options]) == 1
    assert message in capsys.readouterr().err


def test_other_folders_and_missing_packages_are_a_sentence(folder, tmp_path):
    with pytest.raises(InputError, match="neither MCNet"):
        load_peer(tmp_path)
    (folder / "helpers" / "blocks.py").write_text("import a_package_that_is_not_there")
    with pytest.raises(InputError, match=r"pip install a_package_that_is_not_there"):
        load_peer(folder)
