"""How fast the whole run is: every stage timed while a portrait speaks a recording, from files to file."""

import os
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..media import read_audio, read_picture, write_video
from ..stages.audio_encoder import encode_speech
from ..stages.compose import compose_frames
from ..stages.density import build_density
from ..stages.face import locate_face
from ..stages.generator import generate_stream
from ..stages.landmark_predictor import predict_landmarks
from ..stages.warper import warp_stream
from ..types import Progress, Stream, frame_count

T = TypeVar("T")

COUNTED_FRAMES = 8


class Stopwatch:
    """Time by stage, in all threads together. A stage that runs inside another is not counted twice."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._adding = threading.Lock()
        self._own = threading.local()  # what runs in each thread, and since when

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time inside the block for this stage."""
        running = self._switch()
        running.append(name)
        try:
            yield
        finally:
            self._switch()
            running.pop()

    def each(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """The same items; making them counts for this stage, using them does not."""
        iterator = iter(items)
        while True:
            with self.stage(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def _switch(self) -> list[str]:
        """Count the time since the last call for the stage that runs in this thread; all that run, innermost last."""
        own, now = self._own.__dict__, time.perf_counter()
        running = own.setdefault("running", [])
        if running:
            with self._adding:
                self.seconds[running[-1]] = self.seconds.get(running[-1], 0.0) + now - own["since"]
        own["since"] = now
        return running


def bench(
    portrait: str | os.PathLike, speech: str | os.PathLike, threads: Iterable[int], progress: Progress | None = None
) -> dict[str, Any]:
    """Measure the whole run.

    One run is made first and not counted: it loads the weights.

    Args:
        portrait, speech: files.
        threads: thread counts to measure one after the other; the count is put back afterwards.
        progress: called with (runs done, runs in all).

    Returns:
        `runs`: for each thread count `seconds_per_second` (seconds of compute for a second of video, all stages from
        reading the files to the finished mp4), `cpu_seconds_per_second`, `shares` by stage and `waiting`.
        Stages overlap: a share is one of the time that all threads together were at work, in turn on a processor or
        not; `waiting` is the part of the run's own time in which the encoder had no frame to encode.
        `first_run_seconds`; `start_seconds` (see the function); `gflop_per_frame` of flow, memory and generation as
        they run for this video (a multiplication and an addition are two); `frames`, `video_seconds`, `width`,
        `height`.

    Raises:
        ArticulateError: a file or the face in it cannot be used.
    """
    counts = list(threads)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(counts[0])
        first = _talk(portrait, speech)
        _report(progress, 1, len(counts) + 1)
        runs = []
        for done, count in enumerate(counts, 2):
            torch.set_num_threads(count)
            measured = _talk(portrait, speech)
            working = sum(measured["stages"].values())
            runs.append(
                {
                    "threads": count,
                    "seconds_per_second": measured["seconds"] / measured["video_seconds"],
                    "cpu_seconds_per_second": measured["cpu_seconds"] / measured["video_seconds"],
                    "shares": {stage: seconds / working for stage, seconds in measured["stages"].items()},
                    "waiting": measured["waiting"] / measured["seconds"],
                }
            )
            _report(progress, done, len(counts) + 1)
    finally:
        torch.set_num_threads(before)
    facts = {key: first[key] for key in ("frames", "video_seconds", "width", "height")}
    facts["gflop_per_frame"] = gflop_per_frame(first["stream"])
    started = start_seconds(portrait)
    return facts | {"first_run_seconds": first["seconds"], "start_seconds": started, "runs": runs}


def start_seconds(portrait: str | os.PathLike) -> float:
    """Seconds from starting Python until `articulate talk` has written a video of one frame and ended."""
    with tempfile.TemporaryDirectory() as folder:
        speech = Path(folder) / "frame.wav"
        with wave.open(str(speech), "wb") as file:
            file.setparams((1, 2, 16_000, 640, "NONE", ""))
            file.writeframes(bytes(range(256)) * 5)  # any sound but silence, which would be remarked on
        command = [sys.executable, "-m", "articulate", "talk", os.fspath(portrait), str(speech), "--quiet"]
        before = time.perf_counter()
        subprocess.run([*command, "-o", str(Path(folder) / "frame.mp4")], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - before


def _report(progress: Progress | None, done: int, in_all: int) -> None:
    if progress is not None:
        progress(done, in_all)


def _talk(portrait: str | os.PathLike, speech: str | os.PathLike) -> dict[str, Any]:
    watch, start, cpu = Stopwatch(), time.perf_counter(), time.process_time()
    with watch.stage("reading"):
        picture, audio = read_picture(portrait), read_audio(speech)
    with watch.stage("face"):
        face = locate_face(picture)
    with watch.stage("audio encoder"):
        units = encode_speech(*audio)
    with watch.stage("landmark predictor"):
        landmarks = predict_landmarks(units, face)
    with watch.stage("density maps"):
        density = build_density(landmarks)
    stream = generate_stream(_timed(watch, "warper", warp_stream(face, density)))
    frames = compose_frames(_timed(watch, "generator", stream), watched=partial(watch.each, "compose"))
    with tempfile.TemporaryDirectory() as folder, watch.stage("encoding"):
        write_video(Path(folder) / "talking.mp4", watch.each("waiting", frames), landmarks.fps, audio)
    seconds = time.perf_counter() - start
    waiting = watch.seconds.pop("waiting")
    return {
        "seconds": seconds,
        "stages": watch.seconds,
        "waiting": waiting,
        "cpu_seconds": time.process_time() - cpu,
        "stream": stream,
        "frames": frame_count(audio[0].shape[1], audio[1], landmarks.fps),
        "video_seconds": audio[0].shape[1] / audio[1],
        "width": face.picture.shape[1],
        "height": face.picture.shape[0],
    }


def _timed(watch: Stopwatch, name: str, stream: Stream) -> Stream:
    def chunks(start: int, stop: int) -> Iterator[Any]:
        return watch.each(name, stream.chunks(start, stop))

    return replace(stream, chunks=chunks)


def gflop_per_frame(stream: Stream) -> float:
    """Billions of floating point operations that one more frame of a stream of generated frames costs.

    What is done once for a video, such as encoding the source, is left out.
    """
    totals = []
    for frames in (COUNTED_FRAMES, 2 * COUNTED_FRAMES):
        with FlopCounterMode(display=False) as counter:
            for _ in stream.chunks(0, min(frames, stream.length)):
                pass
        totals.append(counter.get_total_flops())
    more = min(2 * COUNTED_FRAMES, stream.length) - min(COUNTED_FRAMES, stream.length)
    if more == 0:  # a very short video
        return totals[0] / stream.length / 1e9
    return (totals[1] - totals[0]) / more / 1e9
