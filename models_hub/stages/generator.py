"""Frame generator: warped features -> frames, blended with the warped source."""

from collections.abc import Iterator

import torch

from ..errors import InputError
from ..loading import EMBEDDED, load_network
from ..networks.blocks import warp
from ..networks.generator import FrameGenerator
from ..types import FrameChunk, Progress, Stream
from .inference import precision, ready


def generate_stream(
    warped: Stream, weights: str = EMBEDDED, progress: Progress | None = None, device: str = "cpu"
) -> Stream:
    """Paint what no warp of the source can explain, and blend it in.

    Args:
        warped: stream of WarpChunk objects, from `warp_stream`.
        weights: "embedded" or a safetensors file.
        progress: told after every chunk while the stream is read; may raise to cancel.
        device: where the network runs; the chunks that come out are on the CPU.

    Returns:
        A stream of FrameChunk objects.

    Raises:
        InputError: the weights are of another network.
        WeightsError: from loading.
    """
    network = load_network("generator", weights)
    if not isinstance(network, FrameGenerator):
        raise InputError(f"{weights} holds a {type(network).__name__}, not the generator; choose generator weights.")
    place = torch.device(device)
    generator = ready(network, place)
    face = warped.face

    def chunks(start: int, stop: int) -> Iterator[FrameChunk]:
        crop, source_points = face.crop.to(place), face.points.to(place)
        for chunk in warped.chunks(start, stop):
            count = len(chunk.points)
            with torch.inference_mode():
                hints = generator.hints(source_points.expand(count, -1, -1), chunk.points, warped.size)
                image = warp(crop.expand(count, -1, -1, -1), chunk.flow)
                with precision(place):
                    painted, blend = generator(chunk.features, hints, image)
                frames = blend * image + (1 - blend) * painted
            if progress is not None:
                progress(chunk.start + count - start, stop - start)
            parts = (frames, painted, blend, chunk.flow, chunk.points)
            yield FrameChunk(chunk.start, *(part.cpu() for part in parts))

    return Stream(warped.length, warped.fps, face, warped.size, chunks)
