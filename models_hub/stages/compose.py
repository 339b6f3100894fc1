"""Compose: the moving face back into the full picture, at the picture's own resolution.

The network works on 256 pixels, but it answers with a flow and a blend, and both can be resampled to
any size. So the photo itself is moved, one resampling and no detour over the crop, from a copy of twice its size
(see resampling.py): skin stays about as sharp as it was. Only what the flow cannot explain, mostly the inside of
the mouth, is painted from the network.
Towards the edge of the region the motion fades to none, instead of mixing two displaced pictures:
there is no seam and no ghost, and outside the region every pixel is the photo's, bit by bit.
"""

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from ..networks.density import cell_grid
from ..types import Face, FrameChunk, Stream
from .ahead import made_ahead, worker_count
from .colour import colour_offset
from .inference import runtime
from .mouths import FineMouths
from .region import DEFAULT_FEATHER, Box, motion_region, onto_picture, picture_box, smooth_step
from .resampling import MOST_PIXELS, doubled

Mode = Literal["picture", "crop"]
MODES = ("picture", "crop")
PIECE_BYTES = 48 * 2**20  # frames are handed on in pieces of about this size
SMALL = 0.6  # of the network's size; a crop with fewer pixels in the picture asks for a filter
INVISIBLE = 1 / 1024  # a share of painted pixels below this is not worth painting
HAZE = (0.04, 0.15)
"""Shares of painted pixels between which painting sets in. The network leaves a few percent everywhere on the skin: no
colour that anybody sees, but at the picture's own resolution a veil over its texture."""


def compose_frames(
    stream: Stream,
    mode: Mode = "picture",
    feather: float = DEFAULT_FEATHER,
    colour_match: float = 1.0,
    start: int = 0,
    stop: int | None = None,
    dtype: torch.dtype = torch.float32,
    below: Iterable[Tensor] | None = None,
    alone: bool = True,
    watched: Callable[[Iterator[Tensor]], Iterator[Tensor]] | None = None,
) -> Iterator[Tensor]:
    """Finished frames, a few at a time; the same frames whatever the stream's chunks are.

    Some are made ahead by other threads while those before are used (see `made_ahead`). Close this generator to
    stop them early.

    Args:
        stream: of FrameChunk objects (ART_FRAMES).
        mode: "picture" pastes into the full picture, "crop" gives the network's square frames.
        feather: width of the fade as a share of the crop's side, 0.01 to 0.5.
        colour_match: share of the colour correction of painted pixels, 0 to 1.
        start, stop: the frames to make, as in a slice.
        dtype: torch.float32 in 0..1, or torch.uint8 in 0..255 for encoders (less memory, faster).
        below: the frames of another video of this picture, from frame `start` on, in chunks (n, H, W, 3) in 0..1 of
            any length: the face is moved in them instead of in the picture, so that several faces of a picture can
            speak. When they end, the last one stays. Used in mode "picture". Only one thread makes frames ahead then.
        alone: whether nobody else runs networks meanwhile (see `worker_count`).
        watched: given the frames of a chunk and to give them back, in the thread that makes them; for measuring.

    Yields:
        (n, H, W, 3) on the device of the picture.

    Raises:
        InputError: an argument is outside its range.
    """
    _check(mode, feather, colour_match, dtype)
    stop = len(stream) if stop is None else min(stop, len(stream))
    compositor = Compositor(stream.face, feather, colour_match, dtype) if mode == "picture" else None
    beneath = None if below is None else _one_by_one(below)

    def part(first: int) -> Iterator[Tensor]:
        for chunk in stream.chunks(first, min(first + stream.chunk, stop)):
            if compositor is None:
                yield _quantise(chunk.frames.permute(0, 2, 3, 1).contiguous(), dtype)
            else:
                yield from compositor.pieces(chunk, beneath)

    workers = worker_count(runtime().device if stream.device is None else torch.device(stream.device), alone)
    parts = (part(first) for first in range(start, stop, stream.chunk))
    parts = parts if watched is None else map(watched, parts)
    yield from made_ahead(parts, workers if beneath is None else min(workers, 1))


def _one_by_one(chunks: Iterable[Tensor]) -> Iterator[Tensor]:
    """Each frame (H, W, 3) of chunks (n, H, W, 3), then the last one for ever; nothing if there is none."""
    frame = None
    for chunk in chunks:
        for frame in chunk:
            yield frame
    while frame is not None:
        yield frame


def _check(mode: str, feather: float, colour_match: float, dtype: torch.dtype) -> None:
    if mode not in MODES:
        raise InputError(f"Compose knows the modes {', '.join(MODES)}, not {mode!r}; choose one of them.")
    if not 0.01 <= feather <= 0.5:
        raise InputError(f"A feather of {feather:g} is outside 0.01 to 0.5 of the crop's side; 0.12 suits most faces.")
    if not 0 <= colour_match <= 1:
        raise InputError(f"A colour match of {colour_match:g} is outside 0 (none) to 1 (full); set it in between.")
    if dtype not in (torch.float32, torch.uint8):
        raise InputError(f"Frames can be made as float32 or uint8, not as {dtype}; ask for one of these.")


