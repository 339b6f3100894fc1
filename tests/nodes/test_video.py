"""The VIDEO that renders while it is saved, and reading any VIDEO frame by frame."""

import io
import threading
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.media import VideoReader, write_video
from articulate.models_hub.networks.blocks import unchanged
from articulate.models_hub.networks.density import cell_centres
from articulate.models_hub.threads import usable_threads
from articulate.models_hub.types import Face, FrameChunk, Stream
from articulate.nodes.compose import ArticulateCompose
from articulate.nodes.host import InputImpl, VideoComponents, VideoInput
from articulate.nodes.video import StreamedVideo, open_video

SIZE = 32


@pytest.fixture(params=[1, 3])
def threads(request):
    """How many threads may be used: one, which makes nothing ahead, or several."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def workers_alive() -> int:
    return sum(thread.name.startswith("articulate") for thread in threading.enumerate())


def make_stream(length: int = 10, fps: float = 25.0, seen: list | None = None) -> Stream:
    """Grey frames that become brighter with time."""
    centres = cell_centres(8)
    flow = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1)[None]
    points = torch.rand(68, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    face = Face(torch.zeros(1, 3, SIZE, SIZE), points, torch.tensor([[20.0, 0, 30], [0, 20, 24]]),
                torch.zeros(48, 64, 3), (0.0, 0.0, 1.0, 1.0))  # fmt: skip

    def chunks(start: int, stop: int):
        for number in range(start, stop):
            if seen is not None:
                seen.append(number)
            painted = torch.full((1, 3, SIZE, SIZE), number / 20)
            yield FrameChunk(
                number, partial(unchanged, painted), painted, torch.zeros(1, 1, SIZE, SIZE), flow, points[None]
            )

    return Stream(length, fps, face, SIZE, chunks)


def make_sound(seconds: float, rate: int = 16000) -> dict:
    time = torch.arange(int(seconds * rate)) / rate
    return {"waveform": 0.3 * torch.sin(time * 2000)[None, None], "sample_rate": rate}


def make_video(length: int = 10, sound: bool = True, **options) -> StreamedVideo:
    audio = make_sound(length / 25) if sound else None
    settings = {"mode": "picture", "feather": 0.1, "colour_match": 0.0} | options
    return ArticulateCompose.execute(make_stream(length), audio=audio, **settings)[0]


def test_facts_are_known_without_rendering():
    seen = []
    video = StreamedVideo(make_stream(30, 29.97, seen))
    assert video.get_dimensions() == (64, 48)
    assert video.get_frame_count() == 30
    assert abs(video.get_frame_rate() - Fraction("29.97")) < Fraction(1, 10_000)
    assert video.get_duration() == pytest.approx(30 / 29.97)
    assert StreamedVideo(make_stream(), mode="crop").get_dimensions() == (SIZE, SIZE)
    assert video.as_trimmed(0.2, 0.4).get_frame_count() == 12
    assert seen == []


def test_saving_writes_every_frame_and_the_sound(tmp_path):
    path = tmp_path / "말하기 😀.mp4"
    make_video().save_to(str(path), metadata={"prompt": {"1": {}}})
    reader = VideoReader(path)
    assert (reader.frame_count, reader.size, reader.fps) == (10, (64, 48), 25)
    waveform, rate = reader.read_audio()
    assert rate == 16000
    assert abs(waveform.shape[1] - 6400) <= 1024  # AAC works in blocks
    frames = torch.cat(list(reader.frames()))
    brightness = frames[:, 24, 30].mean(-1)
    assert torch.allclose(brightness, torch.arange(10) / 20, atol=0.03)


def test_saving_to_memory_and_without_sound():
    buffer = io.BytesIO()
    make_video(sound=False).save_to(buffer)
    reader = VideoReader(buffer)
    assert reader.frame_count == 10
    assert not reader.has_audio


def test_frames_are_rendered_when_they_are_written_and_a_few_ahead(threads):
    seen, done = [], 0
    video = StreamedVideo(make_stream(200, seen=seen))
    assert seen == []
    for chunk in video.frames():
        done += len(chunk)
        assert len(chunk) <= 8
        assert len(seen) <= done + 8 * (threads + 1)
    assert sorted(seen) == list(range(200)) and done == 200


def test_saving_gives_the_same_file_with_any_number_of_threads(tmp_path):
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            make_video(40).save_to(str(tmp_path / f"{threads}.mp4"))
            assert torch.get_num_threads() == usable_threads() == threads
    finally:
        torch.set_num_threads(before)
    first, *others = ((tmp_path / f"{threads}.mp4").read_bytes() for threads in (1, 2, 3))
    assert all(other == first for other in others)
    assert workers_alive() == 0


def test_a_cancelled_run_leaves_no_file_and_no_thread(tmp_path, monkeypatch, threads):
    class Cancelled(Exception):
        pass

    def report(done, _in_all, _frame):
        if done >= 4:
            raise Cancelled

    monkeypatch.setattr("articulate.nodes.video.host_progress", lambda *_, **__: report)
    video = make_video(400)
    for render in (lambda: video.save_to(str(tmp_path / "out.mp4")), video.get_components):
        with pytest.raises(Cancelled):
            render()
        assert workers_alive() == 0
    assert list(tmp_path.iterdir()) == []


def test_components_are_the_frames():
    video = make_video(7)
    parts = video.get_components()
    assert parts.images.shape == (7, 48, 64, 3)
    assert torch.equal(parts.images, torch.cat(list(video.frames())))
    assert parts.frame_rate == 25
    assert torch.equal(parts.audio["waveform"], make_sound(7 / 25)["waveform"])


def test_trimming_cuts_frames_and_sound_alike():
    video = make_video(10)
    part = video.as_trimmed(0.12, 0.16)
    assert part.get_frame_count() == 4
    assert torch.equal(torch.cat(list(part.frames())), video.get_components().images[3:7])
    assert part.get_components().audio["waveform"].shape[-1] == 2560
    assert part.as_trimmed(0.04).get_frame_count() == 3
    assert video.as_trimmed(1.0) is None
    assert video.as_trimmed(0.2, 5.0, strict_duration=True) is None
    assert video.as_trimmed(0.2, 5.0).get_frame_count() == 5


@pytest.mark.parametrize("options", [{"format": "webm"}, {"codec": "av1"}, {"bit_depth": 10}, {"color_space": "HDR"}])
def test_other_encodings_are_refused_by_name(options, tmp_path):
    path = tmp_path / "out.mp4"
    with pytest.raises(InputError, match=str(next(iter(options.values())))):
        make_video().save_to(str(path), **options)
    assert not path.exists()


def test_an_error_leaves_no_file(tmp_path, threads):
    def chunks(start: int, stop: int):
        yield from make_stream().chunks(0, 3)
        raise KeyboardInterrupt

    stream = make_stream()
    video = StreamedVideo(Stream(stream.length, stream.fps, stream.face, stream.size, chunks))
    with pytest.raises(KeyboardInterrupt):
        video.save_to(str(tmp_path / "out.mp4"))
    assert list(tmp_path.iterdir()) == []
    assert workers_alive() == 0


@dataclass
class FromFile(VideoInput):
    """A video in a file, as the host loads it."""

    path: str
    start: float = 0.0
    seconds: float = 0.0

    def get_components(self):
        raise AssertionError("all frames at once")

    def save_to(self, path, **_options):
        raise AssertionError("encoded again")

    def as_trimmed(self, start_time=None, duration=None, strict_duration=False):
        return FromFile(self.path, start_time, duration)

    def get_stream_source(self):
        return self.path

    def get_active_trim_window(self):
        return self.start, self.seconds


class InMemory(FromFile):
    """A video of tensors, as Create Video makes it."""

    get_stream_source = VideoInput.get_stream_source

    def get_components(self):
        return VideoComponents(torch.rand(20, 8, 8, 3), Fraction(10), {"waveform": torch.zeros(1, 1, 9)})


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "in.mp4"
    frames = torch.linspace(0, 1, 20)[:, None, None, None].expand(20, 32, 32, 3)
    write_video(path, [frames], 25, (torch.zeros(1, 12800), 16000))
    return str(path)


def test_files_are_read_in_pieces(file):
    opened = open_video(FromFile(file))
    sizes = [len(chunk) for chunk in opened.frames()]
    assert (sum(sizes), opened.length, opened.fps) == (20, 20, 25)
    assert max(sizes) <= 8
    assert opened.audio()["sample_rate"] == 16000


def test_trimmed_files_are_read_trimmed(file):
    opened = open_video(FromFile(file, 0.2, 0.4))
    frames = torch.cat(list(opened.frames()))
    assert len(frames) == opened.length == 10
    assert frames[0].mean() == pytest.approx(5 / 19, abs=0.03)
    assert opened.audio()["waveform"].shape[-1] == 6400


def test_other_videos():
    opened = open_video(InMemory(""))
    assert (sum(len(chunk) for chunk in opened.frames()), opened.fps) == (20, 10)
    assert opened.audio()["waveform"].shape[-1] == 9
    assert sum(len(chunk) for chunk in open_video(make_video(5)).frames()) == 5
    with pytest.raises(InputError, match="Tensor"):
        open_video(torch.zeros(2, 3))


def test_a_face_is_pasted_into_another_video(threads):
    """Where the second face changes nothing, its video shows the first one's frames, bit by bit."""
    below = make_video(10, feather=0.1)
    over = ArticulateCompose.execute(make_stream(10), mode="picture", feather=0.1, colour_match=0.0, video=below)[0]
    alone = torch.cat(list(below.frames()))
    both = torch.cat(list(over.frames()))
    assert both.shape == alone.shape
    assert torch.equal(both[:, :4], alone[:, :4])  # far from the face
    change = both - alone  # the same grey painted twice: only its fading edge becomes brighter
    assert float(change.min()) > -1e-4 and float(change.max()) < 0.12
    later = torch.cat(list(over.as_trimmed(0.2, 0.2).frames()))
    assert torch.equal(later, both[5:10])
    assert workers_alive() == 0


