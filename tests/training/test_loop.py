"""The loop that all trainings share: exact resume, interruptions, steps that are not finite, logs of means."""

import os
import signal
import sys
import types

import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.training import loop as module
from articulate.models_hub.training.fit import Average
from articulate.models_hub.training.loop import Loop, same_chance
from articulate.models_hub.training.records import read_records


class Tiny:
    """A line that is fitted to noisy points, with dropout."""

    def __init__(self, folder, **options):
        torch.manual_seed(0)
        self.network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
        self.average = Average(self.network)
        self.optimiser = torch.optim.Adam(self.network.parameters(), 0.01)
        parts = {"network": self.network, "average": self.average.network, "optimiser": self.optimiser}
        self.loop = Loop(folder, parts, **{"save_every": 3, "log_every": 2, "echo": False, **options})

    def take(self, step, factor=1.0):
        x = torch.randn(16, 4, generator=same_chance(0, step))
        loss = factor * (self.network(x) - x.sum(1, keepdim=True)).square().mean()
        if self.loop.descend(self.optimiser, loss, list(self.network.parameters())).isfinite():
            self.average.update(self.network, step)
        return {"loss": loss.detach()}


def test_what_goes_on_ends_where_the_whole_ends(tmp_path):
    whole, first = Tiny(tmp_path / "whole"), Tiny(tmp_path / "parts")
    whole.loop.run(9, whole.take)
    first.loop.run(4, first.take)
    again = Tiny(tmp_path / "parts", resume=True)
    assert again.loop.state.step == 4
    again.loop.run(9, again.take)
    for name, value in whole.average.network.state_dict().items():
        assert torch.equal(value, again.average.network.state_dict()[name])
    assert torch.equal(whole.network[0].weight, again.network[0].weight)
    assert [line["step"] for line in read_records(tmp_path / "parts" / "log.jsonl")] == [2, 4, 6, 8, 9]
    assert (tmp_path / "parts" / "losses.png").stat().st_size > 500


def test_a_lost_checkpoint_and_other_settings_are_said(tmp_path):
    with pytest.raises(InputError, match="no checkpoint"):
        Tiny(tmp_path, resume=True)
    tiny = Tiny(tmp_path, settings={"rate": 1, "steps": (2, 3)})
    tiny.loop.run(1, tiny.take)
    with pytest.raises(InputError, match=r"other settings \(rate was 1 and is 2\)"):
        Tiny(tmp_path, settings={"rate": 2, "steps": (2, 3)}, resume=True)
    assert Tiny(tmp_path, settings={"rate": 1, "steps": (2, 3)}, resume=True).loop.state.step == 1


def test_a_checkpoint_of_another_network_or_no_checkpoint_is_said(tmp_path):
    tiny = Tiny(tmp_path)
    tiny.loop.run(1, tiny.take)
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    other = torch.nn.Linear(3, 5)
    torch.save({**content, "network": other.state_dict()}, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="another version"):
        Tiny(tmp_path, resume=True)
    torch.save({name: value for name, value in content.items() if name != "average"}, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="'average' does not fit"):
        Tiny(tmp_path, resume=True)
    for content in (b"not a checkpoint", b""):
        (tmp_path / "checkpoint.pt").write_bytes(content)
        with pytest.raises(InputError, match="cannot be read as a checkpoint"):
            Tiny(tmp_path, resume=True)


def test_steps_that_are_not_finite_change_nothing_and_are_counted(tmp_path, monkeypatch):
    tiny = Tiny(tmp_path)
    before = tiny.network[0].weight.clone()
    tiny.loop.run(1, lambda step: tiny.take(step, torch.nan))
    assert torch.equal(tiny.network[0].weight, before) and tiny.loop.state.skipped == 1
    monkeypatch.setattr(module, "LOST_PATIENCE", 2)
    with pytest.raises(InputError, match="2 steps in a row are not finite"):
        tiny.loop.run(9, lambda step: tiny.take(step, torch.inf))


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_waits_for_the_step_and_saves(tmp_path, number):
    tiny, outside = Tiny(tmp_path, save_every=100), signal.getsignal(number)
    signal.signal(number, signal.default_int_handler)  # also where nohup has SIGHUP ignored

    def take(step):
        if step == 1:
            os.kill(os.getpid(), number)
        return tiny.take(step)

    try:
        with pytest.raises(KeyboardInterrupt):
            tiny.loop.run(9, take)
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, outside)
    assert Tiny(tmp_path, resume=True).loop.state.step == 2


def test_an_end_that_is_judged_is_kept(tmp_path):
    tiny = Tiny(tmp_path)

    def judge(step):
        if step == 2:
            tiny.loop.state.ended = "good enough"

    assert tiny.loop.run(9, tiny.take, judge).step == 2
    assert Tiny(tmp_path, resume=True).loop.state.ended == "good enough"


def test_tensorboard_gets_every_term_where_it_is_installed(tmp_path, monkeypatch):
    told = []

    class Writer:
        def __init__(self, folder):
            told.append(folder)

        def add_scalar(self, name, value, step):
            told.append((name, step))

        def close(self):
            told.append("closed")

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=Writer))
    tiny = Tiny(tmp_path, log_every=1)
    tiny.loop.run(2, tiny.take)
    tiny.loop.close()
    assert told[0] == str(tmp_path / "tensorboard") and told[-1] == "closed"
    assert ("loss", 1) in told and ("loss", 2) in told
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # not installed: nothing is said
    Tiny(tmp_path / "plain").loop.close()
    assert not (tmp_path / "plain" / "tensorboard").exists()
