from fractions import Fraction

import pytest
import torch
from articulate.models_hub.errors import InputError, MediaError, WorkflowError
from articulate.models_hub.media import VideoReader, write_audio, write_picture, write_video
from articulate.nodes.standin import InputImpl, Types
from articulate.nodes.standin.execution import Execution, executing, find_input
from articulate.workflows.core_nodes import CORE_NODES
from articulate.workflows.runner import Runner

NODES = {cls.GET_SCHEMA().node_id: cls for cls in CORE_NODES}


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


def run(workflow, **options):
    return Runner(NODES).run(workflow, **options)


def test_transparency_becomes_the_mask(tmp_path):
    picture = torch.rand(4, 6, 4, generator=torch.Generator().manual_seed(0))
    write_picture(tmp_path / "a.png", picture)
    workflow = {"1": node("LoadImage", image="a.png")}
    image, mask = run(workflow, input_dir=tmp_path, targets=["1"]).outputs["1"]
    assert image.shape == (1, 4, 6, 3) and mask.shape == (1, 4, 6)
    assert torch.allclose(mask[0], 1 - picture[..., 3], atol=0.01)
    write_picture(tmp_path / "a.png", picture[..., :3], overwrite=True)
    assert run(workflow, input_dir=tmp_path, targets=["1"]).outputs["1"][1].abs().max() == 0


def test_a_changed_file_is_read_again(tmp_path):
    runner = Runner(NODES)
    workflow = {"1": node("LoadImage", image=str(tmp_path / "a.png"))}
    for level in (0.0, 1.0):
        write_picture(tmp_path / "a.png", torch.full((2, 2, 3), level), overwrite=True)
        assert runner.run(workflow, targets=["1"]).outputs["1"][0].mean() == level


def test_files_are_found_in_the_input_folder_beside_the_workflow_and_by_path(tmp_path, monkeypatch):
    for folder in ("input", "workflow", "here", "out"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}.txt").write_text("x")
    monkeypatch.chdir(tmp_path / "here")
    folders = (tmp_path / "input", tmp_path / "workflow", tmp_path / "here")
    with executing(Execution(folders, tmp_path / "out")):
        for name in ("input.txt", "workflow.txt", "here.txt", "../out/out.txt", "out.txt [output]"):
            assert find_input(name).is_file()
        assert find_input(str(tmp_path / "out" / "out.txt")).is_file()
        with pytest.raises(MediaError, match=r"no file 'nope.txt'.*input.*workflow.*here"):
            find_input("nope.txt")
        with pytest.raises(MediaError, match="is a folder"):
            find_input("../out")


@pytest.mark.parametrize("class_type, name", [("LoadImage", "image"), ("LoadAudio", "audio"), ("LoadVideo", "file")])
def test_a_missing_file_is_told_before_anything_runs(tmp_path, class_type, name):
    with pytest.raises(WorkflowError, match=f"input '{name}': There is no file 'nope.bin'"):
        run({"1": node(class_type, **{name: "nope.bin"})}, input_dir=tmp_path, targets=["1"])


@pytest.mark.parametrize("name", ["\ud800", "\0", "x" * 300, "x" * 300 + " [output]", "~nobody-of-that-name/x"])
def test_a_name_that_no_file_can_have_gets_a_sentence(tmp_path, name):
    with executing(Execution((tmp_path,), tmp_path)), pytest.raises(MediaError, match="file"):
        find_input(name)


def test_frames_and_sound_become_a_file_and_come_back(tmp_path):
    waveform = torch.sin(torch.arange(16000) / 20)[None] / 2
    write_audio(tmp_path / "a.flac", waveform, 16000)
    write_picture(tmp_path / "a.png", torch.full((30, 40, 3), 0.5))
    workflow = {
        "1": node("LoadImage", image="a.png"),
        "2": node("RepeatImageBatch", image=["1", 0], amount=25),
        "3": node("LoadAudio", audio="a.flac"),
        "4": node("CreateVideo", images=["2", 0], fps=25.0, audio=["3", 0]),
        "5": node("SaveVideo", video=["4", 0], filename_prefix="v/x", format="auto", **{"format.codec": "h264"}),
    }
    result = run(workflow, input_dir=tmp_path, output_dir=tmp_path / "out")
    (path,) = result.files["5"]
    assert path.relative_to((tmp_path / "out").resolve()).as_posix() == "v/x_00001_.mp4"
    back = {"1": node("LoadVideo", file=str(path)), "2": node("GetVideoComponents", video=["1", 0])}
    images, audio, fps, depth, _space = run(back, targets=["2"]).outputs["2"]
    assert images.shape == (25, 30, 40, 3) and (fps, depth) == (25.0, 8)
    assert audio["waveform"].shape == (1, 1, 16000) and audio["sample_rate"] == 16000
    assert (images - 0.5).abs().mean() < 0.01


