"""The fit: exact resume after kill -9, skipped steps, smaller batches, early ends, what is trained and what is not."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.loading import load_network
from articulate.models_hub.training import loop, tuning
from articulate.models_hub.training.batches import TuneSampler, Untouched, reference_frame, split_material
from articulate.models_hub.training.material import Material, Take
from articulate.models_hub.training.objective import LossWeights, Objective, make_critics
from articulate.models_hub.training.records import Records, plot_records, read_records
from articulate.models_hub.training.settings import TuneSettings
from articulate.models_hub.training.tuning import Fit


def settings(**changes):
    usual = {"steps": 6, "frames": 2, "rank": 2, "hold_back": 0.2, "look_every": 3, "save_every": 2}
    return TuneSettings(**{**usual, "accelerator": "cpu", "devices": "1", **changes})


def networks():
    return {stage: load_network(stage) for stage in ("warper", "generator")}


@pytest.fixture(scope="module")
def takes(talking_take):
    return split_material(Material([talking_take]), 0.2)


def make_fit(takes, folder, weights=None, **changes):
    return Fit(networks(), *takes, settings(**changes), weights or LossWeights(), folder)


def test_the_held_back_part_is_the_last_and_apart(takes, talking_take):
    learned, held = takes
    assert sum(map(len, held)) / len(talking_take) == pytest.approx(0.2, abs=0.05)
    assert torch.equal(learned[0].frames[0], talking_take.frames[0])
    assert torch.equal(held[-1].frames[-1], talking_take.frames[-1])
    assert len(learned[0]) + len(held[0]) < len(talking_take)  # a gap of a few frames lies between them


def test_a_batch_is_a_function_of_seed_and_step(takes):
    first, second = (TuneSampler(takes[0], 3, 4, 2) for _ in range(2))
    one, again, other = first(7)[0], second(7)[0], first(8)[0]
    assert torch.equal(one.driving, again.driving) and not torch.equal(one.driving, other.driving)
    assert not torch.equal(first(7, rank=1)[0].driving, one.driving)


def test_runs_follow_each_other_in_time(takes):
    frames = torch.arange(100, dtype=torch.uint8)[:, None, None, None].expand(100, 256, 256, 3).contiguous()
    take = Take("numbers", frames, takes[0][0].points[:1].expand(100, -1, -1).contiguous())
    sampler = TuneSampler([take], 0, 6, 5)
    for step in range(20):
        batch = sampler(step)[0]
        assert len(batch.driving) == 6 and batch.run == 5
        values = batch.driving.amax((1, 2, 3))[:5].diff()
        assert (values >= -1e-6).all()


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_fit_with_critics_learns_in_either_precision(takes, tmp_path, precision):
    weights = LossWeights(frame=0.5, difference=0.5, density=1.0, dynamic_pixel=1.0)
    fit = make_fit(takes, tmp_path, weights, precision=precision, steps=2, hold_back=0.0)
    assert fit.run().step == 2 and fit.state.skipped == 0
    assert {value.dtype for value in fit.tuned().parameters()} == {torch.float32}
    losses = [line["loss"] for line in read_records(tmp_path / "log.jsonl") if "loss" in line]
    assert len(losses) == 2 and all(np.isfinite(losses))


SCRIPT = """
import os, signal, sys, torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[4])
from pathlib import Path
from articulate.models_hub.loading import load_network
from articulate.models_hub.training.material import Take
from articulate.models_hub.training.objective import LossWeights
from articulate.models_hub.training.settings import TuneSettings
from articulate.models_hub.training.tuning import Fit

data, folder, kill_at = torch.load(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
learned, held = ([Take("t", *parts)] for parts in data)
settings = TuneSettings(steps=5, frames=2, rank=2, look_every=2, save_every=2, accelerator="cpu", devices="1")
networks = {stage: load_network(stage) for stage in ("warper", "generator")}
weights = LossWeights(frame=1.0, difference=0.5)
fit = Fit(networks, learned, held, settings, weights, folder, resume=(folder / "checkpoint.pt").exists())

def watch(done, in_all, preview):
    if done == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)

fit.run(watch)
torch.save({"tuned": fit.tuned().state_dict(), "critics": fit.critics.state_dict()}, folder / "end.pt")
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_killed_fit_goes_on_bit_for_bit(takes, tmp_path):
    """Critics, averages, optimisers and the log: all as if nothing had happened."""
    random_step = int(np.random.default_rng().integers(2, 5))
    data = [[part[0].frames[:20], part[0].points[:20]] for part in takes]
    torch.save(data, tmp_path / "takes.pt")

    def run(folder, kill_at):
        (tmp_path / folder).mkdir(exist_ok=True)
        command = [sys.executable, "-c", SCRIPT, tmp_path / "takes.pt", tmp_path / folder, kill_at, os.getcwd()]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=900)

    whole = run("whole", -1)
    assert whole.returncode == 0, whole.stderr
    assert run("killed", random_step).returncode == -9
    assert not (tmp_path / "killed" / "end.pt").exists()
    resumed = run("killed", -1)
    assert resumed.returncode == 0, resumed.stderr
    ends = [torch.load(tmp_path / folder / "end.pt") for folder in ("whole", "killed")]
    for part in ("tuned", "critics"):
        assert ends[0][part].keys() == ends[1][part].keys()
        for name, value in ends[0][part].items():
            assert torch.equal(value, ends[1][part][name]), (random_step, part, name)
    logs = [read_records(tmp_path / folder / "log.jsonl") for folder in ("whole", "killed")]
    plain = [[{k: v for k, v in line.items() if k != "seconds"} for line in log] for log in logs]
    assert plain[0] == plain[1]


