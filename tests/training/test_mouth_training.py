"""Training of the mouth painter: windows of driven faces, light that leaves teeth to the skin's tone, exact resume."""

import copy
import json
from argparse import Namespace

import numpy as np
import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.loading import load_network
from articulate.models_hub.networks.mouth_painter import COLOURS, COLUMNS, ROWS, MouthPainter, inner_window
from articulate.models_hub.training import mouth, mouth_windows
from articulate.models_hub.training.mouth_windows import Gatherer, lips_window

BODY = load_network("warper"), load_network("generator")


@pytest.fixture(scope="module")
def windows(moving_face):
    """The sample face driven to frames in which its mouth goes down, twice over: two people."""
    frames, points = moving_face
    gatherer = Gatherer(load_network("warper"), load_network("generator"))
    for person in ("ann", "bob"):
        gatherer.add(frames[:1], points[:1], frames[1:8], points[1:8], person)
    return gatherer.windows()


def test_windows_of_a_driven_face(windows, moving_face):
    assert len(windows) == 14
    assert windows.real.shape == (14, 3, 2 * ROWS, 2 * COLUMNS) and windows.real.dtype == torch.uint8
    assert windows.shown.shape[1] == 1 and windows.colours.shape == (14, COLOURS, 3)
    error = (windows.base.float() - windows.real.float()).abs().mean((1, 2, 3))
    copied = (windows.own.float() - windows.real.float()).abs().mean((1, 2, 3))
    assert error.max() < 40  # the made frame shows the same mouth
    assert copied.max() < 60


def test_a_picture_is_opened_again(sample_face):
    gatherer = Gatherer(load_network("warper"), load_network("generator"))
    gatherer.add_picture(sample_face.crop, sample_face.points[None], "photo", np.random.default_rng(0))
    made = gatherer.windows()
    assert len(set(made.people)) == 1
    # The picture itself is what should come back, from sources whose mouths are closed.
    assert (made.real == made.real[:1]).all()
    height = made.source_local[:, 66, 1] - made.source_local[:, 62, 1]
    assert (height < made.local[:, 66, 1] - made.local[:, 62, 1]).all()


def test_lips_lie_in_their_window(moving_face):
    points = moving_face[1]
    window = lips_window(points)
    lips = (points[:, 48:] + 1) / 2
    assert lips[..., 0].min() > window.left and lips[..., 0].max() < window.right
    assert lips[..., 1].min() > window.top and lips[..., 1].max() < window.bottom


def test_a_flip_is_undone_by_a_flip(windows):
    every = torch.ones(len(windows), dtype=torch.bool)
    back = windows.flipped(every).flipped(every)
    for name, value in windows.tensors().items():
        torch.testing.assert_close(getattr(back, name), value)
    none = windows.flipped(~every)
    assert (none.real == windows.real).all()


def test_without_light_only_the_skin_changes(windows):
    random = torch.Generator().manual_seed(3)
    made, plain = mouth.brighten(windows, random, amount=0.0), mouth.unchanged(windows)
    teeth = inner_window(windows.local) == 1
    assert teeth.any()
    assert ((made["real"] - plain["real"].clamp(1e-4, 1)).abs() * teeth).max() < 1e-5
    assert ((made["real"] - plain["real"]).abs() * ~teeth).max() > 0.05
    assert (made["colours"][:, :5] - plain["colours"][:, :5].clamp(1e-4, 1)).abs().max() < 1e-5  # the eyes


def test_light_changes_source_and_goal_alike(windows):
    made = mouth.brighten(windows, torch.Generator().manual_seed(4))
    for values in made.values():
        assert values.min() >= 0 and values.max() <= 1
    brightness = {name: made[name].mean((1, 2, 3)) for name in ("real", "warped", "own")}
    together = torch.stack(list(brightness.values()))
    assert torch.corrcoef(together)[0, 1] > 0.8


