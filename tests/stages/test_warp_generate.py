"""The picture streams: lengths, chunks, windows, memory, identity."""

import pytest
import torch
from articulate.models_hub import loading
from articulate.models_hub.errors import InputError, WeightsError
from articulate.models_hub.networks.frame_critic import FrameCritic
from articulate.models_hub.networks.ibug68 import DENSITY_REGIONS, LIPS
from articulate.models_hub.networks.warper import MemoryWarper
from articulate.models_hub.stages.compose import compose_frames
from articulate.models_hub.stages.density import build_density
from articulate.models_hub.stages.generator import edge_ramp, generate_stream
from articulate.models_hub.stages.inference import Runtime, using_runtime
from articulate.models_hub.stages.warper import painted_window, warp_stream
from articulate.models_hub.types import Density, Face, Landmarks, Window

REGIONS = tuple(map(tuple, DENSITY_REGIONS))


def oval_face() -> torch.Tensor:
    """68 points spread over the part of the crop where a face lies."""
    points = torch.rand(68, 2, generator=torch.Generator().manual_seed(2)) * 0.9 - 0.45
    return points + torch.tensor([0.0, 0.2])


@pytest.fixture(scope="module")
def face():
    crop = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    crop = torch.nn.functional.interpolate(crop, size=256, mode="bicubic").clamp(0, 1)
    return Face(crop, oval_face(), torch.eye(2, 3), crop[0].permute(1, 2, 0), (60.0, 60.0, 120.0, 120.0))


def density(face, frames=5, shift=0.0):
    points = face.points.repeat(frames, 1, 1)
    points[:, list(LIPS), 1] += 0.02 * torch.arange(frames)[:, None] / frames
    return Density(Landmarks(points + shift, torch.ones(frames, dtype=torch.bool)), REGIONS)


def frames(stream):
    return torch.cat([chunk.frames for chunk in stream])


@pytest.mark.parametrize("count", [1, 3, 9])
def test_as_many_frames_as_landmarks(face, count):
    stream = generate_stream(warp_stream(face, density(face, count), chunk=4))
    assert len(stream) == count
    made = frames(stream)
    assert made.shape == (count, 3, 256, 256)
    assert made.min() >= 0 and made.max() <= 1


def test_chunk_size_changes_nothing(face):
    one, many = (frames(generate_stream(warp_stream(face, density(face), chunk=size))) for size in (1, 4))
    assert (one - many).abs().max() < 0.02  # bfloat16 rounds differently for another batch
    assert (one - many).abs().mean() < 5e-4


def test_a_part_of_the_stream_is_the_same_as_in_the_whole(face):
    stream = generate_stream(warp_stream(face, density(face, 6), chunk=2))
    part = torch.cat([chunk.frames for chunk in stream.chunks(2, 6)])
    assert (part - frames(stream)[2:]).abs().max() < 0.02
    assert [chunk.start for chunk in stream.chunks(2, 6)] == [2, 4]


def test_threads_change_nothing(face):
    """Bit by bit, in the precision of this machine and in float32."""
    for run in (Runtime(), Runtime(dtype=torch.float32)):
        with using_runtime(run), torch.inference_mode():
            made = [torch.cat(list(composed(face, threads))) for threads in (1, 2)]
        assert torch.equal(*made) and len(made[0]) == 20


