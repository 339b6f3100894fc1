"""The measurement of faces, on material whose truth is known."""

import csv
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from articulate.models_hub.evaluation.faces import evaluate_faces
from articulate.models_hub.stages.face import locate_face
from PIL import Image

PORTRAIT = Path(__file__).parents[2] / "samples" / "portrait.jpg"


def write_table(path: Path, row: dict[str, str]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """The portrait as the one picture, and its face as a clip of 20 equal frames with the points that were found."""
    folder = tmp_path_factory.mktemp("evaluation")
    for name in ("clips", "pictures"):
        (folder / name).mkdir()
    portrait = Image.open(PORTRAIT).convert("RGB")
    portrait.save(folder / "pictures" / "a.jpg")
    write_table(folder / "pictures.csv", dict(file="a.jpg", split="val", boxes="170 80 105 105"))
    write_table(folder / "manifest.csv", dict(id="a", kind="clip", split="val", person="a"))
    face = locate_face(torch.from_numpy(np.asarray(portrait).copy()))
    frame = (face.crop[0].movedim(0, -1).numpy() * 255).round().astype(np.uint8)
    with av.open(str(folder / "clips" / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = 256, 256, "yuv420p"
        for _ in range(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    points = ((face.points.numpy() + 1) * 2048).round().astype(np.int16)
    np.savez(folder / "clips" / "a.npz", points=np.repeat(points[None], 20, axis=0), valid=np.ones(20, bool))
    return folder


def test_its_own_landmarks_are_right(data):
    calls = []
    figures = evaluate_faces(data, "val", progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 2), (2, 2)]
    assert figures["face_found"] == 1
    assert figures["clip_frames_found"] == 1
    assert figures["landmark_error_eye_distance"] < 0.03
    assert figures["mouth_opening_error"] < 0.03
    assert (figures["pictures"], figures["clips"]) == (1, 1)
    assert figures["face_found_interval"] == [1, 1]  # one person tells nothing of others
    assert figures["landmark_error_eye_distance_interval"] == [figures["landmark_error_eye_distance"]] * 2


def test_moved_truth_is_measured_as_moved(data):
    path = data / "clips" / "a.npz"
    with np.load(path) as archive:
        points, valid = archive["points"], archive["valid"]
    unit = np.linalg.norm(points[0, 36:42].mean(axis=0) - points[0, 42:48].mean(axis=0))
    moved = points + np.array([0.2 * unit, 0]).round().astype(np.int16)
    np.savez(path, points=moved, valid=valid)
    try:
        assert evaluate_faces(data, "val")["landmark_error_eye_distance"] == pytest.approx(0.2, abs=0.03)
    finally:
        np.savez(path, points=points, valid=valid)
