"""Eyelids: they close where driving landmarks close an open eye, cover it, and leave everything else alone."""

import pytest
import torch
from articulate.models_hub.evaluation.blinks import eye_parts
from articulate.models_hub.networks.ibug68 import MIRROR
from articulate.models_hub.stages.compose import Compositor
from articulate.models_hub.stages.density import build_density
from articulate.models_hub.stages.eyelids import EYES, closing, eyelids
from articulate.models_hub.stages.generator import generate_stream
from articulate.models_hub.stages.warper import warp_stream
from articulate.models_hub.types import Landmarks

PAIRS = ((37, 41), (38, 40), (43, 47), (44, 46))


def closed(points, share):
    """Landmarks (68, 2) whose lids are together by a share."""
    made = points.clone()
    for upper, lower in PAIRS:
        made[upper] = points[upper] + share * (points[lower] - points[upper])
    return made


def frames_of(face, shares, chunk=None):
    """Frame chunks of a still face with its lids together by some shares."""
    points = torch.stack([closed(face.points, share) for share in shares])
    landmarks = Landmarks(points, torch.ones(len(points), dtype=torch.bool))
    return generate_stream(warp_stream(face, build_density(landmarks), chunk=chunk))


def irises(face):
    """(256, 256) bool: within a third of the eye's height of the middle between the lids."""
    return eye_parts(face.points, 256)[0]


def test_lids_follow_landmarks_beyond_their_noise(sample_face):
    points = sample_face.points
    shares = (0.0, 0.15, 0.4, 0.6, 0.9, 1.0)
    shut = closing(points, torch.stack([closed(points, share) for share in shares]))
    assert shut.shape == (6, 2)
    assert (shut[:2] == 0).all() and (shut[-2:] == 1).all()
    assert (shut.diff(dim=0) >= 0).all() and ((shut[2:4] > 0.2) & (shut[2:4] < 0.8)).all()
    asleep = closed(points, 0.9)
    assert (closing(asleep, torch.stack([points, asleep, closed(points, 1.0)])) == 0).all()
    assert eyelids(points, points[None], 64) is None


def test_one_eye_closes_alone(sample_face):
    wink = sample_face.points.clone()
    wink[36:42] = closed(sample_face.points, 1.0)[36:42]
    assert closing(sample_face.points, wink[None])[0].tolist() == [1.0, 0.0]
    lids = eyelids(sample_face.points, wink[None], 256)
    middle = int((sample_face.points[27, 0] + 1) * 128)
    assert lids.cover[..., :middle].amax() == 1 and lids.cover[..., middle:].amax() == 0


def test_lids_come_down_over_the_eye_from_the_skin_above(sample_face):
    lids = eyelids(sample_face.points, closed(sample_face.points, 1.0)[None], 256)
    eye = irises(sample_face)
    assert lids.cover[0, 0][eye].min() == 1
    tops = [sample_face.points[list(upper), 1].mean() for _, upper, _, _ in EYES]
    assert (lids.places[0, ..., 1][eye] < max(tops) + 0.02).all()  # above the lids' edges
    rows = lids.places[0, ..., 1]
    falling = (rows.diff(dim=0) < -1e-4) & (lids.cover[0, 0][1:] == 1) & (lids.cover[0, 0][:-1] == 1)
    assert not falling.any()  # skin never folds


def test_everything_but_the_eyes_is_left_alone(sample_face):
    lids = eyelids(sample_face.points, torch.stack([sample_face.points, closed(sample_face.points, 0.9)]), 256)
    assert lids.which.tolist() == [1]
    maps = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    moved = lids.over(maps)
    assert torch.equal(moved[0], maps[0])
    untouched = (lids.cover[0, 0] == 0).expand(3, -1, -1)
    assert torch.equal(moved[1][untouched], maps[1][untouched])
    assert (~untouched).float().mean() < 0.06


def test_mirrored_faces_close_mirrored_eyes(sample_face):
    def mirrored(points):
        return points[list(MIRROR)] * torch.tensor([-1.0, 1.0])

    points = sample_face.points
    plain = eyelids(points, closed(points, 0.7)[None], 128)
    other = eyelids(mirrored(points), mirrored(closed(points, 0.7))[None], 128)
    torch.testing.assert_close(other.cover.flip(-1), plain.cover, atol=1e-3, rtol=0)
    picture = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(other.over(picture.flip(-1)).flip(-1), plain.over(picture), atol=2e-3, rtol=0)


@pytest.mark.parametrize("whole", [False, True])
def test_a_blink_covers_the_eyes_and_leaves_the_frames_around_it(sample_face, whole):
    blink, still = (frames_of(sample_face, shares) for shares in ((0.0, 0.5, 1.0), (0.0, 0.0, 0.0)))
    if whole:  # the picture at its own resolution
        frames, usual = (
            torch.cat([piece for chunk in stream.chunks(0, 3) for piece in Compositor(sample_face).pieces(chunk)])
            for stream in (blink, still)
        )
        frames, usual = (value.float() / (255 if value.dtype == torch.uint8 else 1) for value in (frames, usual))
        height, width = frames.shape[1:3]
        x, y = torch.meshgrid(torch.arange(width) + 0.5, torch.arange(height) + 0.5, indexing="xy")
        matrix = sample_face.matrix
        crop = (torch.stack([x, y], -1) - matrix[:, 2]) @ torch.linalg.inv(matrix[:, :2]).T
        index = ((crop + 1) * 128).long()
        inside = ((index >= 0) & (index < 256)).all(-1)
        eye = irises(sample_face)[index[..., 1].clamp(0, 255), index[..., 0].clamp(0, 255)] & inside
        light = [frame[eye].mean() for frame in frames]
    else:
        frames, usual = (torch.cat([chunk.frames for chunk in stream.chunks(0, 3)]) for stream in (blink, still))
        eye = irises(sample_face)
        light = [frame[:, eye].mean() for frame in frames]
    torch.testing.assert_close(frames[0], usual[0], atol=1e-6, rtol=0)
    assert light[0] < light[1] < light[2] and light[2] > light[0] + 0.15  # skin instead of iris


def test_a_blink_does_not_depend_on_chunks(sample_face):
    shares = (0.0, 0.5, 1.0, 0.5, 0.0)
    made = []
    for chunk in (1, 5):
        stream = frames_of(sample_face, shares, chunk)
        composer = Compositor(sample_face)
        made.append(torch.cat([piece for part in stream.chunks(0, 5) for piece in composer.pieces(part)]).float())
    assert (made[0] - made[1]).abs().max() <= 2e-2 * made[0].max()
