import struct
import weakref
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch
from articulate.models_hub.errors import MediaError
from articulate.models_hub.media import VideoReader, read_audio, read_picture, write_video

SAMPLE = Path(__file__).parents[2] / "samples" / "portrait.jpg"


def chunks(count, height=32, width=48, size=4):
    """Grey frames whose level tells their number."""
    levels = torch.linspace(0.2, 0.8, count)[:, None, None, None]
    return levels.expand(-1, height, width, 3).split(size)


@pytest.mark.parametrize("count, size", [(1, 4), (13, 4), (13, 1), (13, 13)])
def test_frame_count_and_order_survive(tmp_path, count, size):
    path = tmp_path / "비디오 日本 🙂.mp4"
    assert write_video(path, chunks(count, size=size), 25) == count
    reader = VideoReader(path)
    frames = torch.cat(list(reader.frames(chunk=5)))
    assert (reader.frame_count, reader.fps, reader.size) == (count, 25, (48, 32))
    assert frames.shape == (count, 32, 48, 3)
    assert torch.allclose(frames.mean((1, 2, 3)), torch.linspace(0.2, 0.8, count), atol=0.01)


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), 12.5, 24, 60])
def test_frame_rates_are_exact(tmp_path, fps):
    write_video(tmp_path / "x.mp4", chunks(9), fps)
    assert VideoReader(tmp_path / "x.mp4").fps == Fraction(fps).limit_denominator(100_000)


def test_a_part_can_be_read(tmp_path):
    write_video(tmp_path / "x.mp4", chunks(20), 25)
    whole = torch.cat(list(VideoReader(tmp_path / "x.mp4").frames()))
    part = torch.cat(list(VideoReader(tmp_path / "x.mp4").frames(3, start=5, stop=12)))
    assert torch.equal(part, whole[5:12])


def test_odd_sizes_repeat_their_edge(tmp_path):
    write_video(tmp_path / "x.mp4", chunks(3, 31, 47), 25)
    assert VideoReader(tmp_path / "x.mp4").size == (48, 32)


def test_an_unchanged_photo_comes_back_at_45_db(tmp_path):
    photo = read_picture(SAMPLE)
    write_video(tmp_path / "x.mp4", [photo[None]] * 25, 25)
    for chunk in VideoReader(tmp_path / "x.mp4").frames(10):
        psnr = -10 * ((chunk - photo) ** 2).mean((1, 2, 3)).log10()
        assert psnr.min() >= (45 if int(av.__version__.split(".")[0]) >= 17 else 43)  # older ones read less exactly
        assert ((chunk - photo).mean((0, 1, 2)).abs() < 0.5 / 255).all()  # no shift of colour


