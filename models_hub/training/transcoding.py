"""Files of a data folder made smaller: clips, sound and pictures with a loss, landmarks without one."""

import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np

COMPARED_EVERY = 10
"""Of a clip's frames, every so many are compared with the original."""
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)


def encode_clip(source: Path, target: Path, crf: int) -> float:
    """Encode a clip's frames again as H.264 (yuv420p), every one at its place, as many a second as before.

    Args:
        source: a video with frames at even distances; its sound, if any, is left out.
        target: the .mp4 file to write.
        crf: constant rate factor of x264, lower is better.

    Returns:
        PSNR in dB of every tenth frame (8 bit RGB) against the source.
    """
    import av

    with av.open(str(source)) as given, av.open(str(target), "w", format="mp4") as made:
        video = given.streams.video[0]
        stream = made.add_stream("libx264", rate=video.average_rate)
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        stream.options = {"crf": str(crf), "preset": "medium"}
        for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
            setattr(stream.codec_context, name, getattr(video.codec_context, name))
        for number, frame in enumerate(given.decode(video)):
            planes = frame.reformat(format="yuv420p").to_ndarray()
            # A frame of its own: the decoded one would force its type (I, P or B) upon the encoder.
            copy = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            copy.colorspace, copy.color_range = frame.colorspace, frame.color_range
            copy.pts, copy.time_base = number, 1 / Fraction(video.average_rate)
            made.mux(stream.encode(copy))
        made.mux(stream.encode(None))
    return clip_psnr(source, target)


def clip_psnr(source: Path, target: Path) -> float:
    """PSNR in dB of every tenth frame of a clip against those of another, 8 bit RGB.

    Raises:
        ValueError: they have different numbers of frames.
    """
    import av

    squares, count = 0.0, 0
    with av.open(str(source)) as one, av.open(str(target)) as other:
        pairs = zip(one.decode(video=0), other.decode(video=0), strict=True)
        for number, pair in enumerate(pairs):
            if number % COMPARED_EVERY == 0:
                first, second = (frame.to_ndarray(format="rgb24").astype(np.float32) for frame in pair)
                squares += float(((first - second) ** 2).sum())
                count += first.size
    return float(10 * np.log10(255**2 * count / max(squares, 1e-3)))


def encode_sound(source: Path, target: Path, kilobits: int) -> None:
    """Encode a recording as Opus, of the same length to the sample.

    Args:
        source: a sound file.
        target: the .opus file to write.
        kilobits: a second.
    """
    import av
    import soundfile

    from ..media.sound import channel_layout

    samples, rate = soundfile.read(str(source), dtype="float32", always_2d=True)
    layout = channel_layout(samples.shape[1])
    with av.open(str(target), "w", format="opus") as container:
        kept = min((known for known in OPUS_RATES if known >= rate), default=OPUS_RATES[-1])
        stream = container.add_stream("libopus", rate=kept, layout=layout)
        stream.bit_rate = kilobits * 1000
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def encode_picture(source: Path, target: Path, quality: int) -> None:
    """Encode a picture again as JPEG of a quality (1 to 95), with its profile and the way up that it says."""
    from PIL import Image

    with Image.open(source) as image:
        kept = {name: image.info[name] for name in ("exif", "icc_profile") if name in image.info}
        image.convert("RGB").save(target, "JPEG", quality=quality, optimize=True, progressive=True, **kept)


def squeeze_arrays(source: Path, target: Path) -> None:
    """Write the arrays of an .npz file again, the same bit by bit, in a zip with LZMA, which numpy reads as any."""
    with np.load(source) as arrays, zipfile.ZipFile(target, "w", zipfile.ZIP_LZMA) as archive:
        for name in arrays.files:
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, arrays[name])