def test_runs_of_frames_leave_the_others_spread_over_the_footage(takes, tmp_path):
    """Losses over time must not make a batch of five frames that are all alike."""
    for weights, run in ((LossWeights(), 1), (LossWeights(difference=1.0), 2), (LossWeights(sync_visual=1.0), 5)):
        assert make_fit(takes, tmp_path, weights, frames=4).state.frames == 3 + run


def test_a_fit_learns_and_only_what_it_may(takes, tmp_path):
    fit = make_fit(takes, tmp_path, parts=("generator",), steps=4)
    before = {name: value.clone() for name, value in fit.made.state_dict().items()}
    fit.run()
    changed = {name for name, value in fit.made.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith("generator.") and "parametrizations" in name for name in changed)
    assert not any(name.endswith("original") for name in changed)


@pytest.mark.parametrize(
    ("parts", "prefix"), [(("memory",), "warper.memory."), (("warper",), ("warper.encoder", "warper.dense_motion"))]
)
def test_each_part_trains_its_own_weights(takes, tmp_path, parts, prefix):
    fit = make_fit(takes, tmp_path, parts=parts, rank=0)
    names = {name for name, value in fit.made.named_parameters() if value.requires_grad}
    assert names and all(name.startswith(prefix) for name in names)


def test_steps_that_are_not_finite_are_skipped_and_counted(takes, tmp_path, monkeypatch):
    fit = make_fit(takes, tmp_path, steps=4, hold_back=0.0)
    fit.held = []
    original = tuning.total
    calls = iter([False, True, False, False])

    def sometimes(weights, terms):
        value = original(weights, terms)
        return value * float("nan") if next(calls) else value

    monkeypatch.setattr(tuning, "total", sometimes)
    state = fit.run()
    assert (state.step, state.skipped) == (4, 1)
    assert all(value.isfinite().all() for value in fit.made.parameters())


def test_losses_that_stay_not_finite_end_the_fit_in_a_sentence(takes, tmp_path, monkeypatch):
    fit = make_fit(takes, tmp_path, steps=10)
    fit.held = []
    monkeypatch.setattr(loop, "LOST_PATIENCE", 2)
    monkeypatch.setattr(tuning, "total", lambda weights, terms: terms["reconstruction"] * float("inf"))
    with pytest.raises(InputError, match=r"2 steps in a row are not finite.*learning rate"):
        fit.run()


def test_full_memory_is_answered_with_a_smaller_batch(takes, tmp_path, monkeypatch):
    fit = make_fit(takes, tmp_path, frames=8, steps=2)
    fit.held = []
    sizes, original = [], fit._step

    def step(number):
        sizes.append(fit.state.frames)
        if fit.state.frames > 2:
            raise torch.OutOfMemoryError("out of memory")
        return original(number)

    monkeypatch.setattr(fit, "_step", step)
    state = fit.run()
    assert sizes == [8, 4, 2, 2] and state.step == 2 and len(state.notes) == 2
    fit.state.frames, fit.state.step = 3, 1
    fit.weights = LossWeights(sync_visual=0.1)  # needs five frames in a row
    with pytest.raises(InputError, match="Memory is too small"):
        fit.run()


def test_a_fit_ends_where_the_held_back_frames_stop_improving(takes, tmp_path, monkeypatch):
    fit = make_fit(takes, tmp_path, steps=20, look_every=1, patience=2)
    errors = iter([0.5, 0.4, 0.6, 0.7, 0.8])
    monkeypatch.setattr(fit, "look", lambda: next(errors))
    state = fit.run()
    assert (state.step, state.best, state.best_step) == (3, 0.4, 1)
    assert "no improvement" in state.ended


def test_the_last_step_is_always_looked_at(takes, tmp_path, monkeypatch):
    fit = make_fit(takes, tmp_path, steps=2, look_every=50)
    errors = iter([0.5, 0.4])
    monkeypatch.setattr(fit, "look", lambda: next(errors))
    state = fit.run()
    assert (state.best, state.best_step) == (0.4, 2)
    tuned = fit.tuned().state_dict()
    assert any(name.endswith(".up") and value.abs().sum() > 0 for name, value in tuned.items())