def composed(face, threads):
    """Frames of a new stream, with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield from compose_frames(generate_stream(warp_stream(face, density(face, 20))), dtype=torch.uint8)
    finally:
        torch.set_num_threads(before)


def test_the_source_is_encoded_once(face, monkeypatch):
    encoded, encode = [], MemoryWarper.encode
    monkeypatch.setattr(MemoryWarper, "encode", lambda *given: encoded.append(1) or encode(*given))
    stream = generate_stream(warp_stream(face, density(face, 6), chunk=2))
    for start in (0, 2):
        assert len(list(stream.chunks(start, 6))) == (6 - start) // 2
    assert len(encoded) == 1


def test_no_motion_gives_back_the_source(face):
    still = Density(Landmarks(face.points[None], torch.ones(1, dtype=torch.bool)), REGIONS)
    [chunk] = generate_stream(warp_stream(face, still))
    grid = torch.nn.functional.affine_grid(torch.eye(2, 3)[None], [1, 3, 64, 64], align_corners=False)
    assert (chunk.flow - grid).abs().mean() < 0.02
    assert (chunk.frames - face.crop).abs().mean() < 0.06


def test_no_motion_gives_back_the_real_portrait(sample_face):
    still = Density(Landmarks(sample_face.points[None], torch.ones(1, dtype=torch.bool)), REGIONS)
    [chunk] = generate_stream(warp_stream(sample_face, still))
    grid = torch.nn.functional.affine_grid(torch.eye(2, 3)[None], [1, 3, 64, 64], align_corners=False)
    assert (chunk.flow - grid).abs().mean() < 0.003  # under half a pixel of the crop
    assert (chunk.frames - sample_face.crop).abs().mean() < 0.01


@pytest.mark.parametrize("mode", ["point", "sum"])
def test_maps_that_the_warper_has_not_learned_leave_it_to_the_landmarks(face, mode):
    landmarks = density(face).landmarks
    learned, other = (
        torch.cat([chunk.flow for chunk in warp_stream(face, build_density(landmarks, name, sigma))])
        for name, sigma in (("region", 1.5), (mode, 4.0))
    )
    assert torch.equal(learned, other)


def test_a_still_head_is_painted_only_around_the_face(face):
    driving = density(face)
    window = painted_window(face, driving.landmarks.points)
    assert 0 < window.top < window.bottom <= 1 and 0 < window.left < window.right < 1
    [chunk] = generate_stream(warp_stream(face, density(face, 2)))
    outside = torch.ones(256, 256, dtype=torch.bool)
    window.cut(outside[None, None])[:] = False
    assert (chunk.blend[:, 0, outside] == 1).all()
    assert torch.equal(chunk.painted[..., outside], chunk.frames[..., outside])
    assert torch.equal(window.cut(chunk.painted), window.cut(chunk.generated))
    assert painted_window(face, density(face, 5, 0.08).landmarks.points) != Window()
    assert painted_window(face, density(face, 5, 0.2).landmarks.points) == Window()


def test_nothing_that_is_seen_lies_outside_of_the_window(sample_face):
    """A speaking face that moves as far as a window allows, painted in it and as a whole."""
    points = sample_face.points.repeat(4, 1, 1)
    points[:, 55:60, 1] += 0.04 * torch.arange(4)[:, None]
    points[:, 65:68, 1] += 0.04 * torch.arange(4)[:, None]
    points[:, :, 0] += torch.tensor([-0.08, -0.04, 0.04, 0.08])[:, None]
    driving = build_density(Landmarks(points, torch.ones(4, dtype=torch.bool)))
    assert painted_window(sample_face, points) != Window()
    whole, part = (
        torch.cat(list(compose_frames(generate_stream(warp_stream(sample_face, driving, window=window)))))
        for window in (Window(), None)
    )
    assert (whole - sample_face.picture).abs().max() > 0.2
    difference = (whole - part).abs().amax(-1).flatten()
    assert difference.quantile(0.99) < 1 / 255 and difference.max() < 0.1


def test_the_windows_edge_is_invisible():
    ramp = edge_ramp(Window(0.25, 0.0, 0.75, 1.0), 256)
    assert ramp.shape[-2:] == (128, 256)
    assert ramp[0, 0, 0].max() < 0.05 and ramp[0, 0, 64].min() == 1
    assert edge_ramp(Window(), 256).min() == 1


def test_progress_can_cancel(face):
    class Cancelled(Exception):
        pass

    def progress(done, total):
        seen.append((done, total))
        if done >= 2:
            raise Cancelled

    seen = []
    with pytest.raises(Cancelled):
        frames(generate_stream(warp_stream(face, density(face, 6), chunk=2), progress=progress))
    assert seen == [(2, 6)]


def test_bad_landmarks_are_named(face):
    with pytest.raises(InputError, match="0 frames"):
        warp_stream(face, density(face, 0))
    broken = density(face)
    broken.landmarks.points[2, 3] = float("nan")
    with pytest.raises(InputError, match="not finite"):
        warp_stream(face, broken)


def test_weights_of_another_network_are_refused(face, tmp_path):
    path = tmp_path / "critic.safetensors"
    loading.save_network(FrameCritic(), path, {})
    with pytest.raises((InputError, WeightsError), match="FrameCritic"):
        warp_stream(face, density(face), weights=str(path))
