"""Devices of trainings: batches made ahead are the same ones, several processes learn one network."""

import json
import subprocess
import sys
import textwrap
import threading

import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.training import devices
from articulate.models_hub.training.devices import batches_ahead, half, on_cpu, start_fabric, workers_for


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_batches_made_ahead_are_those_of_their_steps(ahead):
    made = []

    def make(step):
        made.append((step, threading.current_thread() is threading.main_thread()))
        return torch.full((2,), step)

    assert [int(batch[0]) for batch in batches_ahead(make, 2, 6, ahead)] == [2, 3, 4, 5]
    assert sorted(step for step, _ in made) == [2, 3, 4, 5]  # each once, and none that nobody learns from
    assert all(here == (ahead == 0) for _, here in made)


def test_what_fails_ahead_fails_at_its_step():
    def make(step):
        if step == 2:
            raise InputError("A clip is cut short.")
        return step

    batches = batches_ahead(make, 0, 5, 2)
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(InputError, match="cut short"):
        next(batches)


@pytest.mark.parametrize("native", [True, False])
def test_a_cpu_makes_nothing_ahead_and_learns_in_bfloat16_where_it_has_it(native, monkeypatch):
    monkeypatch.setattr(devices, "half_precision", lambda device: native)
    cpu = torch.device("cpu")
    assert workers_for(cpu) == 0 and workers_for(torch.device("cuda")) > 0
    with half(cpu):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == (torch.bfloat16 if native else torch.float32)
    with half(cpu, wanted=False):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_a_network_on_the_cpu_is_looked_at_as_it_is():
    network = torch.nn.Linear(2, 2)
    assert on_cpu(network) is network


def test_devices_that_are_not_there_are_refused():
    with pytest.raises(InputError, match="cannot be used"):
        start_fabric("abacus", "1")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="--accelerator cpu"):
            start_fabric("cuda", "1")


LEARN = """
    import json, sys
    from pathlib import Path
    import torch
    from articulate.models_hub.training.devices import start_fabric
    from articulate.models_hub.training.loop import Loop

    fabric = start_fabric("cpu", sys.argv[2])
    torch.manual_seed(0)
    network = torch.nn.Linear(4, 1)
    unused = torch.nn.Parameter(torch.ones(3))
    parameters = [*network.parameters(), unused]
    optimiser = torch.optim.SGD(parameters, 0.1)
    folder = Path(sys.argv[1])
    loop = Loop(folder, {"network": network}, echo=False, fabric=fabric, samples=8, log_every=2)
    seen = []

    def take(step):
        noise, numbers = loop.chance(0, step)
        x = torch.randn(8, 4, generator=noise)
        seen.append([float(x.sum()), numbers.random()])
        loss = (network(x) - x.sum(1, keepdim=True)).square().mean()
        loop.descend(optimiser, loss, parameters, torch.inf)
        return {"loss": float(loss.detach())}

    loop.run(4, take)
    weights = network.weight.tolist()[0]
    (folder / f"rank{fabric.global_rank}.json").write_text(json.dumps({"weights": weights, "seen": seen}))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="torchrun on Windows has no gloo with libuv")
def test_processes_see_batches_of_their_own_and_learn_one_network(tmp_path):
    script = tmp_path / "learn.py"
    script.write_text(textwrap.dedent(LEARN), encoding="utf-8")
    alone, both = tmp_path / "alone", tmp_path / "both"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for folder, start, count in ((alone, [], "1"), (both, launcher, "2")):
        folder.mkdir()
        command = [sys.executable, *start, str(script), str(folder), count]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
    one = json.loads((alone / "rank0.json").read_text())
    first, second = (json.loads((both / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first["seen"] == one["seen"]  # the first device sees what it would see alone
    assert all(a != b for a, b in zip(first["seen"], second["seen"], strict=True))
    assert first["weights"] == second["weights"] and first["weights"] != one["weights"]
    lines = [json.loads(line) for line in (both / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]  # one process writes
    assert lines[0]["samples_a_second"] == pytest.approx(16 / lines[0]["seconds"], rel=1e-3)