def test_cancelling_keeps_the_last_step(takes, tmp_path):
    class Cancelled(BaseException):
        pass

    def watch(done, in_all, preview):
        assert preview().shape == (256, 768, 3)
        if done == 1:
            raise Cancelled

    fit = make_fit(takes, tmp_path, save_every=100)
    with pytest.raises(Cancelled):
        fit.run(watch)
    again = Fit(networks(), *takes, settings(save_every=100), LossWeights(), tmp_path, resume=True)
    assert again.state.step == 1
    for ours, theirs in zip(again.made.parameters(), fit.made.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_other_settings_do_not_continue_a_checkpoint(takes, tmp_path):
    make_fit(takes, tmp_path).loop.save()
    with pytest.raises(InputError, match="other settings"):
        Fit(networks(), *takes, settings(rate=1e-5), LossWeights(), tmp_path, resume=True)


def test_every_loss_gives_a_finite_term_and_a_gradient(takes):
    sound = [Take("t", part.frames, part.points, torch.randn(4 * len(part), 64)) for part in takes[0]]
    every = {name: 1.0 for name in LossWeights.__dataclass_fields__ if name != "clip"}
    weights = LossWeights(**every)
    made = torch.nn.ModuleDict({name: tuning.copy.deepcopy(value) for name, value in networks().items()})
    made.requires_grad_(True)
    objective = Objective(made, make_critics(weights), weights)
    batch, random = TuneSampler(sound, 0, 6, weights.run)(0)
    terms = objective(Untouched(batch), random)
    assert set(terms) == set(every)
    assert all(value.isfinite() for value in terms.values())
    trained = [value for name, value in made.named_parameters()]
    for name, term in terms.items():
        gradients = torch.autograd.grad(term, trained, retain_graph=True, allow_unused=True)
        moves = any(value is not None and value.abs().sum() > 0 for value in gradients)
        assert moves or (name == "sync_visual" and term == 0), name  # lips no worse than real ones cost nothing
    assert set(objective.critics_loss()) == {"frame", "multi_scale", "difference", "regression"}


def test_a_weight_of_zero_never_loads_its_network(monkeypatch):
    from articulate.models_hub.training import objective

    loaded = []
    real = objective.load_network
    monkeypatch.setattr(objective, "load_network", lambda stage, *rest: loaded.append(stage) or real(stage, *rest))
    made = torch.nn.ModuleDict(networks())
    Objective(made, make_critics(LossWeights()), LossWeights())
    assert loaded == []
    weights = LossWeights(density=1.0, frame=1.0)
    Objective(made, make_critics(weights), weights)
    assert sorted(loaded) == ["frame_critic", "landmark_estimator"]


@pytest.mark.parametrize("wrong", [{"frame": -1.0}, {"reconstruction": 0.0, "warped": 0.0}, {"density": float("nan")}])
def test_weights_that_mean_nothing_are_refused(wrong):
    with pytest.raises(InputError):
        LossWeights(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"rate": 0.0}, {"parts": ("hair",)}, {"parts": ()}, {"hold_back": 1.0}]
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(InputError):
        settings(**wrong)


def test_the_reference_is_the_most_closed_mouth(takes):
    closed = takes[0][0].points.clone()
    closed[17, 66] = closed[17, 62]
    take = Take("t", takes[0][0].frames, closed)
    assert reference_frame([takes[0][0], take]) == (take, 17)


def test_a_log_is_cut_at_the_step_that_a_fit_goes_on_from(tmp_path):
    records = Records(tmp_path)
    for step in range(1, 6):
        records.add(step, loss=float(step), bad=float("nan"))
    with open(records.path, "a") as file:
        file.write('{"step": 6, "lo')  # a killed process
    Records(tmp_path, resume=3)
    lines = read_records(records.path)
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert lines[0]["bad"] is None
    assert plot_records(records.path, tmp_path / "plot.png").stat().st_size > 500
    with pytest.raises(InputError, match="no steps"):
        plot_records(tmp_path / "none.jsonl", tmp_path / "none.png")
    assert json.loads(records.path.read_text().splitlines()[-1])["loss"] == 3


def test_condensers_learn_what_clip_says(takes, tmp_path):
    """Guided by CLIP while it trains; the predicted embedding, which inference uses, comes nearer to it."""
    from articulate.models_hub.stages.fine_tune import with_condensers

    torch.manual_seed(1)
    embedding = torch.randn(1, 64)
    used = networks() | {"generator": with_condensers(load_network("generator"), 64)}
    weights = LossWeights(clip=1.0)
    changes = settings(steps=4, rate=1e-2, parts=("generator",), condenser=True)
    fit = Fit(used, takes[0], [], changes, weights, tmp_path, embedding=embedding)
    fit.run()
    terms = [line["clip"] for line in read_records(tmp_path / "log.jsonl")]
    assert terms[-1] < terms[0]
    assert fit.made["generator"].condense_coarse.strength != 0
    with pytest.raises(InputError, match="no CLIP embedding"):
        Objective(torch.nn.ModuleDict(networks()), make_critics(weights), weights)
