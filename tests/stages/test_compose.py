"""Composing: still faces give back the photo, nothing outside the region moves, chunks do not matter."""

import itertools
import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.networks.blocks import unchanged
from articulate.models_hub.networks.density import cell_centres
from articulate.models_hub.networks.landmark_motion import inner_mouth_mask
from articulate.models_hub.stages.colour import LIMIT, colour_offset
from articulate.models_hub.stages.compose import compose_frames
from articulate.models_hub.stages.region import face_mask, motion_region
from articulate.models_hub.types import Face, FrameChunk, Stream
from torch import Tensor
from torch.nn import functional as F

SIZE = 64  # of the network's frames, small to be fast
CELLS = 16  # of the flow


def grid(cells: int) -> Tensor:
    centres = cell_centres(cells)
    return torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1)


def face_points() -> Tensor:
    """An upright face in crop units: jaw on an ellipse, the other points inside it."""
    angle = torch.linspace(0, math.pi, 17)
    jaw = torch.stack([-0.4 * angle.cos(), 0.45 * angle.sin()], dim=1)
    inside = torch.rand(51, 2, generator=torch.Generator().manual_seed(2)) * torch.tensor([0.5, 0.4]) - torch.tensor(
        [0.25, 0.1]
    )
    inside[:10, 1] = -0.2  # brows
    return torch.cat([jaw, inside])


def make_face(height: int = 120, width: int = 150, half: float = 45.0, centre=(75.0, 60.0), angle: float = 0.0) -> Face:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(1, 3, 12, 15, generator=generator)
    picture = F.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)[0].permute(1, 2, 0)
    picture = (picture * 255).round() / 255
    cosine, sine = half * math.cos(angle), half * math.sin(angle)
    matrix = torch.tensor([[cosine, -sine, centre[0]], [sine, cosine, centre[1]]])
    pixels = grid(SIZE) @ matrix[:, :2].T + matrix[:, 2]
    places = pixels * 2 / torch.tensor([width, height]) - 1
    crop = F.grid_sample(picture.permute(2, 0, 1)[None], places[None], padding_mode="border", align_corners=False)
    return Face(crop, face_points(), matrix, picture, (0.0, 0.0, 10.0, 10.0))


def make_stream(
    face: Face, length: int = 5, chunk: int = 2, shift=(0.0, 0.0), blend: float = 1.0, colour=0.5
) -> Stream:
    """Frames in which the whole crop moves by `shift` times the frame's number, in crop units."""

    def chunks(start: int, stop: int):
        for first in range(start, stop, chunk):
            numbers = torch.arange(first, min(first + chunk, stop), dtype=torch.float32)
            move = numbers[:, None] * torch.tensor(shift)
            painted = torch.full((len(numbers), 3, SIZE, SIZE), float(colour))
            share = torch.full((len(numbers), 1, SIZE, SIZE), blend)
            flow = grid(CELLS) - move[:, None, None]
            places = flow.permute(0, 3, 1, 2)
            places = F.interpolate(places, size=SIZE, mode="bilinear").permute(0, 2, 3, 1)
            warped = F.grid_sample(face.crop.expand(len(numbers), -1, -1, -1), places, align_corners=False)
            frames = share * warped + (1 - share) * painted
            yield FrameChunk(first, partial(unchanged, frames), painted, share, flow, face.points + move[:, None])

    return Stream(length, 25.0, face, SIZE, chunks)


def composed(stream: Stream, **options) -> Tensor:
    return torch.cat(list(compose_frames(stream, **options)))