def test_the_last_frame_of_a_shorter_video_stays():
    images = torch.rand(3, 48, 64, 3, generator=torch.Generator().manual_seed(0))
    below = InputImpl.VideoFromComponents(VideoComponents(images, Fraction(25)))
    over = ArticulateCompose.execute(make_stream(6), mode="picture", feather=0.1, colour_match=0.0, video=below)[0]
    frames = torch.cat(list(over.frames()))
    assert torch.equal(frames[:3, :4], images[:, :4])
    assert torch.equal(frames[3:, :4], images[2:, :4].expand(3, -1, -1, -1))


def test_a_video_that_does_not_fit_is_refused():
    images = torch.zeros(3, 40, 40, 3)
    slow = InputImpl.VideoFromComponents(VideoComponents(torch.zeros(3, 48, 64, 3), Fraction(10)))
    settings = {"mode": "picture", "feather": 0.1, "colour_match": 0.0}
    with pytest.raises(InputError, match="10 frames a second, but the face moves at 25"):
        ArticulateCompose.execute(make_stream(), video=slow, **settings)
    small = ArticulateCompose.execute(
        make_stream(), video=InputImpl.VideoFromComponents(VideoComponents(images, Fraction(25))), **settings
    )[0]
    with pytest.raises(InputError, match="40 x 40 pixels, but the picture of this face has 64 x 48"):
        list(small.frames())


def test_images_are_read_as_a_video():
    images = torch.rand(20, 16, 16, 3)
    opened = open_video(images, 29.97)
    assert opened.length == 20 and abs(float(opened.fps) - 29.97) < 1e-4 and opened.audio() is None
    assert torch.equal(torch.cat(list(opened.frames())), images)


def test_video_helper_suite_sound_is_read_when_it_is_needed():
    """Its AUDIO is a mapping that decodes the file at the first look."""
    from collections.abc import Mapping

    class LazyAudio(Mapping):
        def __getitem__(self, key):
            return make_sound(0.4)[key]

        def __iter__(self):
            return iter(("waveform", "sample_rate"))

        def __len__(self):
            return 2

    settings = {"mode": "picture", "feather": 0.1, "colour_match": 0.0}
    video = ArticulateCompose.execute(make_stream(), audio=LazyAudio(), **settings)[0]
    assert video.sound[1] == 16000 and video.sound[0].shape == (1, 6400)