def test_colours_are_tagged_and_true(tmp_path):
    colours = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0.5], [1, 1, 1], [0, 0, 0]])
    frame = colours[:, None, None, :].expand(-1, 16, 32, -1).reshape(1, 96, 32, 3)
    write_video(tmp_path / "x.mp4", [frame], 25)
    back = next(VideoReader(tmp_path / "x.mp4").frames())[0].reshape(6, 16, 32, 3)[:, 4:12, 8:24].mean((1, 2))
    assert torch.allclose(back, colours, atol=0.02)
    with av.open(str(tmp_path / "x.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range, context.color_primaries) == (1, 1, 1)
        assert context.pix_fmt == "yuv420p"


def test_the_index_comes_first_so_that_players_can_start_at_once(tmp_path):
    write_video(tmp_path / "x.mp4", chunks(5), 25, (torch.zeros(1, 3200), 16000), metadata={"prompt": {"1": "한"}})
    content = (tmp_path / "x.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(str(tmp_path / "x.mp4")) as container:
        assert container.metadata["prompt"] == '{"1": "\\ud55c"}'


def test_sound_and_frames_are_interleaved(tmp_path):
    write_video(tmp_path / "x.mp4", chunks(100), 25, (torch.rand(1, 64000) - 0.5, 16000))
    with av.open(str(tmp_path / "x.mp4")) as container:
        kinds = [packet.stream.type for packet in container.demux() if packet.size]
    middle = kinds[len(kinds) // 3 : len(kinds) // 2]
    assert {"audio", "video"} == set(middle)


@pytest.mark.parametrize(
    "rate, samples, channels", [(8000, 8001, 1), (44100, 44099, 2), (48000, 1, 1), (11000, 22000, 3)]
)
def test_the_sound_keeps_its_length(tmp_path, rate, samples, channels):
    write_video(tmp_path / "x.mp4", chunks(30), 25, (torch.zeros(channels, samples), rate))
    back, back_rate = VideoReader(tmp_path / "x.mp4").read_audio()
    assert back.shape[1] / back_rate == pytest.approx(samples / rate, abs=1 / 8000)


def test_only_one_chunk_is_held_at_a_time(tmp_path):
    alive: list[weakref.ref] = []

    def frames():
        for _ in range(40):
            chunk = torch.rand(2, 32, 32, 3)
            assert sum(ref() is not None for ref in alive) <= 1
            alive.append(weakref.ref(chunk))
            yield chunk
            del chunk

    assert write_video(tmp_path / "x.mp4", frames(), 25) == 80


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_when_making_the_frames_fails(tmp_path, error):
    def frames():
        yield from chunks(8)
        raise error

    (tmp_path / "kept.mp4").write_bytes(b"before")
    for name in ("new.mp4", "kept.mp4"):
        with pytest.raises(error):
            write_video(tmp_path / name, frames(), 25, overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["kept.mp4"]
    assert (tmp_path / "kept.mp4").read_bytes() == b"before"


@pytest.mark.parametrize("path", ["x.mp4", "folder"])
def test_whoever_makes_the_frames_is_told_that_no_more_are_wanted(tmp_path, path):
    closed = []

    def frames():
        try:
            yield from chunks(8)
            yield torch.zeros(1, 2, 2, 3)  # of another size
        finally:
            closed.append(True)

    made = frames()
    next(made)
    (tmp_path / "folder").mkdir()
    with pytest.raises(MediaError) as error:
        write_video(tmp_path / path, made, 25)
    assert closed and error.value.__traceback__


def test_what_progress_raises_is_let_through(tmp_path):
    seen = []

    def progress(done, in_all):
        seen.append((done, in_all))
        if done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "x.mp4", chunks(20), 25, length=20, progress=progress)
    assert seen == [(4, 20), (8, 20)]
    assert not list(tmp_path.iterdir())


def test_an_existing_video_is_kept(tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"before")
    with pytest.raises(MediaError, match="--overwrite"):
        write_video(tmp_path / "x.mp4", chunks(3), 25)
    assert (tmp_path / "x.mp4").read_bytes() == b"before"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MediaError, match="cannot be written"):
        write_video(tmp_path / "file" / "x.mp4", chunks(3), 25)


def test_no_frames_make_no_file(tmp_path):
    with pytest.raises(MediaError, match="not one frame"):
        write_video(tmp_path / "x.mp4", [], 25)
    assert not list(tmp_path.iterdir())


def test_a_rotated_recording_is_shown_upright(tmp_path):
    path = tmp_path / "x.mp4"
    frame = torch.zeros(1, 32, 48, 3)
    frame[:, :16] = 1.0
    write_video(path, [frame], 25)
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40  # version 0: the display matrix starts 40 bytes after the name
    quarter_turn = (0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)  # as phones write it: turn clockwise to show
    content[matrix : matrix + 36] = struct.pack(">9i", *quarter_turn)
    path.write_bytes(content)
    reader = VideoReader(path)
    shown = next(reader.frames())[0]
    assert reader.size == (32, 48) and shown.shape == (48, 32, 3)
    assert shown[:, 20:].mean() > 0.9 and shown[:, :12].mean() < 0.1  # the top went to the right


def timed(path, picture_starts=0.0, sound_starts=0.0, gap=(0.0, 0.0), missing=()):
    """Write 2 s of pictures and of sound that starts, stops and is missing at these seconds; a click each 0.25 s.

    `missing` are the numbers of pictures at 25 a second that are left out; each picture's level tells its number.
    """
    sound = torch.zeros(1, 32000)
    sound[:, ::4000] = 0.9
    with av.open(str(path), "w") as container:
        shown = container.add_stream("mpeg4", rate=25)
        shown.width, shown.height, shown.pix_fmt, shown.codec_context.time_base = 32, 32, "yuv420p", Fraction(1, 25)
        heard = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for number in range(50):
            if number not in missing:
                level = torch.full((32, 32, 3), 5 * number, dtype=torch.uint8)
                frame = av.VideoFrame.from_ndarray(level.numpy())
                frame.pts = number + round(picture_starts * 25)
                container.mux(shown.encode(frame))
            second = number / 25
            if not gap[0] <= second < gap[1]:
                piece = (sound[:, number * 640 : number * 640 + 640] * 32767).short()
                frame = av.AudioFrame.from_ndarray(piece.numpy(), format="s16", layout="mono")
                frame.sample_rate, frame.time_base = 16000, Fraction(1, 16000)
                frame.pts = number * 640 + round(sound_starts * 16000)
                container.mux(heard.encode(frame))
        for stream in (shown, heard):
            container.mux(stream.encode(None))


@pytest.mark.parametrize(
    "case, clicks",
    [
        ({}, [0.0, 0.25, 0.5, 0.75, 1.0]),
        ({"sound_starts": 0.4}, [0.4, 0.65, 0.9]),
        ({"picture_starts": 0.4}, [0.1, 0.35, 0.6]),
        ({"gap": (0.2, 0.6)}, [0.0, 0.75, 1.0]),
    ],
)
def test_sound_keeps_its_time_in_the_picture(tmp_path, caplog, case, clicks):
    timed(tmp_path / "x.mkv", **case)
    for sound, rate in (VideoReader(tmp_path / "x.mkv").read_audio(), read_audio(tmp_path / "x.mkv")):
        heard = (sound[0] > 0.5).nonzero()[:, 0] / rate
        assert heard[: len(clicks)].tolist() == pytest.approx(clicks, abs=0.001)
    assert not caplog.records


def test_frames_at_uneven_times_are_shown_at_theirs(tmp_path):
    timed(tmp_path / "x.mkv", missing=[*range(10, 20), *range(30, 35)])
    reader = VideoReader(tmp_path / "x.mkv")
    levels = torch.cat(list(reader.frames(7))).mean((1, 2, 3)) * 255
    assert len(levels) == reader.frame_count and reader.duration == pytest.approx(2.0, abs=0.1)
    for number, level in enumerate(levels):
        wanted = float(number / reader.fps) * 25  # the number of the picture, were none missing
        last = next(n for n in range(int(wanted + 0.6), -1, -1) if not (10 <= n < 20 or 30 <= n < 35))
        assert level / 5 == pytest.approx(last, abs=1.1)
    part = torch.cat(list(reader.frames(start=12, stop=25))).mean((1, 2, 3)) * 255
    assert torch.equal(part, levels[12:25])


def test_frames_at_even_times_are_left_as_they_are(tmp_path):
    timed(tmp_path / "x.mkv", picture_starts=0.2)
    levels = torch.cat(list(VideoReader(tmp_path / "x.mkv").frames())).mean((1, 2, 3)) * 255
    assert torch.allclose(levels, 5.0 * torch.arange(50), atol=4)


def joined(path, *sizes, format="matroska", frames=10):
    """A file of one picture track made of recordings of these (width, height), as cameras that switch make it."""
    with av.open(str(path), "w", format=format) as container:
        stream, done = None, 0
        for width, height in sizes:
            encoder = av.CodecContext.create("mpeg4", "w")
            encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = width, height, "yuv420p", Fraction(25)
            encoder.time_base = Fraction(1, 25)
            if stream is None:
                stream = container.add_stream("mpeg4", rate=25)
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            shown = av.VideoFrame.from_ndarray(torch.full((height, width, 3), 90, dtype=torch.uint8).numpy())
            packets = [packet for _ in range(frames) for packet in encoder.encode(shown)] + list(encoder.encode(None))
            for packet in packets:
                packet.pts = packet.dts = done
                packet.time_base, packet.stream = Fraction(1, 25), stream
                container.mux(packet)
                done += 1


def test_frames_that_change_their_size_come_in_the_first_one(tmp_path):
    joined(tmp_path / "x.avi", (64, 48), (32, 32), format="avi")
    reader = VideoReader(tmp_path / "x.avi")
    frames = torch.cat(list(reader.frames()))
    assert frames.shape == (20, 48, 64, 3) and reader.size == (64, 48)
    assert torch.allclose(frames, torch.tensor(90 / 255), atol=0.02)


def test_a_video_that_was_cut_short_says_so(tmp_path, caplog):
    path = tmp_path / "x.mkv"
    joined(path, (64, 48), frames=100)
    assert sum(map(len, VideoReader(path).frames())) == 100 and not caplog.records
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    shown = sum(map(len, VideoReader(path).frames()))
    assert 20 < shown < 80
    assert [f"{path} is damaged or cut short: {shown / 25:.2f} s of its 4.00 s" in line for line in caplog.messages]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["matroska", "avi", "mpegts", "mp4"])
def test_a_cut_file_gives_frames_or_a_sentence(tmp_path, kind, share):
    path = tmp_path / "x"
    joined(path, (64, 48), format=kind, frames=60)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    try:
        reader = VideoReader(path)
        assert 0 < sum(map(len, reader.frames())) <= 60
    except MediaError as error:
        assert str(path) in str(error)


def _cut(path):
    write_video(path, chunks(30), 25)
    path.write_bytes(path.read_bytes()[:600])


def _sound_only(path):
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(torch.zeros(1, 1024).numpy(), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux([*stream.encode(frame), *stream.encode(None)])


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda path: None, "no video file"),
        (lambda path: path.write_bytes(b""), "0 bytes"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_text("not a video at all"), "not a video"),
        (_cut, "damaged"),
        (_sound_only, "no picture track"),
    ],
)
def test_a_bad_file_gets_a_sentence_with_its_name(tmp_path, make, said):
    path = tmp_path / "so nicht.mp4"
    make(path)
    with pytest.raises(MediaError, match=said) as caught:
        VideoReader(path)
    assert str(path) in str(caught.value)
