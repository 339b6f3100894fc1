"""Frame generator: warped features -> frames, blended with the warped source."""

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

from ..errors import InputError
from ..loading import EMBEDDED, load_network
from ..networks.blocks import warp
from ..networks.generator import FrameGenerator
from ..networks.mcnet import MCNetGenerator
from ..types import FrameChunk, Progress, Stream, Window
from .ahead import Once
from .colour import hue_range, within_hues
from .eyelids import eyelids
from .inference import Runtime, precision, runtime
from .lips import lips
from .mcnet import mcnet_generate_stream
from .personal import for_face

FRAME_BYTES = 48 * 2**20  # working memory of one frame on the device, generously
RAMP = 16  # pixels over which a painted window gives way to the warped source


@lru_cache(maxsize=8)
def edge_ramp(window: Window, size: int) -> Tensor:
    """1 inside a window, falling to 0 at those edges that are not the frame's own; (1, 1, h, w)."""
    whole = torch.ones(1, 1, size, size)
    inside = window.cut(whole)

    def ramp(count: int, first: bool, last: bool) -> Tensor:
        place = torch.arange(count) + 0.5
        rise = (place / RAMP).clamp(max=1) if first else torch.ones(count)
        fall = ((count - place) / RAMP).clamp(max=1) if last else torch.ones(count)
        return rise * fall

    rows = ramp(inside.shape[-2], window.top > 0, window.bottom < 1)
    columns = ramp(inside.shape[-1], window.left > 0, window.right < 1)
    return rows[:, None] * columns * inside


def generate_stream(
    warped: Stream, weights: str = EMBEDDED, progress: Progress | None = None, device: str | None = None
) -> Stream:
    """Paint what no warp of the source can explain, and blend it in.

    Args:
        warped: stream of WarpChunk objects, from `warp_stream`.
        weights: "embedded" or a safetensors file.
        progress: told after every chunk while the stream is read; may raise to cancel.
        device: where the network runs; None leaves it to the runtime in use. The chunks that come out are on the CPU.

    Returns:
        A stream of FrameChunk objects.

    Raises:
        InputError: the weights are of another network.
        WeightsError: from loading.
    """
    network = load_network("generator", weights)
    if isinstance(network, MCNetGenerator):
        return mcnet_generate_stream(network, warped, progress, device)
    if not isinstance(network, FrameGenerator):
        raise InputError(f"{weights} holds a {type(network).__name__}, not the generator; choose generator weights.")
    face = warped.face
    network = for_face(network, face)
    hue_bounds = Once(lambda: hue_range(face.crop, face.points))
    shades = Once(lambda: network.light(face.crop, face.points[None]))

    def chunks(start: int, stop: int) -> Iterator[FrameChunk]:
        run = runtime() if device is None else Runtime(device)
        place = run.device
        crop, source_points = face.crop.to(place), face.points.to(place)
        hues = tuple(bound.to(place) for bound in hue_bounds())
        colours = shades()
        colours = None if colours is None else colours.to(place)
        for chunk in warped.chunks(start, stop):
            count = len(chunk.points)
            generator = run.load(network, count * FRAME_BYTES)
            with torch.inference_mode():
                source, known = crop.expand(count, -1, -1, -1), source_points.expand(count, -1, -1)
                hints = generator.hints(known, chunk.points, chunk.flow, warped.size)
                light = None if colours is None else colours.expand(count, -1, -1)
                mouth = generator.paint_mouth(source, known, chunk.points, chunk.flow, hints, light)
                image = warp(source, chunk.flow, "bicubic").clamp_(0, 1)
                opened = lips(source_points, chunk.points, chunk.flow, warped.size)
                change = None if opened is None else opened.change(image, source, chunk.flow)
                cut = chunk.window.cut
                with precision(place):
                    given = chunk.features, tuple(map(cut, hints)), cut(image)
                    part, shaded, trust = generator(*given, mouth=None if mouth is None else cut(mouth))
                painted, blend = image.clone(), torch.ones_like(image[:, :1])
                cut(painted).copy_(part)
                painted = within_hues(painted, hues, chunk.points)
                ramp = edge_ramp(chunk.window, warped.size).to(place)
                cut(blend).copy_(1 - (1 - trust) * ramp)
                cut(image).lerp_(shaded, ramp)
                if opened is not None:
                    image[:, :, opened.rows, opened.columns].add_(change).clamp_(0, 1)
                frames = blend * image + (1 - blend) * painted
            if progress is not None:
                progress(chunk.start + count - start, stop - start)
            parts = (frames, painted, blend, chunk.flow, chunk.points)
            frames, *others, points = (part.cpu() for part in parts)
            lids = eyelids(face.points, points, warped.size)
            frames = frames if lids is None else lids.over(frames)
            yield FrameChunk(chunk.start, frames, *others, points, lids, None if opened is None else opened.cpu())

    return Stream(warped.length, warped.fps, face, warped.size, chunks, warped.chunk, device)
