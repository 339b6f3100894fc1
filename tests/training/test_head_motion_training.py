"""The measurement of blinks, brows and head motion finds again what made-up faces were moved by."""

import csv
from argparse import ArgumentParser

import numpy as np
import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.networks.lip_shape import face_frame
from articulate.models_hub.stages import head_motion as stage
from articulate.models_hub.stages import motion_table
from articulate.models_hub.stages.motion_table import Blinks, MotionTable, Wander, read_table
from articulate.models_hub.training import head_motion, motion_statistics

TRUTH = MotionTable(
    Blinks(rate=24.0, regularity=3.0, depth=0.85, depth_spread=0.05, closing=0.14, hold=0.06, opening=0.26,
           duration_spread=0.15),
    roll=Wander(2.0, 0.4), x=Wander(0.05, 0.5), y=Wander(0.03, 0.3), size=Wander(1.5, 0.3), brow=Wander(0.03, 0.25),
    brow_profile=(0.6, 0.9, 1.1, 1.2, 1.2),
)  # fmt: skip


@pytest.fixture(scope="module")
def people(sample_face):
    """Twelve people with three clips of twelve seconds each, whose landmarks tremble."""
    points, random = sample_face.points.float().expand(300, -1, -1), np.random.default_rng(0)
    scale = face_frame(points[0])[2][1]
    made = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "motion_table", lambda: TRUTH)
        for person in range(12):
            clips = []
            for clip in range(3):
                seed = 10 * person + clip
                moved = stage.raise_brows(points, 25.0, 1.0, seed)
                moved = stage.blink(moved, stage.blink_curve(300, 25.0, TRUTH.blink.rate, seed))
                moved = stage.sway(moved, 25.0, 1.0, seed).numpy()
                tremble = 0.002 * scale.item() * random.standard_normal(moved.shape)
                clips.append(((moved + tremble).astype(np.float32), np.ones(300, bool)))
            made.append(clips)
    return made


@pytest.fixture(scope="module")
def found(people):
    return head_motion.summarise([head_motion.measure(clips) for clips in people])


def test_motions_are_found_again(found):
    for name in head_motion.MOTIONS:
        seen, true = getattr(found, name), getattr(TRUTH, name)
        assert seen.amplitude == pytest.approx(true.amplitude, rel=0.25), name
        assert seen.time == pytest.approx(true.time, rel=0.35), name
    assert found.brow_profile == pytest.approx(TRUTH.brow_profile, abs=0.1)


def test_blinks_are_found_again(found):
    seen, true = found.blink, TRUTH.blink
    assert seen.rate == pytest.approx(true.rate, rel=0.2)
    assert seen.depth == pytest.approx(true.depth, abs=0.06)
    assert seen.seconds == pytest.approx(true.seconds, rel=0.2)
    assert seen.closing < seen.opening
    assert 1.5 < seen.regularity < 6


def test_a_tremble_and_a_drift_are_no_motion():
    lags = np.array(motion_statistics.LAG_SECONDS)
    wander, tremble, error = motion_statistics.fit_wander(2 * 0.3**2 + 0 * lags)
    assert error < 0.2 and max(tremble, wander.amplitude) == pytest.approx(0.3, rel=0.1)
    random = np.random.default_rng(0)
    drifting = [(np.linspace(0, 3, 300) + 0.05 * random.standard_normal(300), np.ones(300, bool)) for _ in range(8)]
    changes = motion_statistics.change(drifting, 25.0)
    assert np.sqrt(changes[-1]) < 1  # of a drift by 3


def test_long_closed_and_half_closed_eyes_are_no_blinks():
    closed = np.zeros(200)
    closed[20:60], closed[100:104], closed[150:153] = 0.9, 0.4, (0.5, 0.9, 0.4)
    (blink,) = motion_statistics.find_blinks(closed, 25.0)
    assert blink.peak == pytest.approx(151 / 25) and blink.depth == pytest.approx(0.9)


def test_a_blink_at_the_edge_of_a_clip_has_no_duration():
    closed = np.zeros(50)
    closed[:2] = 0.9
    (blink,) = motion_statistics.find_blinks(closed, 25.0)
    assert np.isnan(blink.closing) and np.isfinite(blink.opening)


def test_gaps_tell_chance_from_a_clock():
    random = np.random.default_rng(0)
    for shape, low, high in ((1.0, 0.7, 1.5), (4.0, 3.0, 5.5)):
        people = [(random.gamma(shape, 3 / shape, 40), np.array([1.0])) for _ in range(10)]
        assert low < motion_statistics.gap_regularity(people) < high


def test_the_command_writes_a_table_that_can_be_read(people, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(head_motion, "STORED", tmp_path / "package" / "head_motion.toml")
    (tmp_path / "package").mkdir()
    (tmp_path / "clips").mkdir()
    rows = []
    for person, clips in enumerate(people[:3]):
        for place, (points, valid) in enumerate(clips):
            name = f"{person}_{place}"
            whole = np.concatenate([points, points[:, :2]], 1)  # the data have iris centres too
            np.savez(tmp_path / "clips" / f"{name}.npz", points=((whole + 1) * 2048).astype(np.int16), valid=valid)
            rows.append({"id": name, "kind": "clip", "split": "train", "person": str(person), "audio": "yes"})
    rows.append({"id": "silent", "kind": "clip", "split": "train", "person": "x", "audio": "no"})  # needs no file
    with open(tmp_path / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    parser = ArgumentParser()
    head_motion.add_arguments(parser)
    folder = tmp_path / "out"
    given = ["--data", str(tmp_path), "--output", str(folder), "--draws", "5", "--install"]
    head_motion.run(parser.parse_args(given))
    text = (folder / "head_motion.toml").read_text(encoding="utf-8")
    assert text == (tmp_path / "package" / "head_motion.toml").read_text(encoding="utf-8")
    assert "Medians over 3 people" in text and "Medians over 3 people" in capsys.readouterr().out
    table = read_table(folder / "head_motion.toml")
    assert table.roll.amplitude == pytest.approx(TRUTH.roll.amplitude, rel=0.5)


def test_footage_without_talking_people_gets_a_sentence(tmp_path):
    parser = ArgumentParser()
    head_motion.add_arguments(parser)
    (tmp_path / "manifest.csv").write_text("id,kind,split,person,audio\na,photo,train,a,\n", encoding="utf-8")
    options = parser.parse_args(["--data", str(tmp_path), "--output", str(tmp_path / "out")])
    with pytest.raises(InputError, match="no clips with sound"):
        head_motion.run(options)


def test_people_who_hardly_blink_are_told_apart_from_none(sample_face):
    still = [(sample_face.points[None].repeat(75, 1, 1).numpy(), np.ones(75, bool))]
    person = head_motion.measure(still)
    assert person.rate == 0 and len(person.depths) == 0
    with pytest.raises(InputError, match="Nobody blinks"):
        head_motion.summarise([person])


def test_the_package_reads_its_own_table():
    assert isinstance(motion_table.motion_table(), MotionTable)
    assert torch.isfinite(stage.blink_curve(100, 25.0, 20.0, 0)).all()
