"""Frames and sound -> an mp4 file that plays everywhere, as a stream."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from fractions import Fraction
from typing import IO, Any

from torch import Tensor

from ..errors import MediaError
from ..threads import one_thread
from ..types import Progress
from .colour import even_sized, planes_420
from .files import written_whole
from .sound import channel_layout

CRF = 11.0
"""Default quality: an unchanged photo comes back at 45 dB or better (see `planes_420`)."""

PRESET = "fast"
AUDIO_BIT_RATE = 192_000
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
AAC_CHANNELS = (1, 2, 6)

_BT709, _LIMITED = 1, 1  # as numbered by FFmpeg


def write_video(
    path: str | os.PathLike | IO[bytes],
    frames: Iterable[Tensor],
    fps: float | Fraction,
    audio: tuple[Tensor, int] | None = None,
    *,
    crf: float | None = None,
    length: int | None = None,
    progress: Progress | None = None,
    metadata: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> int:
    """Write H.264 (yuv420p, BT.709) and AAC, interleaved, with the index at the front of the file.

    One chunk of frames is held at a time; where frames are made on demand, they are told when no more are wanted.
    Sizes that are odd get their last row or column repeated.

    Args:
        path: the .mp4 file, or an open binary file (in memory, the index comes last).
        frames: chunks (n, H, W, 3 or more), all of one size: float in 0..1, where values outside are clipped, or
            uint8.
        fps: frames a second.
        audio: (waveform (C, S) in -1..1, samples a second); it starts with the first frame and keeps its length
            and timing. Rates that AAC does not know are resampled, unusual channel counts mixed to mono.
        crf: constant rate factor of x264, 0 to 51, lower is better; None is `CRF`.
        length: number of frames, for `progress`.
        progress: called with (frames written, length) after each chunk; what it raises is let through.
        metadata: facts to keep in the file; values that are not text are stored as JSON.
        overwrite: replace an existing file.

    Returns:
        Number of frames written.

    Raises:
        MediaError: the path cannot be written, or there is not one frame.
    """
    chunks = iter(frames)
    try:
        with nullcontext(path) if hasattr(path, "write") else written_whole(path, overwrite) as file, one_thread():
            return _encode(file, chunks, fps, audio, crf, length, progress, metadata or {})
    finally:
        if hasattr(chunks, "close"):  # a generator, which may have threads at work
            chunks.close()


def _encode(
    file: IO[bytes],
    chunks: Iterator[Tensor],
    fps: float | Fraction,
    audio: tuple[Tensor, int] | None,
    crf: float | None,
    length: int | None,
    progress: Progress | None,
    metadata: Mapping[str, Any],
) -> int:
    import av

    rate = Fraction(fps).limit_denominator(100_000)
    first = next(chunks, None)
    if first is None or not len(first):
        raise MediaError("There is not one frame to write, so no video was made; give a longer sound or more frames.")
    size = tuple(first.shape[1:3])
    written = 0
    # FFmpeg moves the index to the front by opening the file again, which only a named file allows.
    options = {"movflags": "faststart+use_metadata_tags" if hasattr(file, "name") else "use_metadata_tags"}
    if audio is not None:
        options["movie_timescale"] = str(audio[1])  # so that the end of the sound can be told to the sample
    with av.open(file, "w", format="mp4", options=options) as container:
        for name, value in metadata.items():
            container.metadata[name] = value if isinstance(value, str) else json.dumps(value)
        stream = _video_stream(container, even_sized(first[:1]), rate, CRF if crf is None else crf)
        sound = _Sound(container, *audio) if audio is not None else None
        while first is not None:
            if tuple(first.shape[1:3]) != size:
                raise MediaError(f"Frame {written} is {tuple(first.shape[1:3])} high and wide, the first one {size}.")
            for picture in even_sized(first[..., :3].detach().cpu()):
                frame = av.VideoFrame.from_ndarray(planes_420(picture).numpy(), format="yuv420p")
                frame.colorspace, frame.color_range = _BT709, _LIMITED
                frame.pts, frame.time_base = written, 1 / rate
                container.mux(stream.encode(frame))
                written += 1
            if sound is not None:
                sound.write_until(written / rate)
            if progress is not None:
                progress(written, max(written, length or 0))
            first = next(chunks, None)
        container.mux(stream.encode(None))
        if sound is not None:
            sound.finish()
    return written


def _video_stream(container: Any, frame: Tensor, rate: Fraction, crf: float) -> Any:
    stream = container.add_stream("libx264", rate=rate)
    stream.height, stream.width = frame.shape[1:3]
    stream.pix_fmt = "yuv420p"
    stream.options = {"crf": f"{crf:g}", "preset": PRESET}
    context = stream.codec_context
    context.time_base = 1 / rate
    context.color_range = _LIMITED
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    return stream


class _Sound:
    """The sound track, written piece by piece beside the frames so that players find both together."""

    def __init__(self, container: Any, waveform: Tensor, sample_rate: int):
        import av

        waveform = waveform.detach().float().cpu()
        waveform = waveform[None] if waveform.ndim == 1 else waveform
        if waveform.shape[0] not in AAC_CHANNELS:
            waveform = waveform.mean(0, keepdim=True)
        self.waveform = waveform
        self.rate = sample_rate
        self.container = container
        self.layout = channel_layout(waveform.shape[0])
        rate = min((known for known in AAC_RATES if known >= sample_rate), default=AAC_RATES[-1])
        self.stream = container.add_stream("aac", rate=rate, layout=self.layout)
        self.stream.bit_rate = AUDIO_BIT_RATE if waveform.shape[0] > 1 else AUDIO_BIT_RATE // 2
        self.resampler = av.AudioResampler(format="fltp", layout=self.layout, rate=rate)
        self.written = 0

    def write_until(self, seconds: Fraction) -> None:
        """Encode the samples before a point in time."""
        import av

        stop = min(self.waveform.shape[1], int(seconds * self.rate))
        if stop <= self.written:
            return
        piece = self.waveform[:, self.written : stop].nan_to_num().clamp(-1, 1).contiguous().numpy()
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=self.layout)
        frame.sample_rate = self.rate
        frame.pts, frame.time_base = self.written, Fraction(1, self.rate)
        for part in self.resampler.resample(frame):
            self.container.mux(self.stream.encode(part))
        self.written = stop

    def finish(self) -> None:
        """Encode the rest, and what the codec still holds."""
        self.write_until(Fraction(self.waveform.shape[1] + 1, self.rate))
        for part in self.resampler.resample(None):
            self.container.mux(self.stream.encode(part))
        self.container.mux(self.stream.encode(None))
