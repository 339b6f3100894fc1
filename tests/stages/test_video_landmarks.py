"""Landmarks of a driving video, carried over to a source face."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from articulate.models_hub.errors import FaceNotFoundError, InputError
from articulate.models_hub.stages.face import locate_face
from articulate.models_hub.stages.video_landmarks import fill, landmarks_from_video, similarity, smooth
from PIL import Image

PORTRAIT = Path(__file__).parents[2] / "samples" / "portrait.jpg"


@pytest.fixture(scope="module")
def portrait():
    return torch.from_numpy(np.asarray(Image.open(PORTRAIT).convert("RGB")).copy()).float() / 255


@pytest.fixture(scope="module")
def face(portrait):
    return locate_face(portrait)


@pytest.fixture(scope="module")
def frames(portrait):
    """Six frames in which the head moves to the right, two pixels each."""
    return [portrait[20:276, 120 - 2 * step : 376 - 2 * step] for step in range(6)]


@pytest.mark.parametrize("mode", ["relative", "absolute"])
def test_every_frame_gives_landmarks_of_the_source(frames, face, mode):
    landmarks = landmarks_from_video(iter(frames), 24.0, face, mode=mode)
    assert landmarks.points.shape == (6, 68, 2)
    assert landmarks.visible.all()
    assert landmarks.fps == 24.0
    assert (landmarks.points[0] - face.points).norm(dim=-1).mean() < 0.03, "the driver is the source itself"
    moved = (landmarks.points[-1] - landmarks.points[0]).mean(dim=0) * face.matrix[0, 0]
    assert moved.tolist() == pytest.approx([10, 0], abs=1.5)


def test_relative_starts_at_the_source(frames, face):
    landmarks = landmarks_from_video(frames, 25.0, face)
    torch.testing.assert_close(landmarks.points[0], face.points, atol=1e-5, rtol=0)
    later = landmarks_from_video(frames, 25.0, face, neutral_frame=3)
    torch.testing.assert_close(later.points[3], face.points, atol=1e-5, rtol=0)


def test_size_of_the_driver_does_not_matter(frames, face):
    large = [F.interpolate(f.movedim(-1, 0)[None], scale_factor=2.0, mode="bilinear")[0].movedim(0, -1) for f in frames]
    first, second = (landmarks_from_video(video, 25.0, face) for video in (frames, large))
    assert (first.points - second.points).norm(dim=-1).mean() < 0.02


def test_chunks_and_single_frames_are_the_same(frames, face):
    chunks = [torch.stack(frames[:4]), torch.stack(frames[4:])]
    single, chunked = (landmarks_from_video(video, 25.0, face) for video in (frames, chunks))
    assert torch.equal(single.points, chunked.points)


def test_blank_frames_are_marked_and_interpolated(frames, face):
    blank = torch.full_like(frames[0], 0.3)
    video = [blank, frames[0], frames[1], blank, blank, frames[4], blank]
    landmarks = landmarks_from_video(video, 25.0, face)
    assert landmarks.visible.tolist() == [False, True, True, False, False, True, False]
    assert landmarks.points.isfinite().all()
    place = landmarks.points.mean(dim=1)[:, 0]
    assert place[2] < place[3] < place[4] < place[5]


def test_no_frame_is_kept(portrait, face):
    alive = []

    def video():
        import weakref

        for _ in range(4):
            frame = portrait.clone()
            alive.append(weakref.ref(frame))
            yield frame
            del frame
            assert sum(reference() is not None for reference in alive) <= 2

    assert len(landmarks_from_video(video(), 25.0, face)) == 4


def test_progress_may_cancel(frames, face):
    class CancelledError(Exception):
        pass

    def progress(done, total):
        assert total == 6
        if done == 2:
            raise CancelledError

    with pytest.raises(CancelledError):
        landmarks_from_video(frames, 25.0, face, progress=progress)


def test_gaps_are_straight_lines_and_ends_are_held():
    a, b = torch.zeros(68, 2), torch.ones(68, 2)
    filled = fill([None, a, None, None, None, b, None, None])
    assert filled[:, 0, 0].tolist() == [0, 0, 0.25, 0.5, 0.75, 1, 1, 1]


def test_smoothing_keeps_what_stands_still_and_the_mean():
    still = torch.rand(68, 2, generator=torch.Generator().manual_seed(0)).expand(5, 68, 2)
    torch.testing.assert_close(smooth(still), still)
    impulse = torch.zeros(9, 68, 2)
    impulse[4] = 1
    assert smooth(impulse)[:, 0, 0].sum() == pytest.approx(1)


def test_similarity_is_recovered():
    source = torch.rand(10, 2, generator=torch.Generator().manual_seed(1))
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]]) * 1.7
    found, shift = similarity(source, source @ turn.T + torch.tensor([3.0, -2.0]))
    torch.testing.assert_close(found, turn)
    torch.testing.assert_close(shift, torch.tensor([3.0, -2.0]))


def test_unusable_videos_are_named(frames, face):
    with pytest.raises(InputError, match="no frames"):
        landmarks_from_video([], 25.0, face)
    with pytest.raises(FaceNotFoundError, match="None of the 3 frames"):
        landmarks_from_video([torch.zeros(128, 128, 3)] * 3, 25.0, face)
    with pytest.raises(InputError, match="'mirror'"):
        landmarks_from_video(frames, 25.0, face, mode="mirror")
    with pytest.raises(InputError, match="neutral frame 9"):
        landmarks_from_video(frames, 25.0, face, neutral_frame=9)
    with pytest.raises(InputError, match="above zero"):
        landmarks_from_video(frames, 0.0, face)
    with pytest.raises(InputError, match="expected are frames"):
        landmarks_from_video([torch.zeros(128, 128)], 25.0, face)
