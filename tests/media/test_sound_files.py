import subprocess
import sys
import wave

import av
import pytest
import torch
from articulate.models_hub.errors import MediaError
from articulate.models_hub.media import read_audio, write_audio, write_video

RATE = 16000
STATED = "of its 4.0" if int(av.__version__.split(".")[0]) >= 16 else "of its 4."  # older ones count padding in


def tone(samples, channels=1, rate=RATE):
    time = torch.arange(samples) / rate
    return torch.stack([0.5 * torch.sin(2 * torch.pi * (220 + 110 * channel) * time) for channel in range(channels)])


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("samples, rate", [(1, 8000), (12345, 22050), (44101, 44100)])
def test_flac_round_trip_keeps_every_sample(tmp_path, channels, samples, rate):
    path = tmp_path / "목소리 🎤.flac"
    waveform = tone(samples, channels, rate)
    write_audio(path, waveform, rate)
    back, back_rate = read_audio(path)
    assert back_rate == rate and back.shape == waveform.shape
    assert torch.allclose(back, waveform, atol=1e-6)


@pytest.mark.parametrize(
    "container, codec", [("wav", "pcm_s16le"), ("mp3", "libmp3lame"), ("ogg", "libopus"), ("ipod", "aac")]
)
def test_usual_formats_are_read(tmp_path, caplog, container, codec):
    path = tmp_path / f"x.{container}"
    encoded(path, tone(2 * RATE), container, codec)
    back, rate = read_audio(path)
    assert not caplog.records
    assert back.shape[0] == 1
    assert back.shape[1] / rate == pytest.approx(2.0, abs=0.1)
    assert back.abs().max() == pytest.approx(0.5, abs=0.1)


def encoded(path, waveform, container, codec):
    """Write (1, S) at RATE as another program would."""
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=RATE, layout="mono")
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout="mono", rate=RATE, frame_size=stream.codec_context.frame_size
        )
        frame = av.AudioFrame.from_ndarray(waveform.numpy(), format="fltp", layout="mono")
        frame.sample_rate = RATE
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            output.mux(stream.encode(part))


@pytest.mark.parametrize("container, codec", [("mp3", "libmp3lame"), ("ipod", "aac")])
def test_what_follows_a_damaged_part_is_read_and_the_loss_told(tmp_path, caplog, container, codec):
    path = tmp_path / f"x.{container}"
    encoded(path, tone(4 * RATE), container, codec)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + len(content) // 8] = b"\xff" * (len(content) // 8)
    path.write_bytes(content)
    back, rate = read_audio(path)
    assert 2.5 < back.shape[1] / rate < 4.1
    assert [str(path) in record.getMessage() for record in caplog.records] == [True]
    assert STATED in caplog.text


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3"])
def test_a_recording_that_was_cut_short_says_so(tmp_path, caplog, kind):
    path = tmp_path / f"x.{kind}"
    if kind == "flac":
        write_audio(path, tone(4 * RATE), RATE)
    else:
        encoded(path, tone(4 * RATE), *{"wav": ("wav", "pcm_s16le"), "mp3": ("mp3", "libmp3lame")}[kind])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    back, rate = read_audio(path)
    assert back.shape[1] / rate == pytest.approx(2.0, abs=0.5)
    assert len(caplog.records) == 1 and STATED in caplog.text


@pytest.mark.parametrize("codec", ["libopus", "vorbis", "flac"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.999])
def test_a_cut_ogg_file_says_so_though_it_states_no_length(tmp_path, caplog, codec, share):
    path = tmp_path / "x.ogg"
    with av.open(str(path), "w", format="ogg") as output:
        stream = output.add_stream(codec, rate=RATE, layout="stereo" if codec == "vorbis" else "mono")
        if codec == "vorbis":
            stream.codec_context.options = {"strict": "experimental"}
        size = 320
        for start in range(0, 20 * RATE, size):
            frame = av.AudioFrame.from_ndarray(tone(size).numpy(), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, start
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    read_audio(path)
    assert not caplog.records
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    read_audio(path)
    assert len(caplog.records) == 1 and f"{path} is damaged or cut short" in caplog.text


@pytest.mark.parametrize("channels", [1, 2, 7, 8, 9, 16])
def test_any_number_of_channels_is_read(tmp_path, channels):
    # In a Python of its own: what goes wrong here ends the process.
    path = tmp_path / "x.wav"
    values = (torch.arange(channels * 500).reshape(500, channels) - 4000).short()
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, RATE, 0, "NONE", ""))
        file.writeframes(values.numpy().tobytes())
    seen = (
        "import sys, torch; from articulate.models_hub.media import read_audio; "
        "torch.save(read_audio(sys.argv[1])[0], sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", seen, path, tmp_path / "x.pt"], check=True)
    assert torch.equal(torch.load(tmp_path / "x.pt"), values.T / 2**15)


def test_the_sound_of_a_video_has_its_exact_length(tmp_path):
    path = tmp_path / "x.mp4"
    waveform = tone(20001)
    write_video(path, [torch.zeros(32, 16, 16, 3)], 25, (waveform, RATE))
    back, rate = read_audio(path)
    assert (back.shape, rate) == (waveform.shape, RATE)
    assert (back - waveform)[:, 2000:-2000].abs().mean() < 0.02


def _silent_video(path):
    write_video(path, [torch.zeros(2, 16, 16, 3)], 25)


def _cut(path):
    write_audio(path, tone(RATE), RATE)
    path.write_bytes(path.read_bytes()[:30])


def _unknown_kind(path):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(bytes(8000))
    content = bytearray(path.read_bytes())
    content[20:22] = b"\x77\x77"  # of what kind the samples are
    path.write_bytes(content)


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda path: None, "no sound file"),
        (lambda path: path.write_bytes(b""), "0 bytes"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b"RIFF" + bytes(100)), "damaged"),
        (lambda path: path.write_text("hello"), "not a sound file"),
        (_silent_video, "no sound in it"),
        (_unknown_kind, "of a kind that is not known"),
        (_cut, "damaged|without a single sample"),
    ],
)
def test_a_bad_file_gets_a_sentence_with_its_name(tmp_path, make, said):
    path = tmp_path / "so nicht.mp4"
    make(path)
    with pytest.raises(MediaError, match=said) as caught:
        read_audio(path)
    assert str(path) in str(caught.value)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is counted in kB there")
def test_a_recording_is_never_held_twice(tmp_path):
    """Memory that reading takes at most, of a recording that takes 58 MB itself."""
    path = tmp_path / "x.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 48000, 0, "NONE", ""))
        for _ in range(150):
            file.writeframes(bytes(48000 * 4))
    seen = (
        "import resource, sys; from articulate.models_hub.media import read_audio; import av; av.AudioResampler(); "
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; "
        "before = peak(); sound = read_audio(sys.argv[1]); print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", seen, path], check=True, capture_output=True, text=True)
    assert int(done.stdout) * 1024 < 1.3 * 150 * 48000 * 8


def test_a_recording_without_samples_is_not_written(tmp_path):
    with pytest.raises(MediaError, match="shape"):
        write_audio(tmp_path / "x.flac", torch.zeros(1, 0), RATE)
    assert not list(tmp_path.iterdir())
