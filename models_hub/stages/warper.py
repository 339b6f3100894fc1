"""Memory-compensated warper: source face and driving landmarks -> stream of warped features."""

from collections.abc import Iterator

import torch

from ..errors import InputError
from ..loading import EMBEDDED, load_network
from ..networks.ibug68 import DENSITY_REGIONS
from ..networks.warper import MemoryWarper
from ..types import Density, Face, Stream, WarpChunk
from .inference import precision, ready

CHUNK = 8
"""Frames whose features are held at once: about 2 MB each."""


def warp_stream(
    face: Face, density: Density, weights: str = EMBEDDED, chunk: int = CHUNK, device: str = "cpu"
) -> Stream:
    """Move the source's features to the driving landmarks, a chunk of frames at a time.

    The source is encoded once, when the first chunk is asked for.

    Args:
        face: source crop and its landmarks.
        density: maps and landmarks of every driven frame, in units of the source crop. Maps by region
            at the warper's size are used as they are; of other kinds only the landmarks are.
        weights: "embedded" or a safetensors file.
        chunk: frames at a time; it changes memory and speed, never the frames.
        device: where the network runs.

    Returns:
        A stream of WarpChunk objects.

    Raises:
        InputError: there are no frames, or the landmarks are not finite.
        WeightsError: from loading.
    """
    if len(density) == 0:
        raise InputError("The landmarks hold 0 frames, so there is nothing to warp; give at least one frame.")
    if not density.landmarks.points.isfinite().all():
        raise InputError("The landmarks hold values that are not finite (NaN or infinity); check what edited them.")
    network = load_network("warper", weights)
    if not isinstance(network, MemoryWarper):
        raise InputError(f"{weights} holds a {type(network).__name__}, not the warper; choose warper weights.")
    place = torch.device(device)
    warper = ready(network, place)
    drawn = tuple(map(tuple, DENSITY_REGIONS)) == density.regions and density.size == warper.dense_motion.size
    encoded = []

    def chunks(start: int, stop: int) -> Iterator[WarpChunk]:
        with torch.inference_mode(), precision(place):
            if not encoded:
                crop = face.crop.to(place).contiguous(memory_format=torch.channels_last)
                encoded.append(warper.encode(crop, face.points[None].to(place)))
        for first in range(start, stop, chunk):
            last = min(first + chunk, stop)
            points = density.landmarks.points[first:last].to(place)
            maps = density.maps(first, last).to(place) if drawn else None
            with torch.inference_mode(), precision(place):
                flow, occlusion, features = warper(encoded[0].repeat(last - first), points, maps)
            yield WarpChunk(first, points, flow, occlusion, features)

    return Stream(len(density), density.landmarks.fps, face, face.crop.shape[-1], chunks)