def test_outside_of_the_lips_a_frame_stays(windows):
    torch.manual_seed(0)
    parts = mouth.unchanged(windows)
    made, _ = mouth.compose(MouthPainter(8), parts, windows.local, windows.shown.float() / 255)
    outside = inner_window(windows.local) == 0
    assert ((made - parts["base"]).abs() * outside).max() == 0
    assert ((made - parts["base"]).abs() * ~outside).max() > 0.01


def arguments(folder, cache, **changes):
    usual = {"data": cache, "output": folder, "cache": cache, "steps": 4, "resume": False, "seed": 0, "threads": 0}
    return Namespace(
        **(usual | {"batch": 4, "rate": 1e-3, "critic": 0.0, "share": 0.7, "start": [], "install": False} | changes),
        accelerator="cpu",
        devices="1",
        warper="embedded",
        generator="embedded",
    )


@pytest.fixture
def cache(windows, tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "manifest.csv").write_text("id,kind,split\n", encoding="utf-8")
    origin = mouth_windows.origin_of(folder, *BODY)
    for split in ("train", "val"):
        torch.save({**windows.tensors(), "people": windows.people, "origin": origin}, folder / f"{split}_mouths.pt")
    return folder


@pytest.mark.parametrize("change", ["none", "data", "weights", "painter", "cut"])
def test_windows_are_made_anew_for_other_data_and_other_networks(cache, windows, monkeypatch, change):
    made, (warper, generator) = [], map(copy.deepcopy, BODY)
    monkeypatch.setattr(mouth_windows, "add_clips", lambda *_: made.append("clips"))
    monkeypatch.setattr(mouth_windows, "add_pictures", lambda *_: None)
    monkeypatch.setattr(Gatherer, "windows", lambda _: windows)
    if change == "data":
        (cache / "manifest.csv").write_text("id,kind,split\nmore,clip,train\n", encoding="utf-8")
    elif change == "cut":
        content = (cache / "train_mouths.pt").read_bytes()
        (cache / "train_mouths.pt").write_bytes(content[: len(content) // 2])
    elif change != "none":
        part = generator.mouth if change == "painter" else warper
        with torch.no_grad():
            next(part.parameters()).add_(1)
    told = []
    for _ in range(2):
        assert len(mouth.gather(cache, cache, "train", warper, generator, told.append)) == len(windows)
    assert len(made) == (0 if change in ("none", "painter") else 1)
    assert any("made anew" in sentence for sentence in told) == bool(made)


@pytest.mark.parametrize("critic", [0.0, 0.3])
def test_a_stopped_training_goes_on_exactly(cache, tmp_path, critic, monkeypatch):
    monkeypatch.setattr(mouth, "OPEN_FROM", 0.0)
    monkeypatch.setattr(mouth, "OPEN", 0.0)
    first, whole, stopped = (tmp_path / name for name in ("first", "whole", "stopped"))
    mouth.run(arguments(first, cache))
    changes = {"critic": critic, "start": [first / "checkpoint.pt"] if critic else []}
    mouth.run(arguments(whole, cache, **changes))

    class Stopped(Exception):
        pass

    original = mouth.Trainer.step

    def step(self, number, loop):
        if number == 2:
            loop.save()
            raise Stopped
        return original(self, number, loop)

    monkeypatch.setattr(mouth.Trainer, "step", step)
    with pytest.raises(Stopped):
        mouth.run(arguments(stopped, cache, **changes))
    monkeypatch.setattr(mouth.Trainer, "step", original)
    mouth.run(arguments(stopped, cache, **changes, resume=True))
    files = [
        load_network("generator", str(folder / "generator.safetensors")).state_dict() for folder in (whole, stopped)
    ]
    for name, value in files[0].items():
        torch.testing.assert_close(value, files[1][name])
    before = load_network("generator").state_dict()
    for name, value in files[0].items():
        if not name.startswith("mouth."):
            torch.testing.assert_close(value, before[name], atol=1e-3, rtol=1e-3)
    checkpoint = torch.load(whole / "checkpoint.pt", weights_only=True)
    assert json.loads(checkpoint["state"])["best_step"] == 4


def test_a_run_can_begin_with_an_earlier_painter(cache, tmp_path):
    first = tmp_path / "first"
    mouth.run(arguments(first, cache))
    best = torch.load(first / "checkpoint.pt", weights_only=True)["best"]
    trainer = mouth.Trainer(
        mouth.gather(cache, cache, "train", *BODY), arguments(first, cache, start=[first / "checkpoint.pt"])
    )
    for name, value in trainer.painter.state_dict().items():
        torch.testing.assert_close(value, best[name])


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_what_a_critic_made_is_mixed_with_the_calm_painter(cache, tmp_path, share):
    first, second = tmp_path / "first", tmp_path / "second"
    mouth.run(arguments(first, cache))
    mouth.run(arguments(second, cache, critic=0.5, start=[first / "checkpoint.pt"], share=share))
    calm = torch.load(first / "checkpoint.pt", weights_only=True)["best"]
    made = torch.load(second / "checkpoint.pt", weights_only=True)
    moved = 0.0
    for name, value in calm.items():
        keen = made["average"][name]
        torch.testing.assert_close(made["best"][name], value + share * (keen - value))
        moved = max(moved, float((keen - value).abs().max()))
    assert moved > 1e-6


def test_a_critic_sees_windows_that_are_alike_around_the_lips(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(mouth, "OPEN_FROM", 0.0)
    mouth.run(arguments(tmp_path / "first", cache))
    seen, original = [], mouth.MouthCritic.loss

    def loss(self, made, real, local):
        seen.append((made, real, inner_window(local) > 0))
        return original(self, made, real, local)

    monkeypatch.setattr(mouth.MouthCritic, "loss", loss)
    mouth.run(arguments(tmp_path / "second", cache, critic=0.5, start=[tmp_path / "first" / "checkpoint.pt"]))
    assert len(seen) == 4
    for made, real, inside in seen:
        difference = (made - real).abs()
        assert (difference * ~inside).max() == 0
        assert (difference * inside).max() > 0.05


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_no_more_than_all_of_a_painter_is_taken(cache, tmp_path, share):
    with pytest.raises(InputError, match="--share is"):
        mouth.run(arguments(tmp_path, cache, share=share))


def test_a_training_does_not_go_on_with_another_recipe(cache, tmp_path):
    mouth.run(arguments(tmp_path / "first", cache))
    with pytest.raises(InputError, match="other settings"):
        mouth.run(arguments(tmp_path / "first", cache, rate=2e-3, resume=True))


def test_a_critic_without_a_painter_is_refused(cache, tmp_path):
    with pytest.raises(InputError, match="--start"):
        mouth.run(arguments(tmp_path / "none", cache, critic=0.5))


def test_another_trainings_checkpoint_is_refused(cache, tmp_path):
    torch.save({"average": {}}, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="no mouth painter"):
        mouth.run(arguments(tmp_path / "none", cache, start=[tmp_path / "checkpoint.pt"]))


def test_footage_of_closed_mouths_is_refused(cache, tmp_path, windows, monkeypatch):
    monkeypatch.setattr(mouth, "OPEN_FROM", 9.0)
    with pytest.raises(InputError, match="open by more than"):
        mouth.run(arguments(tmp_path / "closed", cache))


def test_painter_and_critic_learn_on_any_device(cache, tmp_path, elsewhere):
    torch.save({"best": MouthPainter(mouth.WIDTH).state_dict()}, tmp_path / "checkpoint.pt")
    for critic in (0.0, 0.5):
        mouth.run(arguments(tmp_path / str(critic), cache, critic=critic, start=[tmp_path / "checkpoint.pt"]))
    assert not list(tmp_path.rglob("*.safetensors"))  # another process writes
