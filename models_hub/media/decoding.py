"""Frames of a media file that may be damaged in places, and a word about what was lost."""

import logging
import os
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import IO, Any

_FAILURES_IN_A_ROW = 20
"""A file that could not be read so often at one place is read no further."""

_UNNOTICED_SECONDS = 0.1
"""Codecs and containers round and fill; only more than this counts as lost."""

_WITHOUT_LENGTH = ("aac", "ac3", "dts", "eac3", "loas", "m4v", "h264", "hevc", "mpegvideo", "mpegts", "mpeg", "mjpeg")
"""FFmpeg guesses the length of these from the bit rate."""

_OGG_PAGE_BYTES = 27 + 255 + 255 * 255
"""No page of an Ogg file is larger."""

_log = logging.getLogger(__name__)


def decoded(container: Any, stream: Any, damage: list[Exception], ends: list[Fraction] | None = None) -> Iterator[Any]:
    """The frames of a stream; what cannot be decoded is left out, and its error appended to `damage`.

    `ends` is kept at one number, the second at which the latest packet ends: frames of older versions of PyAV do not
    tell how long they last.
    """
    for packet in packets(container, stream, damage, ends):
        yield from _frames_of(packet, damage)


def _frames_of(packet: Any, damage: list[Exception]) -> list[Any]:
    import av

    try:
        return packet.decode()
    except EOFError:  # asked for more after the end
        return []
    except (av.FFmpegError, ValueError) as error:
        damage.append(error)
        return []


def packets(container: Any, stream: Any, damage: list[Exception], ends: list[Fraction] | None = None) -> Iterator[Any]:
    """The packets of a stream; where the file cannot be read it is read on behind, the error appended to `damage`."""
    import av

    failures = 0
    while failures < _FAILURES_IN_A_ROW:
        try:
            for packet in container.demux(stream):
                failures = 0
                if ends is not None and packet.pts is not None and packet.duration:
                    ends[:] = [max(*ends, (packet.pts + packet.duration) * packet.time_base, Fraction(0))]
                yield packet
            return
        except (av.FFmpegError, ValueError) as error:
            damage.append(error)
            failures += 1


def stated_seconds(container: Any, stream: Any, file: IO[bytes] | None = None) -> float | None:
    """How long a stream should last by what its file says; None if the file does not say it.

    Args:
        container, stream: of PyAV, open.
        file: what the container reads; needed for MP3 and WAV only.
    """
    kind = container.format.name
    if kind in _WITHOUT_LENGTH or (kind == "mp3" and not (file and _mp3_states_length(file))):
        return None
    if stream.duration:
        seconds = float(stream.duration * stream.time_base)
    elif container.duration and len(container.streams) == 1:
        seconds = container.duration / 1e6 - max(0.0, float((stream.start_time or 0) * stream.time_base))
    else:
        return None
    return seconds * _share_lost_by_wav(file) if kind == "wav" and file else seconds


def ogg_cut_short(container: Any, file: IO[bytes]) -> bool:
    """Whether an Ogg file lacks the page that its writer marked as the last; how much is missing it does not say."""
    if container.format.name != "ogg":
        return False
    tail = _part(file, max(0, _size(file) - _OGG_PAGE_BYTES), _OGG_PAGE_BYTES)
    page = tail[max(0, tail.rfind(b"OggS")) :]
    header = 27 + page[26] if len(page) > 26 else 27
    return len(page) < header + sum(page[27:header]) or not page[5] & 4


def _mp3_states_length(file: IO[bytes]) -> bool:
    head = _part(file, 0, 10)
    tag = 10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=False))
    first_frame = _part(file, tag if head.startswith(b"ID3") else 0, 1024)
    return any(name in first_frame for name in (b"Xing", b"Info", b"VBRI"))


def _share_lost_by_wav(file: IO[bytes]) -> float:
    """Stated by real size: FFmpeg shortens the stated length of a WAV file to what is there. 1 for a whole one."""
    head = _part(file, 0, 8)
    if head[:4] != b"RIFF" or len(head) < 8:
        return 1.0
    stated, there = struct.unpack("<I", head[4:])[0] + 8, _size(file)
    unknown = stated - 8 in (0, 2**32 - 1)  # written to a pipe
    return 1.0 if unknown else max(1.0, stated / there)


def _part(file: IO[bytes], start: int, length: int) -> bytes:
    """Bytes of a file; where it is read on stays as it was."""
    before = file.tell()
    try:
        file.seek(start)
        return file.read(length)
    finally:
        file.seek(before)


def _size(file: IO[bytes]) -> int:
    before = file.tell()
    try:
        return file.seek(0, os.SEEK_END)
    finally:
        file.seek(before)


def warn_of_loss(name: str, what: str, kept: float, stated: float | None, damage: list[Exception]) -> None:
    """Log a warning if less of a file could be read than it should hold.

    Args:
        name: the file.
        what: "sound" or "pictures".
        kept: seconds that could be read.
        stated: seconds that the file says it has; None if it does not say it.
        damage: what could not be decoded.
    """
    if stated is not None and stated - kept > _UNNOTICED_SECONDS:
        _log.warning(
            "%s is damaged or cut short: %.2f s of its %.2f s of %s can be read, and these are used. Copy or export it "
            "again to have all.",
            name,
            kept,
            stated,
            what,
        )
    elif stated is None and damage:
        _log.warning(
            "%s is damaged or cut short: parts of its %s cannot be read, and the other %.2f s are used. Copy or export "
            "it again to have all.",
            name,
            what,
            kept,
        )
