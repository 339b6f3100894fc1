"""The finetune command: options, files, and one sentence for footage that cannot be used."""

import json
import shutil
import subprocess
import sys

import pytest
from articulate.models_hub.loading import load_network
from articulate.models_hub.media import write_video
from articulate.models_hub.networks.low_rank import PersonalGenerator
from articulate.workflows.commands import main
from articulate.workflows.commands.finetune import loss_weights, output_files


def small(*arguments):
    options = ("--steps", "2", "--frames", "2", "--rank", "2")
    options += ("--save-every", "1", "--look-every", "2", "--threads", "1")
    return ["finetune", *map(str, arguments), *options, "--accelerator", "cpu", "--devices", "1", "--quiet"]


def test_footage_becomes_a_file_that_loads(footage_file, tmp_path, capsys):
    output = tmp_path / "ann.safetensors"
    portrait = shutil.copy("samples/portrait.jpg", tmp_path / "portrait.jpg")
    assert main(small(footage_file, "--portrait", portrait, "-o", output, "--json")) == 0
    facts = json.loads(capsys.readouterr().out)
    assert set(facts["files"]) == {"generator", "warper"} and facts["step"] == 2
    assert isinstance(load_network("generator", str(output)), PersonalGenerator)
    folder = tmp_path / "ann.fit"
    assert sorted(file.name for file in folder.iterdir() if file.is_file()) == ["log.jsonl", "losses.png"]
    assert main(small(footage_file, "-o", output)) == 1  # kept, not replaced
    assert "ann.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["none.mp4", "-o", "x.safetensors"], "none.mp4"),
        (["{video}", "-o", "x.pth"], "does not end in .safetensors"),
        (["{video}", "-o", "x.safetensors", "--parts", "hair"], "cannot be trained"),
        (["{video}", "-o", "x.safetensors", "--weight", "beauty=1"], "there is no loss 'beauty'"),
        (["{video}", "-o", "x.safetensors", "--weight", "density"], "not of the form LOSS=X"),
        (["{video}", "-o", "x.safetensors", "--weight", "density=-1"], "is -1.0"),
        (["{short}", "-o", "x.safetensors"], "at least 4 are needed"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(
    arguments, text, footage_file, talking_take, tmp_path, capsys, monkeypatch
):
    short = tmp_path / "short.mp4"
    if "{short}" in arguments:
        write_video(short, iter(talking_take.frames[:30].split(8)), 25, None)
    monkeypatch.chdir(tmp_path)
    filled = [argument.format(video=footage_file, short=short) for argument in arguments]
    assert main(small(*filled)) in (1, 2)
    error = capsys.readouterr().err.strip()
    assert text in error and len(error.splitlines()) == 1 and "Traceback" not in error
    assert not list(tmp_path.glob("x*.safetensors"))


@pytest.mark.skipif(sys.platform == "win32", reason="torchrun on Windows has no gloo with libuv")
def test_two_processes_share_a_fit(footage_file, tmp_path):
    """As several GPUs do: gradients are averaged, one process writes, and both end."""
    output = tmp_path / "ann.safetensors"
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "articulate",
    ]
    options = small(footage_file, "-o", output, "--weight", "difference=0.5")
    options[options.index("--devices") + 1] = "2"
    done = subprocess.run([*command, *options, "--json"], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["step"] == 2  # printed once
    assert isinstance(load_network("generator", str(output)), PersonalGenerator)
    lines = [json.loads(line) for line in (tmp_path / "ann.fit" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2]


def test_every_tuned_stage_has_a_file(tmp_path):
    me = tmp_path / "me.safetensors"
    assert output_files(me, ("generator",)) == {"generator": me}
    assert output_files(me, ("memory",)) == {"warper": me}
    files = output_files(me, ("generator", "warper", "memory", "predictor"))
    assert [path.name for path in files.values()] == [
        "me.safetensors",
        "me_warper.safetensors",
        "me_landmark_predictor.safetensors",
    ]


def test_weights_are_read():
    weights = loss_weights(["density=1", "frame=0.5"])
    assert (weights.density, weights.frame, weights.reconstruction) == (1.0, 0.5, 10.0)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["a", "b", "--preset", "warper"], "learns from one folder"),
        (["a", "--option", "install"], "name one"),
        (["a", "--preset", "warper", "--precision", "bf16-mixed"], "knows no --precision"),
        (["{empty}", "--preset", "audio-to-lip"], "manifest.csv"),
    ],
)
def test_presets_that_cannot_run_are_refused(arguments, text, tmp_path, capsys):
    filled = [argument.format(empty=tmp_path) for argument in arguments]
    assert main(["finetune", *filled, "-o", str(tmp_path / "out")]) in (1, 2)
    assert text in capsys.readouterr().err


def test_a_preset_is_the_training_of_that_name(monkeypatch, tmp_path):
    from articulate.models_hub import training

    for preset, name in zip(training.PRESETS, training.COMMANDS, strict=True):
        seen = []
        module = training.training_module(preset)
        assert module.__name__.endswith(f".{name}")
        monkeypatch.setattr(module, "run", seen.append)
        given = ["--preset", preset, "--option", "install", "--seed", "3"]
        closed = name in ("face_code", "head_motion")  # closed forms, without steps
        given += [] if closed else ["--steps", "7", "--resume"]
        assert main(["finetune", str(tmp_path), "-o", str(tmp_path / "out"), *given]) == 0
        [options] = seen
        assert (options.data, options.output, options.seed) == (tmp_path, tmp_path / "out", 3)
        assert options.install and (closed or (options.steps, options.resume) == (7, True))


def test_a_cancelled_tuning_says_how_it_goes_on(footage_file, tmp_path, capsys, monkeypatch):
    from articulate.workflows.commands import finetune

    def cancel(done, in_all, preview):
        raise KeyboardInterrupt

    monkeypatch.setattr(finetune, "_bar", lambda steps: cancel)
    command = small(footage_file, "-o", tmp_path / "ann.safetensors", "--parts", "generator")
    command.remove("--quiet")
    assert main(command) == 130
    assert "--resume goes on" in capsys.readouterr().err
    assert (tmp_path / "ann.fit" / "checkpoint.pt").exists() and not (tmp_path / "ann.safetensors").exists()
    assert main(command) == 1 and "unfinished tuning" in capsys.readouterr().err
