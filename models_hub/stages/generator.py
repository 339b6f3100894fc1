"""Frame generator: warped features -> frames, blended with the warped source."""

from collections.abc import Iterator
from functools import lru_cache, partial

import torch
from torch import Tensor

from ..errors import InputError
from ..loading import EMBEDDED, load_network
from ..networks.blocks import warp
from ..networks.generator import FrameGenerator
from ..networks.mcnet import MCNetGenerator
from ..networks.mouth_painter import onto_frame
from ..types import FrameChunk, Progress, Stream, Window
from .ahead import Once
from .colour import around_mouths, hue_range, within_hues
from .eyelids import Eyelids, eyelids
from .inference import Runtime, precision, runtime
from .lips import Lips, lips
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


@torch.inference_mode()
def _blended(
    source: Tensor,
    flow: Tensor,
    window: Window,
    shaded: Tensor,
    ramp: Tensor,
    generated: Tensor,
    blend: Tensor,
    opened: Lips | None,
    lids: Eyelids | None,
) -> Tensor:
    """Frames (n, 3, S, S) on the CPU: the source (n, 3, S, S) warped, shaded in the window, and painted over."""
    image = warp(source, flow, "bicubic").clamp_(0, 1)
    change = None if opened is None else opened.change(image, source, flow)
    window.cut(image).lerp_(shaded, ramp)
    if opened is not None:
        image[:, :, opened.rows, opened.columns].add_(change).clamp_(0, 1)
    frames = (blend * image + (1 - blend) * generated).cpu()
    return frames if lids is None else lids.over(frames)


def hued(mouth: Tensor, hues: tuple[Tensor, Tensor]) -> Tensor:
    """Windows (n, 4, h, w) of colours times their weight, and the weight, with no hue outside of a range."""
    colours, weight = mouth.split((3, 1), dim=1)
    colours = within_hues(colours / weight.clamp(min=1e-3), hues, weight.new_ones(()))
    return torch.cat([colours * weight, weight], dim=1)


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
                source = crop.expand(count, -1, -1, -1)
                hints = generator.hints(source_points[None], chunk.points, chunk.flow, warped.size)
                light = None if colours is None else colours.expand(count, -1, -1)
                mouth = generator.paint_mouth(source, source_points[None], chunk.points, chunk.flow, light)
                cut, size = chunk.window.cut, warped.size
                moved = warp(source, chunk.flow, "bicubic", cut).clamp_(0, 1)
                with precision(place):
                    given = chunk.features, tuple(map(cut, hints)), moved
                    laid = None if mouth is None else cut(onto_frame(mouth, chunk.points, size))
                    painted, shaded, trust = generator(*given, mouth=laid)
                ramp = edge_ramp(chunk.window, size).to(place)
                generated, blend = moved.new_zeros(count, 3, size, size), moved.new_ones(count, 1, size, size)
                cut(generated).copy_(within_hues(painted, hues, cut(around_mouths(chunk.points, size))))
                cut(blend).copy_(1 - (1 - trust) * ramp)
                opened = lips(source_points, chunk.points, chunk.flow, size)
                mouths = None if mouth is None or not generator.sizes["detail"] else hued(mouth, hues).cpu()
            if progress is not None:
                progress(chunk.start + count - start, stop - start)
            *others, points = (part.cpu() for part in (generated, blend, chunk.flow, chunk.points))
            lids = eyelids(face.points, points, size)
            whole = partial(_blended, source, chunk.flow, chunk.window, shaded, ramp, generated, blend, opened, lids)
            moved_lips = None if opened is None else opened.cpu()
            yield FrameChunk(chunk.start, whole, *others, points, lids, moved_lips, chunk.window, mouths)

    return Stream(warped.length, warped.fps, face, warped.size, chunks, warped.chunk, device)
