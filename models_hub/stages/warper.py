"""Memory-compensated warper: source face and driving landmarks -> stream of warped features."""

from collections.abc import Iterator

import torch

from ..errors import InputError
from ..loading import EMBEDDED, load_network
from ..networks.ibug68 import DENSITY_REGIONS, LIPS, RIGID
from ..networks.mcnet import MCNetWarper
from ..networks.warper import EncodedSource, MemoryWarper
from ..types import Density, Face, MotionKeypoints, Stream, WarpChunk, Window
from .ahead import Once
from .inference import Runtime, precision, runtime
from .mcnet import mcnet_warp_stream
from .personal import for_face

CHUNK, GPU_CHUNK = 6, 32
"""Frames whose features are held at once, about 4 MB each; on a processor every worker holds as many (see `ahead`)."""

FRAME_BYTES = 48 * 2**20
"""Working memory of one frame on the device, generously, all layers' activations included."""

STILL_HEAD = 0.12  # farther than this (crop units) a moving head uncovers what is worth painting
PAINTED_POINTS = (*LIPS, 7, 8, 9)  # lips, chin
WINDOW_MARGIN = 0.1  # around these landmarks, in crop units
WINDOW_CELLS = 32  # windows begin and end on cells of the coarsest features
SMALLEST_WINDOW = 1 / 8  # of the crop; where landmarks leave the crop, windows become smaller


def painted_window(face: Face, points: torch.Tensor) -> Window:
    """The part of the frame that needs painting while the landmarks (T, 68, 2) go by.

    A head that about keeps its place needs paint between the lips and a little around them; the rest is the warped
    source, which is as near to real footage and sharper, eyes included (their lids are moved by `eyelids`). A head that
    moves far uncovers what no source showed: then it is the whole frame.
    """
    moved = (points[:, list(RIGID)] - face.points[list(RIGID)]).norm(dim=-1).amax()
    if moved > STILL_HEAD:
        return Window()
    every = torch.cat([points, face.points[None]])[:, list(PAINTED_POINTS)].flatten(0, 1)
    low = ((every.amin(0) - WINDOW_MARGIN + 1) / 2 * WINDOW_CELLS).floor().clamp(0, WINDOW_CELLS) / WINDOW_CELLS
    high = ((every.amax(0) + WINDOW_MARGIN + 1) / 2 * WINDOW_CELLS).ceil().clamp(0, WINDOW_CELLS) / WINDOW_CELLS
    if (high - low).amin() < SMALLEST_WINDOW:
        return Window()
    return Window(float(low[1]), float(low[0]), float(high[1]), float(high[0]))


def warp_stream(
    face: Face,
    density: Density | MotionKeypoints,
    weights: str = EMBEDDED,
    chunk: int | None = None,
    window: Window | None = None,
    device: str | None = None,
) -> Stream:
    """Move the source's features to the driving landmarks, a chunk of frames at a time.

    The source is encoded once, when the first chunk is asked for.

    Args:
        face: source crop and its landmarks.
        density: maps and landmarks of every driven frame, in units of the source crop. Maps by region
            at the warper's size are used as they are; of other kinds only the landmarks are. MCNet's own warper is
            driven by its learned keypoints instead (ART_KEYPOINTS).
        weights: "embedded" or a safetensors file.
        chunk: frames at a time (6, on a GPU 32; 1 with MCNet's own warper); changes memory and speed, never the frames.
        window: part of the frame to paint; by default what `painted_window` says.
        device: where the network runs; None leaves it to the runtime in use.

    Returns:
        A stream of WarpChunk objects.

    Raises:
        InputError: there are no frames, or the landmarks are not finite.
        WeightsError: from loading.
    """
    network = load_network("warper", weights)
    if isinstance(network, MCNetWarper):
        return mcnet_warp_stream(network, face, density, chunk, device)
    if isinstance(density, MotionKeypoints):
        raise InputError(
            f"MCNet's keypoints cannot drive a {type(network).__name__}, which follows landmarks; choose MCNet's "
            "warper weights (mcnet_warper), or link density maps."
        )
    place = runtime().device if device is None else torch.device(device)
    chunk = chunk or (CHUNK if place.type == "cpu" else GPU_CHUNK)
    if len(density) == 0:
        raise InputError("The landmarks hold 0 frames, so there is nothing to warp; give at least one frame.")
    if not density.landmarks.points.isfinite().all():
        raise InputError("The landmarks hold values that are not finite (NaN or infinity); check what edited them.")
    if not isinstance(network, MemoryWarper):
        raise InputError(f"{weights} holds a {type(network).__name__}, not the warper; choose warper weights.")
    network = for_face(network, face)
    drawn = tuple(map(tuple, DENSITY_REGIONS)) == density.regions and density.size == network.dense_motion.size
    part = painted_window(face, density.landmarks.points) if window is None else window

    def encode() -> EncodedSource:
        run = runtime() if device is None else Runtime(device)
        place, warper = run.device, run.load(network, chunk * FRAME_BYTES)
        with torch.inference_mode(), precision(place):
            crop = face.crop.to(place).contiguous(memory_format=torch.channels_last)
            return warper.encode(crop, face.points[None].to(place))

    encoded = Once(encode)

    def chunks(start: int, stop: int) -> Iterator[WarpChunk]:
        run = runtime() if device is None else Runtime(device)
        place, known = run.device, encoded()
        for first in range(start, stop, chunk):
            last = min(first + chunk, stop)
            points = density.landmarks.points[first:last].to(place)
            maps = density.maps(first, last).to(place) if drawn else None
            warper = run.load(network, chunk * FRAME_BYTES)
            with torch.inference_mode(), precision(place):
                source = known.repeat(last - first)
                flow, occlusion = warper.flow(source, points, maps)
                features = warper.compensate(source, flow, occlusion, part.cut)
            yield WarpChunk(first, points, flow, occlusion, features, part)

    return Stream(len(density), density.landmarks.fps, face, face.crop.shape[-1], chunks, chunk, device)
