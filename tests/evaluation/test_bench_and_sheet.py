import subprocess
import time
from pathlib import Path

import articulate
import pytest
import torch
from articulate.models_hub.evaluation.bench import Stopwatch, gflop_per_frame, start_seconds
from articulate.models_hub.evaluation.contact_sheet import picked, save_contact_sheet
from articulate.models_hub.media import VideoReader, read_picture, write_video
from articulate.models_hub.types import Face, Stream

SAMPLES = Path(articulate.__file__).parent / "samples"


def test_a_stage_inside_another_is_counted_once(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    watch = Stopwatch()

    def items():
        for item in range(3):
            clock[0] += 2
            yield item

    with watch.stage("outer"):
        for _ in watch.each("inner", items()):
            clock[0] += 1
    clock[0] += 100  # nothing is running
    with watch.stage("last"):
        clock[0] += 5
    assert watch.seconds == {"outer": 3, "inner": 6, "last": 5}


def face():
    picture = torch.zeros(8, 8, 3)
    return Face(torch.zeros(1, 3, 8, 8), torch.zeros(68, 2), torch.eye(2, 3), picture, (0, 0, 8, 8))


@pytest.mark.parametrize("length", [40, 12, 3])
def test_operations_are_counted_for_one_more_frame(length):
    once = torch.nn.Conv2d(3, 3, 3, padding=1)

    def chunks(start, stop):
        once(torch.zeros(1, 3, 64, 64))  # the source: not a matter of the frames
        for number in range(start, stop):
            torch.zeros(10, 20) @ torch.zeros(20, 30)
            yield number

    of_one = 2 * 10 * 20 * 30
    of_source = 2 * 64 * 64 * 3 * 3 * 9
    expected = of_one + (of_source / length if length <= 8 else 0)
    assert gflop_per_frame(Stream(length, 25.0, face(), 8, chunks)) * 1e9 == pytest.approx(expected)


def test_the_start_is_that_of_a_run_that_succeeds(tmp_path):
    assert start_seconds(SAMPLES / "portrait.jpg") > 0
    with pytest.raises(subprocess.CalledProcessError):
        start_seconds(tmp_path / "none.jpg")


def test_picked_frames_are_those_that_were_asked_for(tmp_path):
    levels = torch.arange(20) / 40 + 0.25
    write_video(tmp_path / "v.mp4", [levels[:, None, None, None].expand(-1, 16, 16, 3)], 25)
    found = list(picked(VideoReader(tmp_path / "v.mp4"), [0, 7, 19]))
    assert [number for number, _ in found] == [0, 7, 19]
    for number, frame in found:
        assert frame.mean() == pytest.approx(float(levels[number]), abs=0.01)


def test_mouths_are_enlarged_where_there_is_a_face(tmp_path):
    photo = read_picture(Path(__file__).parents[2] / "samples" / "portrait.jpg")
    write_video(tmp_path / "v.mp4", [photo[None].expand(4, -1, -1, -1)], 25)
    assert save_contact_sheet(tmp_path / "v.mp4", tmp_path / "s.png", columns=2, rows=2) == 4
    assert read_picture(tmp_path / "s.png").shape == (2 * (16 + 224 + 224), 2 * 224, 3)