@pytest.mark.parametrize("format, codec", [("webm", "auto"), ("mkv", "h264"), ("mp4", "av1")])
def test_what_cannot_be_encoded_is_said(tmp_path, format, codec):
    parts = Types.VideoComponents(torch.zeros(2, 16, 16, 3), Fraction(25))
    with pytest.raises(MediaError, match=r"mp4 with H\.264"):
        InputImpl.VideoFromComponents(parts).save_to(str(tmp_path / "x"), format=format, codec=codec)


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"format": "webm"}, r"mp4 with H\.264"),
        ({"format": "mkv", "codec": "h264"}, r"mp4 with H\.264"),
        ({"format": "mp4", "codec": "av1"}, r"mp4 with H\.264"),
        ({"format": "mp4", "codec": "auto", "format.codec": "av1"}, r"mp4 with H\.264"),
        ({"format": "gif"}, "'gif' is not one of"),
        ({"format": "mp4", "format.codec": "vp9"}, "'vp9' is not one of"),
        ({"format": "mp4", "format.codec.encoding.crf": 64}, "crf: 64.0 is above the greatest value, 63"),
        ({"format": "mp4", "codec": "av1", "format.codec": "h264"}, ""),
    ],
)
def test_what_cannot_be_encoded_is_said_before_anything_runs(tmp_path, video, settings, said):
    video.save_to(str(tmp_path / "in.mp4"))
    workflow = {
        "1": node("LoadVideo", file="in.mp4"),
        "2": node("SaveVideo", video=["1", 0], filename_prefix="x", **settings),
    }
    if not said:
        assert run(workflow, input_dir=tmp_path, output_dir=tmp_path / "out").files["2"]
        return
    with pytest.raises(WorkflowError, match=said):  # not the error of a node that ran
        run(workflow, input_dir=tmp_path, output_dir=tmp_path / "out")


def levels(video):
    return [round(float(image.mean()) * 100) for image in video.get_components().images]


@pytest.fixture(params=["file", "memory"])
def video(request, tmp_path):
    """Ten frames at 10 fps whose level is their number in hundredths, with a second of sound."""
    images = (torch.arange(10) / 100 + 0.3)[:, None, None, None].expand(-1, 16, 16, 3)
    waveform = torch.zeros(1, 1000)
    if request.param == "memory":
        audio = {"waveform": waveform[None], "sample_rate": 1000}
        return InputImpl.VideoFromComponents(Types.VideoComponents(images, Fraction(10), audio))
    write_video(tmp_path / "v.mp4", [images], 10, (waveform.repeat(1, 8), 8000), crf=0)
    return InputImpl.VideoFromFile(str(tmp_path / "v.mp4"))


@pytest.mark.parametrize(
    "start, duration, expected",
    [
        (0, 0, range(10)),
        (0.3, 0, range(3, 10)),
        (0.3, 0.4, range(3, 7)),
        (-0.4, 0.2, range(6, 8)),
        (0.8, 5, range(8, 10)),
    ],
)
def test_trimming_takes_frames_and_sound_of_the_same_time(video, start, duration, expected):
    part = video.as_trimmed(start, duration)
    assert levels(part) == [30 + number for number in expected]
    audio = part.get_components().audio
    assert audio["waveform"].shape[-1] / audio["sample_rate"] == pytest.approx(len(expected) / 10, abs=0.002)
    assert (part.get_frame_count(), part.get_duration()) == (len(expected), pytest.approx(len(expected) / 10))


def test_a_part_of_a_part(video):
    assert levels(video.as_trimmed(0.2, 0.6).as_trimmed(0.1, 0.3)) == [33, 34, 35]


def test_nothing_is_left_after_the_end(video):
    assert video.as_trimmed(1.0) is None
    assert video.as_trimmed(0.5, 1.0, strict_duration=True) is None


def test_a_video_is_also_a_stream_of_bytes(video):
    assert VideoReader(video.get_stream_source()).frame_count == 10


@pytest.mark.parametrize("method", ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"])
def test_pictures_are_resized(method):
    scale, scale_by = NODES["ImageScale"], NODES["ImageScaleBy"]
    image = torch.rand(2, 8, 12, 3, generator=torch.Generator().manual_seed(0))
    assert scale.execute(image, method, 6, 0, "disabled")[0].shape == (2, 4, 6, 3)
    assert scale.execute(image, method, 5, 5, "center")[0].shape == (2, 5, 5, 3)
    assert scale.execute(image, method, 0, 0, "disabled")[0] is image
    assert scale_by.execute(image, method, 2.0)[0].shape == (2, 16, 24, 3)


def test_a_batch_can_be_cut():
    images = torch.arange(5.0)[:, None, None, None].expand(-1, 2, 2, 3)
    cut = NODES["ImageFromBatch"].execute
    assert cut(images, 1, 2)[0][:, 0, 0, 0].tolist() == [1, 2]
    assert cut(images, -2, 9)[0][:, 0, 0, 0].tolist() == [3, 4]


def test_sound_can_be_cut():
    audio = {"waveform": torch.arange(10.0)[None, None], "sample_rate": 10}
    trim = NODES["TrimAudioDuration"].execute
    assert trim(audio, 0.2, 0.3)[0]["waveform"].flatten().tolist() == [2, 3, 4]
    assert trim(audio, -0.2, 60.0)[0]["waveform"].flatten().tolist() == [8, 9]
    with pytest.raises(InputError, match="start earlier"):
        trim(audio, 1.0, 1.0)


@pytest.mark.parametrize("class_type", ["SaveAudio", "PreviewAudio"])
def test_a_silent_video_gives_no_sound_to_save(class_type):
    options = {"filename_prefix": "x"} if class_type == "SaveAudio" else {}
    with pytest.raises(InputError, match="no sound"):
        NODES[class_type].execute(None, **options)
