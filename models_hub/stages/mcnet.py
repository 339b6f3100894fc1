"""The published MCNet: keypoints of a driving video, warping and painting (seed 01, section 8)."""

import threading
from collections.abc import Iterator
from functools import partial
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..loading import map_anew
from ..networks.acceleration import accelerated
from ..networks.blocks import resize, sample, unchanged
from ..networks.density import cell_centres
from ..networks.mcnet import EncodedPicture, MCNetGenerator, MCNetWarper
from ..networks.mcnet_memory import PIECE
from ..types import Face, FrameChunk, MotionKeypoints, Progress, Stream, WarpChunk, Window
from .ahead import Once
from .inference import Runtime, runtime

SIZE = 256
"""Pixels along each side of the pictures that the published weights know."""

FRAME_BYTES = 200 * 2**20

_quick: WeakKeyDictionary[nn.Module, dict[torch.dtype, nn.Module]] = WeakKeyDictionary()
_placing = threading.Lock()


def placed(network: nn.Module, run: Runtime, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A published network where the runtime wants it.

    On a processor in its accelerated form; in float32, if nothing else is asked for, so that the numbers are the
    published ones.
    """
    if run.device.type != "cpu":
        return run.load(network, FRAME_BYTES)
    with _placing:
        forms = _quick.setdefault(network, {})
        if dtype not in forms:
            forms[dtype] = accelerated(network, dtype, map_anew)
            map_anew(network)
        return forms[dtype]


def source_picture(face: Face) -> Tensor:
    """The source crop (1, 3, 256, 256) as MCNet takes it."""
    return resize(face.crop.float(), (SIZE, SIZE))


def carried_points(flow: Tensor, points: Tensor) -> Tensor:
    """Where the source's landmarks are in the driven frames.

    The flow says where each place of a frame comes from; so a landmark is now where the flow fetches its place.

    Args:
        flow: (n, h, w, 2) crop units of the source.
        points: (68, 2) of the source.

    Returns:
        (n, 68, 2).
    """
    height, width = flow.shape[1:3]
    y, x = cell_centres(height, flow.device), cell_centres(width, flow.device)
    own = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=-1).flatten(0, 1)
    fetched = flow.flatten(1, 2)  # (n, h w, 2)
    # Of places that fetch the same point the one that moves least is meant.
    distance = torch.cdist(points.expand(len(flow), -1, -1), fetched) + 0.01 * torch.cdist(points, own)
    nearest = distance.argmin(dim=2)  # (n, 68)
    chosen = fetched.gather(1, nearest[..., None].expand(-1, -1, 2))
    return own[nearest] + points - chosen


def mcnet_warp_stream(
    network: MCNetWarper,
    face: Face,
    keypoints: MotionKeypoints,
    chunk: int | None = None,
    device: str | None = None,
    dtype: torch.dtype = torch.float32,
    piece: int = PIECE,
) -> Stream:
    """Move the source's features to the driving keypoints, a chunk of frames at a time.

    Args:
        network: MCNet's warper.
        face: the source.
        keypoints: from `stages.motion_keypoints`.
        chunk: frames at a time; by default one, for each frame's features take 30 MB.
        device: where the network runs; None leaves it to the runtime in use.
        dtype: of the convolutions on a processor.
        piece: places of the picture that attend to the memory at once.

    Returns:
        A stream of WarpChunk objects: flow at full size in crop units, occlusion, compensated features coarse to fine.

    Raises:
        InputError: the keypoints are none of MCNet's, of another count, not finite, or there are no frames.
    """
    if not isinstance(keypoints, MotionKeypoints):
        raise InputError(
            f"MCNet's warper was linked to {type(keypoints).__name__}, but it follows keypoints that its own detector "
            "finds in a driving video; link the MCNet Keypoints node, or choose the embedded warper for landmarks."
        )
    if len(keypoints) == 0:
        raise InputError("The keypoints hold 0 frames, so there is nothing to warp; give at least one frame.")
    count = keypoints.source.values.shape[1]
    if count != network.keypoints:
        raise InputError(
            f"The keypoint detector gave {count} keypoints, but this warper was trained with {network.keypoints}; take "
            "both from one checkpoint."
        )
    finite = [part.isfinite().all() for kind in (keypoints.source, keypoints.driving)
              for part in (kind.values, kind.jacobians)]  # fmt: skip
    if not all(finite):
        raise InputError("The keypoints hold values that are not finite; find them again in another driving video.")
    image = source_picture(face)

    def encode() -> EncodedPicture:
        run = runtime() if device is None else Runtime(device)
        with torch.inference_mode():
            return placed(network, run, dtype).encode(image.to(run.device))

    encoded, step = Once(encode), chunk or 1

    def chunks(start: int, stop: int) -> Iterator[WarpChunk]:
        run = runtime() if device is None else Runtime(device)
        place, picture = run.device, encoded()
        source = keypoints.source.to(place)
        for first in range(start, stop, step):
            last = min(first + step, stop)
            warper = placed(network, run, dtype)
            with torch.inference_mode():
                flow, occlusion = warper.flow(picture, source, keypoints.driving.part(first, last).to(place))
                features = warper.compensate(picture, flow, occlusion, source, piece)
                flow = in_crop_units(flow)
                thumbnail = resize(flow.permute(0, 3, 1, 2), (SIZE // 4, SIZE // 4)).permute(0, 2, 3, 1)
                points = carried_points(thumbnail, face.points.to(place))
            yield WarpChunk(first, points, flow, occlusion, features, Window())

    return Stream(len(keypoints), keypoints.fps, face, SIZE, chunks, step, device)


def in_crop_units(flow: Tensor) -> Tensor:
    """MCNet's flow (n, h, w, 2) at full size (n, 256, 256, 2), with -1 and 1 at the outer edges."""
    full = resize(flow.permute(0, 3, 1, 2), (SIZE, SIZE), align_corners=True).permute(0, 2, 3, 1)
    return full * ((SIZE - 1) / SIZE)


def mcnet_generate_stream(
    network: MCNetGenerator,
    warped: Stream,
    progress: Progress | None = None,
    device: str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Stream:
    """Decode MCNet's features and blend with the warped source.

    Args:
        network: MCNet's decoder.
        warped: from `mcnet_warp_stream`.
        progress, device, dtype: as in `generate_stream` and `mcnet_warp_stream`.

    Returns:
        A stream of FrameChunk objects; `frames` are the published network's predictions.

    Raises:
        InputError: while it is read, if the stream comes from another warper.
    """
    face, image = warped.face, source_picture(warped.face)

    def chunks(start: int, stop: int) -> Iterator[FrameChunk]:
        run = runtime() if device is None else Runtime(device)
        for chunk in warped.chunks(start, stop):
            if len(chunk.features) != 4:
                raise InputError(
                    "MCNet's generator was linked to another warper's features; choose mcnet_warper as the warper's "
                    "weights, or the embedded generator here."
                )
            count = len(chunk.flow)
            place = run.device
            with torch.inference_mode():
                generator = placed(network, run, dtype)
                features = tuple(maps.to(place) for maps in chunk.features)
                occlusion = chunk.occlusion.to(place)
                painted = generator.painted(features, occlusion)
                blend = resize(occlusion, (SIZE, SIZE), align_corners=True)
                grid = chunk.flow.to(place) * (SIZE / (SIZE - 1))
                source = image.to(place).expand(count, -1, -1, -1)
                moved = sample(source, grid, "zeros", align_corners=True)
                frames = torch.lerp(painted, moved, blend)
            if progress is not None:
                progress(chunk.start + count - start, stop - start)
            frames, *parts = (part.cpu() for part in (frames, painted, blend, chunk.flow, chunk.points))
            yield FrameChunk(chunk.start, partial(unchanged, frames), *parts)

    return Stream(warped.length, warped.fps, face, SIZE, chunks, warped.chunk, device)
