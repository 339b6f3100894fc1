"""Fine mouths in the picture: where they belong, as large as the picture, and nowhere else."""

import math

import pytest
import torch
from articulate.models_hub.networks.mouth_painter import COLUMNS, ROWS, MouthWindow
from articulate.models_hub.stages.compose import compose_frames
from articulate.models_hub.stages.density import build_density
from articulate.models_hub.stages.generator import generate_stream
from articulate.models_hub.stages.mouths import FineMouths
from articulate.models_hub.stages.region import Box
from articulate.models_hub.stages.warper import warp_stream
from articulate.models_hub.types import Face, FrameChunk, Landmarks

SIZE = 64


def face_in(sample_face, half, angle=0.0, height=400, width=500):
    cosine, sine = half * math.cos(angle), half * math.sin(angle)
    matrix = torch.tensor([[cosine, -sine, 250.0], [sine, cosine, 200.0]])
    return Face(sample_face.crop, sample_face.points, matrix, torch.zeros(height, width, 3), (0.0, 0.0, 1.0, 1.0))


def chunk_of(points, mouths):
    count = len(points)
    return FrameChunk(
        0,
        lambda: None,
        torch.zeros(count, 3, SIZE, SIZE),
        torch.ones(count, 1, SIZE, SIZE),
        torch.zeros(count, 8, 8, 2),
        points,
        mouths=mouths,
    )


def laid(face, mouths, region=1.0, offset=0.0):
    points = face.points[None].expand(len(mouths), -1, -1)
    fine = FineMouths(
        chunk_of(points, mouths),
        face,
        torch.full((len(mouths), 3, 4, 4), offset),
        torch.full((len(mouths), 1, SIZE, SIZE), region),
    )
    pictures = torch.full((len(mouths), *face.picture.shape), 0.5)
    for index, picture in enumerate(pictures):
        fine.lay(index, picture, Box(0, 0, *face.picture.shape[:2]))
    return pictures


def windows(colour, count=1):
    """Windows with a filled rectangle of one colour in the middle."""
    made = torch.zeros(count, 4, 4 * ROWS, 4 * COLUMNS)
    made[:, 3, ROWS : 3 * ROWS, COLUMNS : 3 * COLUMNS] = 1
    made[:, :3] = colour * made[:, 3:]
    return made


@pytest.mark.parametrize("half", [20.0, 90.0, 350.0])
@pytest.mark.parametrize("angle", [0.0, 0.5])
def test_a_mouth_lies_where_its_landmarks_are(sample_face, half, angle):
    face = face_in(sample_face, half, angle)
    [picture] = laid(face, windows(1.0))
    changed = picture[..., 0] - 0.5
    assert changed.min() >= -1e-6
    rows, columns = torch.meshgrid(torch.arange(400) + 0.5, torch.arange(500) + 0.5, indexing="ij")
    centre = torch.stack([(changed * place).sum() / changed.sum() for place in (columns, rows)])
    window = MouthWindow(face.points[None])
    wanted = face.matrix[:, :2] @ window.centre[0] + face.matrix[:, 2]
    assert (centre - wanted).norm() < 0.6
    area = torch.linalg.det((face.matrix[:, :2] @ window.axes[0]).double()).abs()  # of a quarter of the window
    assert float(2 * changed.sum() / area) == pytest.approx(1, abs=0.05)


def test_teeth_of_a_small_face_are_averaged(sample_face):
    stripes = windows(1.0)
    stripes[:, :3, :, ::2] = 0
    small, large = (laid(face_in(sample_face, half), stripes)[0] for half in (16.0, 350.0))
    assert (small - 0.5).abs().max() < 0.2  # black and white stripes are grey from afar
    assert large.min() < 0.1 and large.max() > 0.9


def test_light_and_region_count(sample_face):
    face = face_in(sample_face, 90.0)
    [picture] = laid(face, windows(0.6), offset=0.2)
    column, row = (face.matrix[:, :2] @ MouthWindow(face.points[None]).centre[0] + face.matrix[:, 2]).int().tolist()
    assert float(picture[row, column].mean()) == pytest.approx(0.8, abs=0.01)
    assert torch.equal(laid(face, windows(1.0), region=0.0), torch.full((1, 400, 500, 3), 0.5))


def test_landmarks_in_one_place_have_no_mouth(sample_face):
    face = face_in(sample_face, 90.0)
    nowhere = Face(face.crop, torch.zeros(68, 2), face.matrix, face.picture, face.box)
    assert (laid(nowhere, windows(1.0)) == 0.5).all()


def test_no_mouth_beyond_the_picture(sample_face):
    face = face_in(sample_face, 90.0)
    outside = Face(face.crop, face.points, face.matrix + torch.tensor([0, 0, 900.0]), face.picture, face.box)
    assert (laid(outside, windows(1.0)) == 0.5).all()


def test_a_large_picture_has_sharper_mouths_than_its_frames(sample_face):
    """The same speaking face, whose mouth the frames bring at 256 pixels, and its own window at the picture's size."""
    points = sample_face.points.repeat(2, 1, 1)
    points[:, 55:60, 1] += 0.1
    points[:, 65:68, 1] += 0.1
    scale = 600 / sample_face.crop.shape[-1]
    picture = torch.nn.functional.interpolate(sample_face.crop, scale_factor=scale, mode="bicubic").clamp(0, 1)
    matrix = torch.tensor([[300.0, 0.0, 300.0], [0.0, 300.0, 300.0]])
    face = Face(sample_face.crop, sample_face.points, matrix, picture[0].permute(1, 2, 0), (0.0, 0.0, 1.0, 1.0))
    landmarks = Landmarks(points, torch.ones(2, dtype=torch.bool))
    stream = generate_stream(warp_stream(face, build_density(landmarks)))
    assert all(chunk.mouths.shape[1:] == (4, 4 * ROWS, 4 * COLUMNS) for chunk in stream)
    [made] = compose_frames(stream)
    lips = (points[0, 60:68] + 1) * 300
    (left, top), (right, bottom) = lips.amin(0).int().tolist(), lips.amax(0).int().tolist()
    mouth = made[0, top:bottom, left:right].mean(-1)
    frame = torch.nn.functional.interpolate(next(iter(stream)).frames[:1], size=(600, 600), mode="bicubic")
    soft = frame[0, :, top:bottom, left:right].mean(0)
    edges = [image.diff(dim=0).square().mean() for image in (mouth, soft)]
    assert edges[0] > 1.2 * edges[1]
    assert (mouth - soft).mean().abs() < 0.05  # of the same light
