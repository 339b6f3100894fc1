import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import articulate
import pytest
import torch
from articulate.models_hub.media import read_picture, write_audio, write_picture, write_video
from articulate.workflows.commands import COMMANDS, main

SAMPLES = Path(articulate.__file__).parent / "samples"


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


@pytest.fixture
def files(tmp_path):
    """Good inputs, with a folder to write to."""
    write_picture(tmp_path / "grey 회색.png", torch.full((96, 96, 3), 0.5))
    write_audio(tmp_path / "voice.flac", torch.zeros(1, 8000), 16000)
    write_video(tmp_path / "video.mp4", [torch.full((5, 64, 64, 3), 0.5)], 25)
    (tmp_path / "out").mkdir()
    return tmp_path


@pytest.mark.parametrize("command", ["", *COMMANDS, "train finder", "train pack", "models show"])
def test_help_is_everywhere(command, capsys):
    assert main([*command.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert "usage: articulate" in shown
    assert command in ("", "train finder", "models show") or "examples:" in shown


@pytest.mark.parametrize("arguments", ["", "dance", "talk", "talk a.png b.wav", "train nothing", "run x.json --set"])
def test_a_wrong_command_is_told_and_ends_with_2(arguments, capsys):
    assert main(arguments.split()) == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("setting", ["seed=1", "1.seed", "=1"])
def test_a_wrong_setting_is_told(files, setting, capsys):
    (files / "x.json").write_text(json.dumps({"1": node("LoadImage", image="x.png")}))
    assert main(["run", str(files / "x.json"), "--set", setting]) == 2
    assert "NODE.INPUT=VALUE" in capsys.readouterr().err


def test_run_writes_files_and_tells_of_them(files, capsys):
    workflow = {
        "1": node("LoadVideo", file="video.mp4"),
        "2": node("SaveVideo", video=["1", 0], filename_prefix="한/v", format="mp4", codec="auto"),
    }
    (files / "x.json").write_text(json.dumps(workflow))
    assert main(["run", str(files / "x.json"), "--output-dir", str(files / "out"), "--json", "--quiet"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    (saved,) = result["outputs"]["2"]["files"]
    assert saved["path"] == str((files / "out" / "한" / "v_00001_.mp4").resolve())
    assert {key: saved[key] for key in ("frames", "fps", "width", "height")} == {
        "frames": 5, "fps": 25.0, "width": 64, "height": 64}  # fmt: skip
    assert saved["bytes"] == os.path.getsize(saved["path"]) and set(result["seconds"]) == {"1", "2"}
    assert printed.err == ""


def test_a_broken_workflow_ends_with_2(files, capsys):
    (files / "x.json").write_text('{"nodes": [], "links": []}')
    assert main(["run", str(files / "x.json")]) == 2
    assert "Export (API)" in capsys.readouterr().err


def _damaged(path, good):
    path.write_bytes(good.read_bytes()[:60])
    return path


def _empty(path):
    path.write_bytes(b"")
    return path


BAD = {
    "portrait is missing": (lambda d: d / "no.png", None, "no picture file"),
    "portrait is empty": (lambda d: _empty(d / "e.png"), None, "0 bytes"),
    "portrait is a folder": (lambda d: d, None, "is a folder"),
    "portrait is a sound": (lambda d: d / "voice.flac", None, "not a picture"),
    "portrait is damaged": (lambda d: _damaged(d / "d.png", d / "grey 회색.png"), None, "damaged or cut short"),
    "portrait has no face": (None, None, "ace"),
    "sound is missing": (None, lambda d: d / "no.wav", "no sound file"),
    "sound is empty": (None, lambda d: _empty(d / "e.wav"), "0 bytes"),
    "sound is a folder": (None, lambda d: d, "is a folder"),
    "sound is text": (None, lambda d: _damaged(d / "d.wav", d / "x.txt"), "not a sound file"),
    "video has no sound": (None, lambda d: d / "video.mp4", "no sound in it"),
}


@pytest.mark.parametrize("case", BAD)
def test_talk_with_a_bad_file_gets_a_sentence_and_writes_nothing(files, case, capsys):
    portrait, sound, said = BAD[case]
    (files / "x.txt").write_text("hello " * 20)
    good = write_sample(files) if sound else files / "grey 회색.png"
    arguments = [
        str(portrait(files) if portrait else good),
        str(sound(files) if sound else files / "voice.flac"),
    ]
    assert main(["talk", *arguments, "-o", str(files / "out" / "t.mp4"), "--quiet"]) == 1
    printed = capsys.readouterr()
    assert said in printed.err and "Traceback" not in printed.err and printed.out == ""
    assert not list((files / "out").iterdir())


def write_sample(folder):
    """The sample portrait, which has a face."""
    from pathlib import Path

    sample = Path(__file__).parents[2] / "samples" / "portrait.jpg"
    copy = folder / "face.jpg"
    copy.write_bytes(sample.read_bytes())
    return copy


@pytest.mark.parametrize("video, said", [("no.mp4", "no video file"), ("voice.flac", "no picture track")])
def test_drive_with_a_bad_video_gets_a_sentence(files, video, said, capsys):
    portrait = str(write_sample(files))
    assert main(["drive", portrait, str(files / video), "-o", str(files / "out" / "t.mp4"), "--quiet"]) == 1
    assert said in capsys.readouterr().err


def test_an_existing_output_is_kept_before_any_work(files, capsys):
    kept = files / "out" / "t.mp4"
    kept.write_bytes(b"before")
    assert main(["talk", str(write_sample(files)), str(files / "voice.flac"), "-o", str(kept)]) == 1
    assert "--overwrite" in capsys.readouterr().err and kept.read_bytes() == b"before"


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_an_input_is_never_overwritten(files, link, capsys):
    portrait, voice, video = write_sample(files), files / "voice.flac", files / "video.mp4"
    for command, other, output in (("talk", voice, portrait), ("talk", voice, voice), ("drive", video, video)):
        before = output.read_bytes()
        given = output
        if link is not None:
            given = files / "out" / "link.mp4"
            given.unlink(missing_ok=True)
            link(output, given)
        assert main([command, str(portrait), str(other), "-o", str(given), "--overwrite", "--quiet"]) == 1
        assert "same file as the input" in capsys.readouterr().err and output.read_bytes() == before
    assert main(["sheet", str(video), "-o", str(given), "--overwrite"]) == 1
    assert "same file as the input" in capsys.readouterr().err and video.read_bytes() == before


@pytest.mark.parametrize(
    "name, said",
    [
        ("t.png", "does not end in .mp4"),
        ("t.gif", "does not end in .mp4"),
        ("t", "does not end in .mp4"),
        ("-", "does not end in .mp4"),
        ("new/", "is a folder"),
        ("x" * 300 + ".mp4", "too long"),
        ("t\0.mp4", "cannot be written"),
    ],
)
@pytest.mark.parametrize("command, other", [("talk", "voice.flac"), ("drive", "video.mp4")])
def test_an_output_name_that_is_no_video_gets_a_sentence_before_any_work(files, command, other, name, said, capsys):
    output = str(files / "out") + os.sep + name if name != "-" else name
    assert main([command, str(write_sample(files)), str(files / other), "-o", output, "--overwrite"]) == 1
    printed = capsys.readouterr().err
    assert said in printed and "Traceback" not in printed and not list((files / "out").iterdir())


def test_an_input_name_that_is_too_long_gets_a_sentence(files, capsys):
    assert main(["talk", "x" * 300, str(files / "voice.flac"), "-o", str(files / "out" / "t.mp4")]) == 1
    assert "cannot be opened" in capsys.readouterr().err


def test_an_output_folder_that_cannot_be_made_is_told(files, capsys):
    output = files / "voice.flac" / "t.mp4"
    assert main(["talk", str(write_sample(files)), str(files / "voice.flac"), "-o", str(output)]) == 1
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_leaves_no_half_file(tmp_path, number):
    write_picture(tmp_path / "a.png", torch.rand(64, 64, 3))
    workflow = {
        "1": node("LoadImage", image="a.png"),
        "2": node("RepeatImageBatch", image=["1", 0], amount=4000),
        "3": node("CreateVideo", images=["2", 0], fps=25.0),
        "4": node("SaveVideo", video=["3", 0], filename_prefix="v", format="mp4", codec="auto"),
    }
    (tmp_path / "x.json").write_text(json.dumps(workflow))
    interrupted(tmp_path, ["run", str(tmp_path / "x.json"), "--output-dir", str(tmp_path / "out")], number=number)


def test_ctrl_c_while_frames_are_made_leaves_no_half_file(tmp_path):
    write_audio(tmp_path / "v.flac", torch.zeros(1, 16000 * 300), 16000)
    command = ["talk", str(SAMPLES / "portrait.jpg"), str(tmp_path / "v.flac"), "-o", str(tmp_path / "out" / "t.mp4")]
    assert interrupted(tmp_path, command, seconds=1.0) < 10  # of the minutes that the whole video takes


def interrupted(tmp_path, arguments, seconds=0.0, number=signal.SIGINT) -> float:
    """Press Ctrl-C, or send another signal, some seconds after a command began to write; the seconds it took to end."""
    output, command = tmp_path / "out", [sys.executable, "-m", "articulate", *arguments]
    # A test run started in the background ignores the interrupt, and its children would inherit that.
    heard = functools.partial(signal.signal, number, signal.SIG_DFL)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, preexec_fn=heard)
    deadline = time.monotonic() + 60
    while not list(output.glob("*.part")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    time.sleep(seconds)
    pressed = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Cancelled" in said and "Traceback" not in said
    assert list(output.iterdir()) == []
    return time.monotonic() - pressed


def test_ctrl_c_while_options_are_read_gets_a_sentence(monkeypatch, capsys):
    def interrupted(parser):
        raise KeyboardInterrupt

    monkeypatch.setattr(COMMANDS["finetune"], "add_arguments", interrupted)
    assert main(["talk", "--help"]) == 130
    assert "Cancelled" in capsys.readouterr().err


def test_signals_are_as_before_when_a_command_has_ended():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    assert main(["--help"]) == 0
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before


def test_help_needs_nothing_heavy():
    code = """
import sys
from articulate.workflows.commands import COMMANDS, main
for command in ([], *([name] for name in COMMANDS)):
    assert main([*command, "--help"]) == 0
print([name for name in ("torch", "numpy", "av", "PIL") if name in sys.modules])
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "[]"


def test_a_contact_sheet_shows_every_frame_of_a_short_video(files, capsys):
    assert main(["sheet", str(files / "video.mp4"), "--columns", "3"]) == 0
    sheet = files / "video_sheet.png"
    assert capsys.readouterr().out.strip() == str(sheet)
    assert read_picture(sheet).shape == (2 * (16 + 224), 3 * 224, 3)  # 5 frames in 2 rows, no face
    assert main(["sheet", str(files / "video.mp4")]) == 1
    assert "--overwrite" in capsys.readouterr().err


def test_models_are_listed_and_shown(capsys):
    assert main(["models", "list"]) == 0
    assert "face_finder" in capsys.readouterr().out
    assert main(["models", "show", "face_finder", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["sha256"]) == 64
    assert main(["models", "show", "face_findr"]) == 1
    assert "Did you mean 'face_finder'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["evaluate", "--data", "nowhere"], "no manifest.csv"),
        (["evaluate", "--data", "nowhere", "--only", "teeth"], "teeth"),
        (["bench", "--threads", "two"], "two"),
        (["sheet", "nowhere.mp4", "--rows", "0"], "out of range"),
    ],
)
def test_other_commands_explain_themselves_too(arguments, said, capsys):
    assert main(arguments) == 1
    assert said in capsys.readouterr().err
