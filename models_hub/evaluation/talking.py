"""What talking videos of people never trained on do: lips in time with the sound, shut in silence, still when idle.

Each confirmed clip gives its sound and one portrait, the frame with its most closed mouth; what is made of them is
judged by the sync critic, which never saw these people either.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..loading import EMBEDDED, load_network
from ..media import VideoReader, write_video
from ..networks.lip_shape import opening
from ..stages.audio_encoder import encode_speech
from ..stages.compose import compose_frames
from ..stages.density import build_density
from ..stages.generator import generate_stream
from ..stages.landmark_predictor import predict_landmarks
from ..stages.warper import warp_stream
from ..training.footage import mouth_opening, read_clip
from ..training.material import measure_lag
from ..training.parts import sound_file
from ..training.speech_data import clip_rows, read_sound, recording_mel
from ..training.sync_critic import cut_lips
from ..types import Face, Landmarks, Progress, Window
from .intervals import interval
from .sounds import sound_figures

SECONDS = 4.0  # of each clip
IDLE_SECONDS = 0.8
NOISE_DB = -70.0  # a quiet room


def evaluate_talking(
    data: Path,
    split: str,
    progress: Progress | None = None,
    warper: str = EMBEDDED,
    generator: str = EMBEDDED,
) -> dict[str, float | list[float]]:
    """Make every confirmed clip's portrait speak its sound, and say nothing.

    Args:
        data: folder of manifest.csv and clips/.
        split: of the people.
        progress: told after every clip.
        warper, generator: weights.

    Returns:
        `talking_sync_within_one`: share of the made videos whose lips the sync critic finds at most a frame off their
        sound; `silence_opening`: how far the mouth opens in digital silence and in the noise of a quiet room, as a
        share of how far it opens in speech, the largest of all clips; `still_psnr`: PSNR in dB between neighbouring
        frames of a silent video without blinks after the codec (100 where they are equal), the lowest of all clips;
        the `sound_figures` of changed voices, means over clips, and those of other sounds, the largest of all clips;
        95 % intervals over people, `_interval`, of the share and of the means; `talking_clips`.

    Raises:
        InputError: the folder holds no such clips.
    """
    critic = load_network("sync_critic")
    rows = clip_rows(data, split)
    near, silent, still, sounds = [], [], [], []
    for done, row in enumerate(rows):
        face = portrait(data, row["id"])
        waveform, rate = read_sound(sound_file(data / "clips", row["id"]))
        waveform = waveform[:, : int(SECONDS * rate)]
        landmarks = predict_landmarks(encode_speech(waveform, rate), face, blink=False)
        stream = generate_stream(warp_stream(face, build_density(landmarks), warper, window=Window()), generator)
        frames = torch.cat([(chunk.frames.permute(0, 2, 3, 1) * 255).round().byte() for chunk in stream])
        mel = recording_mel(waveform, rate, len(frames))
        lag, _ = measure_lag(critic, [(cut_lips(frames, landmarks.points), mel)])
        near.append(abs(lag) <= 1)
        idle = silences(int(IDLE_SECONDS * rate))
        quiet = [predict_landmarks(encode_speech(sound, rate), face, blink=False) for sound in idle]
        most = max(float(opening(marks.points).max()) for marks in quiet)
        silent.append(most / max(float(opening(landmarks.points).max()), 1e-6))
        still.append(still_psnr(face, quiet[0], warper, generator))
        sounds.append(sound_figures(waveform, rate, face))
        if progress is not None:
            progress(done + 1, len(rows))
    people = [row["person"] for row in rows]
    result: dict[str, float | list[float]] = {
        "talking_sync_within_one": float(np.mean(near)),
        "talking_sync_within_one_interval": interval(people, [[value] for value in near]),
        "silence_opening": max(silent),
        "still_psnr": min(still),
    }
    for name in sounds[0]:
        values = [clip[name] for clip in sounds]
        if name.endswith("_opening"):
            result[name] = max(values)
            continue
        result[name] = float(np.mean(values))
        result[f"{name}_interval"] = interval(people, [[value] for value in values])
    return result | {"talking_clips": len(rows)}


def portrait(data: Path, name: str) -> Face:
    """The frame of a clip with its most closed mouth, with the shipped points."""
    clip, points, valid = read_clip(data, name)
    usable = np.flatnonzero(valid)
    chosen = int(usable[mouth_opening(points[usable]).argmin()])
    picture = torch.from_numpy(clip[chosen]).float() / 255  # (S, S, 3)
    size = len(picture)
    matrix = torch.tensor([[size / 2, 0, size / 2], [0, size / 2, size / 2]])  # the picture is the crop
    box = (0.0, 0.0, float(size), float(size))
    return Face(picture.permute(2, 0, 1)[None], torch.from_numpy(points[chosen]), matrix, picture, box)


def silences(samples: int) -> list[Tensor]:
    """Digital silence and the noise of a quiet room, (1, S) each."""
    noise = torch.randn(1, samples, generator=torch.Generator().manual_seed(0))
    return [torch.zeros(1, samples), noise * 10 ** (NOISE_DB / 20)]


def still_psnr(face: Face, landmarks: Landmarks, warper: str = EMBEDDED, generator: str = EMBEDDED) -> float:
    """Write a video of landmarks, read it back, and compare neighbouring frames: the lowest PSNR in dB, at most 100."""
    stream = generate_stream(warp_stream(face, build_density(landmarks), warper), generator)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "still.mp4"
        write_video(path, compose_frames(stream), landmarks.fps)
        frames = torch.cat(list(VideoReader(path).frames()))
    if len(frames) < 2:
        return 100.0
    errors = (frames[1:] - frames[:-1]).double().square().flatten(1).mean(1)
    return -10 * float(errors.max().clamp(min=1e-10).log10())