def _quantise(frames: Tensor, dtype: torch.dtype) -> Tensor:
    return frames if dtype == torch.float32 else frames.mul(255).round_().clamp_(0, 255).to(dtype)


class Compositor:
    """All that does not change from frame to frame, and the pasting of one frame; several threads may use it.

    Frames are pasted on the CPU by OpenCV: its resampling takes a quarter of torch's time, and the
    encoder wants the frames there anyway.

    Args:
        face: the source and its picture.
        feather, colour_match, dtype: as for `compose_frames`.
    """

    def __init__(
        self,
        face: Face,
        feather: float = DEFAULT_FEATHER,
        colour_match: float = 1.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.face, self.feather, self.colour_match, self.dtype = face, feather, colour_match, dtype
        self.base = _quantise(face.picture[..., :3].float().cpu(), dtype)  # (H, W, 3)
        self.tile = picture_box(face)
        if self.tile.empty:
            raise InputError("The crop of this face lies outside its picture; find the face again in this picture.")
        height, width = self.tile.bottom - self.tile.top, self.tile.right - self.tile.left
        self.scale = 2 if height * width <= MOST_PIXELS else 1  # of what is moved, against the picture
        self.source = self._movable(self.base)
        places = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
        self.places = self.scale * places.astype(np.float32)
        self.side = max(8, round(2 * float(torch.linalg.det(face.matrix[:, :2].double()).abs().sqrt())))
        # Of each thread, reused for every frame: fresh memory of this size costs more than the arithmetic on it.
        self.buffers = threading.local()

    def pieces(self, chunk: FrameChunk, beneath: Iterator[Tensor] | None = None) -> Iterator[Tensor]:
        """The frames of a chunk in the full picture, as few at a time as memory asks for.

        Args:
            chunk: the frames.
            beneath: gives the frame (H, W, 3) in 0..1 that each is pasted into; None means the picture.

        Raises:
            InputError: a frame beneath has another size than the picture, or there is none.
        """
        size = chunk.blend.shape[-1]
        region = motion_region(self.face.points, chunk.points, size, self.feather)  # (n, 1, S, S)
        motion = _enlarge(self._displacement(chunk.flow), size, "bicubic")  # (n, 2, S, S)
        share = 1 - chunk.blend
        share = share * smooth_step((share - HAZE[0]) / (HAZE[1] - HAZE[0]))
        offset = self._offset(chunk)  # (n, 3, h, w)
        paint = torch.cat([chunk.generated + _enlarge(offset, size, "bilinear"), share], dim=1)  # (n, 4, S, S)
        if chunk.lips is not None:
            chunk.lips.move(motion, self.face.matrix[:, :2])
        if chunk.lids is not None:
            motion = chunk.lids.move(motion, self.face.matrix[:, :2])
            paint = chunk.lids.over(paint)
        motion *= self.scale * region
        paint[:, 3:] *= region
        mouths = None if chunk.mouths is None else FineMouths(chunk, self.face, offset, region)
        if self.side < SMALL * size:  # a small face: made smaller with a filter, or painted pixels would flicker
            paint = F.interpolate(paint, size=(self.side, self.side), mode="bilinear", antialias=True)
        motion, region, paint = (
            field.permute(0, 2, 3, 1).contiguous().cpu().numpy() for field in (motion, region, paint)
        )
        step = max(1, PIECE_BYTES // (self.base.numel() * self.base.element_size()))
        for first in range(0, len(region), step):
            batch = range(first, min(first + step, len(region)))
            frames = self.base.expand(len(batch), -1, -1, -1).clone()
            for frame, i in zip(frames, batch, strict=True):
                source = self.source
                if beneath is not None:
                    frame.copy_(self._beneath(next(beneath, None)))
                    source = self._movable(frame)
                mouth = None if mouths is None else partial(mouths.lay, i)
                self._paste(frame.numpy(), source, motion[i], region[i, ..., 0], paint[i], mouth)
            yield frames

    def _movable(self, picture: Tensor) -> np.ndarray:
        """The part of a picture (H, W, 3) in `tile`, (h, w, 3) times `scale`."""
        part = np.ascontiguousarray(picture[self.tile.slices].numpy())
        return doubled(part) if self.scale == 2 else part

    def _beneath(self, frame: Tensor | None) -> Tensor:
        if frame is None or frame.shape[:2] != self.base.shape[:2]:
            height, width = self.base.shape[:2]
            given = "has no frames" if frame is None else f"has {frame.shape[1]} x {frame.shape[0]} pixels"
            raise InputError(
                f"The video to paste into {given}, but the picture of this face has {width} x {height}; "
                "give a video of the same picture, such as another Compose makes."
            )
        return _quantise(frame[..., :3].float().cpu(), self.dtype)

    def _displacement(self, flow: Tensor) -> Tensor:
        """How far each place is moved, (n, 2, h, w) in picture pixels."""
        own = cell_grid(flow.shape[1], flow.device)
        return ((flow - own) @ self.face.matrix[:, :2].to(flow).T).permute(0, 3, 1, 2)

    def _offset(self, chunk: FrameChunk) -> Tensor:
        """What brings the colours that the network painted into the light of the photo, (n, 3, h, w) to be added."""
        if not self.colour_match:
            return chunk.generated.new_zeros(len(chunk.points), 3, 1, 1)
        offset = colour_offset(self.face.crop, chunk.flow, chunk.generated, chunk.blend, chunk.points)
        return offset * self.colour_match

    def _paste(
        self,
        frame: np.ndarray,
        source: np.ndarray,
        motion: np.ndarray,
        region: np.ndarray,
        paint: np.ndarray,
        mouth: Callable[[Tensor, Box], None] | None,
    ) -> None:
        """Write one frame's face into a copy of the picture, in place.

        Args:
            frame: (H, W, 3), the copy.
            source: what is moved, see `_movable`.
            motion: (S, S, 2), displacement x and y in pixels of `source`, already faded.
            region: (S, S), see `motion_region`.
            paint: (S', S', 4), painted colours and their share.
            mouth: lays the frame's mouth over a part (h, w, 3) of the picture, told which; see `FineMouths.lay`.
        """
        import cv2

        box = self._box_around(region > 0).cut_to(self.tile)
        if box.empty:
            return
        places = onto_picture(motion, self.face.matrix, box, out=self._buffer("motion", box, np.float32, 2))
        places += self.places[box.within(self.tile).slices]
        moved = self._buffer("moved", box, source.dtype, 3)
        cv2.remap(source, places, None, cv2.INTER_CUBIC, dst=moved, borderMode=cv2.BORDER_REPLICATE)
        self._lay_over(moved, box, paint, mouth)
        touched = onto_picture(region, self.face.matrix, box, out=self._buffer("region", box, np.float32)) > 0
        frame[box.slices] = cv2.copyTo(moved, touched.view(np.uint8), np.ascontiguousarray(frame[box.slices]))

    def _lay_over(
        self, moved: np.ndarray, box: Box, paint: np.ndarray, mouth: Callable[[Tensor, Box], None] | None
    ) -> None:
        """Put the painted pixels over the moved photo (the part in `box`), in place."""
        target = torch.from_numpy(moved)
        if self.dtype == torch.float32:
            target.clamp_(0, 1)  # cubic interpolation overshoots at hard edges
        inner = self._box_around(paint[..., 3] > INVISIBLE).cut_to(box)
        if inner.empty:
            return
        colours = torch.from_numpy(onto_picture(paint, self.face.matrix, inner, cubic=True)).clamp_(0, 1)
        lit = target[inner.within(box).slices]
        photo = lit if self.dtype == torch.float32 else lit.float().mul_(1 / 255)
        painted = torch.lerp(photo, colours[..., :3], colours[..., 3:])
        if mouth is not None:
            mouth(painted, inner)
        lit.copy_(_quantise(painted, self.dtype))

    def _buffer(self, name: str, box: Box, dtype: np.dtype | type, channels: int | None = None) -> np.ndarray:
        """Memory of this thread for one value of each pixel in a box, (h, w) or (h, w, channels)."""
        own = self.buffers.__dict__
        if name not in own:
            own[name] = np.empty(self.places.size // 2 * (channels or 1), dtype)
        shape = (box.bottom - box.top, box.right - box.left, *(() if channels is None else (channels,)))
        return own[name][: math.prod(shape)].reshape(shape)

    def _box_around(self, cells: np.ndarray) -> Box:
        """The pixels that a set of cells (S, S) of the crop reaches; empty if there are none."""
        rows, columns = np.flatnonzero(cells.any(1)), np.flatnonzero(cells.any(0))
        if not len(rows):
            return Box(0, 0, 0, 0)

        def edge(cell: int) -> float:  # a cell's centre; interpolation reaches the next one
            return float((cell + 0.5) * 2 / len(cells) - 1)

        return picture_box(
            self.face, (edge(columns[0] - 1), edge(rows[0] - 1), edge(columns[-1] + 1), edge(rows[-1] + 1))
        )


def _enlarge(field: Tensor, size: int, interpolation: str) -> Tensor:
    """Square fields (n, C, h, h) at (n, C, size, size): enlarging is linear and separable, two matrix products."""
    cells = field.shape[-1]
    columns = torch.eye(cells, device=field.device)[None, None]
    widen = F.interpolate(columns, size=(size, cells), mode=interpolation, align_corners=False)[0, 0]
    return widen @ field @ widen.T
