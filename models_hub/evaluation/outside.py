"""Whether a talking video leaves alone what does not move: the photo around the face, after the codec."""

import tempfile
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError
from ..media import VideoReader, read_audio, write_picture, write_video
from ..stages.audio_encoder import encode_speech
from ..stages.compose import compose_frames
from ..stages.density import build_density
from ..stages.generator import generate_stream
from ..stages.landmark_predictor import predict_landmarks
from ..stages.region import face_mask
from ..stages.warper import warp_stream
from ..training.footage import read_manifest
from ..training.parts import sound_file
from ..types import Face, Landmarks, Progress, Speech
from .faces import faces_in
from .intervals import each, interval

SECONDS = 1.0
MOST_PICTURES = 16


def evaluate_outside(
    data: Path, split: str, output: Path | None = None, progress: Progress | None = None
) -> dict[str, float | list[float]]:
    """Make whole pictures speak for a second, read the files back, and compare what lies outside of the face mask.

    Args:
        data: directory of the footage.
        split: "val" or "train".
        output: folder for a picture of the worst case (photo, frame, difference times 16), if given.
        progress: called with (pictures done, pictures in all).

    Returns:
        `outside_psnr`: PSNR in dB over all pixels outside and all frames of a video, 8 bit RGB against the photo,
        mean over pictures with a 95 % interval over them, `_interval`; beside it the lowest one and the number of
        pictures (those where a face was found).

    Raises:
        InputError: no picture or no voice of that split can be used.
    """
    paths = sorted((Path(data) / "pictures").glob("*.jpg"))
    known = {row["file"] for row in read_pictures(Path(data), split)}
    paths = [path for path in paths if path.name in known]
    paths = paths[:: max(1, len(paths) // MOST_PICTURES)][:MOST_PICTURES]
    speech = voice(Path(data), split)
    figures: list[float] = []
    worst: Tensor | None = None
    for face in faces_in(paths, progress):
        figure, frame = outside_psnr(face, predict_landmarks(speech, face))
        if not figures or figure < min(figures):
            difference = ((frame - face.picture).abs() * 16).clamp(0, 1)
            worst = torch.cat((face.picture, frame, difference), 1)
        figures.append(figure)
    if not figures:
        raise InputError(f"No {split} picture with a face lies in {data}; check the folder and the split.")
    if output is not None and worst is not None:
        write_picture(output / "outside_worst.png", worst, overwrite=True)
    return {
        "outside_psnr": sum(figures) / len(figures),
        "outside_psnr_interval": interval(each(figures), [[figure] for figure in figures]),
        "outside_psnr_lowest": min(figures),
        "outside_pictures": len(figures),
    }


def read_pictures(data: Path, split: str) -> list[dict[str, str]]:
    """Rows of pictures.csv of one split."""
    import csv

    with open(data / "pictures.csv", encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["split"] == split]


def outside_psnr(face: Face, landmarks: Landmarks) -> tuple[float, Tensor]:
    """Render, encode, decode and compare.

    Returns:
        (PSNR in dB outside of the mask, the first frame (H, W, 3) as it came back).
    """
    stream = generate_stream(warp_stream(face, build_density(landmarks)))
    outside = face_mask(face, landmarks.points) == 0
    height, width = outside.shape
    squares, count, first = 0.0, 0, None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "talking.mp4"
        write_video(path, compose_frames(stream), landmarks.fps)
        for chunk in VideoReader(path).frames():
            frames = chunk[:, :height, :width]
            first = frames[0] if first is None else first
            squares += float((frames - face.picture)[:, outside].double().square().sum())
            count += int(outside.sum()) * 3 * len(frames)
    return -10 * float(torch.tensor(squares / max(1, count)).clamp(min=1e-10).log10()), first


def voice(data: Path, split: str) -> Speech:
    """The first second of a confirmed clip of that split; an InputError if there is none."""
    for row in read_manifest(data):
        if row.get("kind") == "clip" and row["split"] == split and row["audio"] == "yes" and row["sync"] == "ok":
            waveform, rate = read_audio(sound_file(data / "clips", row["id"]))
            if waveform.shape[1] >= SECONDS * rate:
                return encode_speech(waveform[:, : int(SECONDS * rate)], rate)
    raise InputError(f"No {split} clip with sound lies in {data}; check the folder and the split.")