SHAPES = {
    "inside": {},
    "odd size": {"height": 121, "width": 151},
    "beyond the picture": {"centre": (120.0, 100.0)},
    "larger than the picture": {"half": 130.0},
    "small": {"half": 14.0},
    "large": {"height": 1100, "width": 1200, "half": 540.0, "centre": (600.0, 550.0)},
    "turned": {"angle": 0.4},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_a_still_face_gives_back_the_photo(shape):
    face = make_face(**shape)
    frames = composed(make_stream(face, length=2))
    assert frames.shape == (2, *face.picture.shape)
    assert (frames - face.picture).abs().max() < 1e-5


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_pixels_outside_the_region_are_the_photos(shape):
    face = make_face(**shape)
    stream = make_stream(face, length=3, shift=(0.05, 0.03), blend=0.5)
    driving = torch.cat([chunk.points for chunk in stream])
    mask = face_mask(face, driving)
    frames = composed(stream)
    assert mask.shape == face.picture.shape[:2]
    assert torch.equal(frames[:, mask == 0], face.picture[mask == 0].expand(3, -1, -1))
    assert (frames[2] - face.picture)[mask == 1].abs().mean() > 0.02  # and inside, something happens


def test_the_picture_follows_the_flow():
    face = make_face()
    frames = composed(make_stream(face, length=2, shift=(4 / 45, 0.0)))  # four pixels to the right
    mask = face_mask(face, face.points[None]) == 1
    inner = mask & mask.roll(-4, 1) & mask.roll(4, 1)
    assert inner.sum() > 300
    assert (frames[1] - face.picture.roll(4, 1))[inner].abs().max() < 1e-3


def test_chunks_and_pieces_do_not_matter(monkeypatch):
    face = make_face()
    options = {"length": 7, "shift": (0.02, 0.01), "blend": 0.4}
    whole = composed(make_stream(face, chunk=7, **options))
    assert (composed(make_stream(face, chunk=1, **options)) - whole).abs().max() < 1e-5
    assert (composed(make_stream(face, chunk=3, **options), start=2, stop=6) - whole[2:6]).abs().max() < 1e-5
    monkeypatch.setattr("articulate.models_hub.stages.compose.PIECE_BYTES", 1)
    pieces = list(compose_frames(make_stream(face, chunk=7, **options)))
    assert [len(piece) for piece in pieces] == [1] * 7
    assert torch.equal(torch.cat(pieces), whole)


@pytest.mark.parametrize("mode", ["picture", "crop"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_threads_change_nothing(monkeypatch, mode, dtype):
    """Bit by bit, with one piece for a chunk and with many, over a picture and over a video."""
    face, before = make_face(), torch.get_num_threads()
    stream = replace(make_stream(face, length=23, chunk=5, shift=(0.01, 0.004), blend=0.4), chunk=5)
    video = [piece for piece in torch.rand(9, *face.picture.shape).split(4)]
    try:
        for size in (2**20, 1):
            monkeypatch.setattr("articulate.models_hub.stages.compose.PIECE_BYTES", size)
            for below in (None, video):
                made = []
                for threads in (1, 2, 4):
                    torch.set_num_threads(threads)
                    made.append(composed(stream, mode=mode, dtype=dtype, below=below, start=1))
                assert len(made[0]) == 22
                assert torch.equal(made[1], made[0]) and torch.equal(made[2], made[0])
    finally:
        torch.set_num_threads(before)


def test_bytes_are_the_rounded_frames():
    face = make_face()
    stream = make_stream(face, shift=(0.02, 0.01), blend=0.4)
    exact, rounded = composed(stream), composed(stream, dtype=torch.uint8)
    assert rounded.dtype == torch.uint8
    # Pixels in between are rounded, and then what is made of them.
    assert (rounded.float() - exact * 255).abs().max() <= 2.01
    still = composed(make_stream(face, length=1), dtype=torch.uint8)[0]
    assert torch.equal(still, (face.picture * 255).round().to(torch.uint8))


def test_painted_pixels_appear_where_the_blend_asks_for_them():
    face = make_face()
    frames = composed(make_stream(face, length=1, blend=0.0, colour=0.25), colour_match=0.0)
    mask = face_mask(face)
    assert (frames[0][mask == 1] - 0.25).abs().max() < 1e-3


def test_a_haze_of_paint_is_left_away_and_paint_sets_in_gently():
    face = make_face()
    mask = face_mask(face) == 1

    def change(share):
        frame = composed(make_stream(face, length=1, blend=1 - share, colour=0.25), colour_match=0.0)[0]
        wanted = 0.25 - face.picture
        return float(((frame - face.picture) * wanted)[mask].sum() / wanted.square()[mask].sum())

    shares = torch.linspace(0, 0.3, 31).tolist()
    used = [change(share) for share in shares]
    assert used[3] == pytest.approx(0, abs=1e-4)  # 3 %: texture stays whole
    assert used[-1] == pytest.approx(0.3, abs=0.01)  # and 30 % are 30 %
    steps = [after - before for before, after in itertools.pairwise(used)]
    assert min(steps) > -1e-4 and max(steps) < 0.04  # no edge where it begins


def test_pasting_makes_no_frame_of_the_crop():
    def never():
        raise AssertionError("nobody asked for the crop")

    stream = make_stream(make_face())

    def chunks(start: int, stop: int):
        yield from (replace(chunk, whole=never) for chunk in stream.chunks(start, stop))

    assert torch.equal(composed(replace(stream, chunks=chunks)), composed(stream))


def test_the_crop_is_the_networks_frame():
    face = make_face()
    stream = make_stream(face, blend=0.3)
    assert torch.equal(composed(stream, mode="crop"), torch.cat([c.frames for c in stream]).permute(0, 2, 3, 1))


def test_colour_match_takes_on_the_light_of_the_photo():
    face = make_face()
    chunk = next(iter(make_stream(face, length=1, chunk=1)))
    closed = face.points[None].clone()
    closed[:, 60:68, 1] = 0.3  # no inner mouth
    half = torch.full((1, 1, SIZE, SIZE), 0.5)
    offset = colour_offset(face.crop, chunk.flow, face.crop - 0.06, half, closed)
    assert (offset - 0.06).abs().max() < 0.01
    assert colour_offset(face.crop, chunk.flow, face.crop - 0.06, torch.ones_like(half), closed).abs().max() < 1e-6
    assert colour_offset(face.crop, chunk.flow, face.crop * 0, half, closed).abs().max() <= LIMIT


def test_a_dark_mouth_stays_dark():
    face = make_face()
    chunk = next(iter(make_stream(face, length=1, chunk=1)))
    open_mouth = face.points[None].clone()
    angle = torch.arange(8) * math.pi / 4
    open_mouth[0, 60:68] = torch.stack([0.2 * angle.cos(), 0.25 + 0.2 * angle.sin()], dim=1)
    inside = inner_mouth_mask(open_mouth, SIZE)
    painted = face.crop * (1 - inside)
    blend = 1 - 0.8 * inside
    offset = colour_offset(face.crop, chunk.flow, painted, blend, open_mouth)
    assert offset.abs().max() < 0.01


def test_the_region_covers_both_faces_and_ends_inside_the_crop():
    source = face_points()
    driving = torch.stack([source, source + torch.tensor([0.1, 0.0])])
    region = motion_region(source, driving, 64)
    assert region.shape == (2, 1, 64, 64)
    for points, field in zip(driving, region, strict=True):
        for landmarks in (source, points):
            at = F.grid_sample(field[None], landmarks[None, None], align_corners=False)
            assert at.min() > 0.99
    border = torch.cat([region[..., 0, :], region[..., -1, :], region[..., :, 0], region[..., :, -1]])
    assert border.abs().max() == 0


@pytest.mark.parametrize(
    "options", [{"mode": "whole"}, {"feather": 0.0}, {"colour_match": 1.5}, {"dtype": torch.float16}]
)
def test_bad_arguments_are_named(options):
    with pytest.raises(InputError, match=str(next(iter(options.values()))).replace(".", r"\.")):
        composed(make_stream(make_face(), length=1), **options)


def test_a_crop_outside_the_picture_is_refused():
    face = make_face()
    far = replace(face, matrix=face.matrix + torch.tensor([[0, 0, 900.0], [0, 0, 0]]))
    with pytest.raises(InputError, match="outside its picture"):
        composed(make_stream(far, length=1))
