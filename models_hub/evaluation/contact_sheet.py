"""Contact sheets of a video: its frames with their times, and the mouths enlarged."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import FaceNotFoundError
from ..media import VideoReader
from ..media.files import written_whole
from ..networks.ibug68 import LIPS
from ..stages.face import locate_face, to_pixels

TILE = 224  # pixels along the longer side of a frame, and along each side of a mouth
LABEL = 16  # pixels of the strip that holds the time


def save_contact_sheet(
    video: str | os.PathLike,
    path: str | os.PathLike,
    columns: int = 8,
    rows: int = 3,
    overwrite: bool = False,
) -> int:
    """Write a PNG with frames spread evenly over a video, each above its enlarged mouth.

    The mouth is looked for in the first of the frames and cut from the same place in all; without a face
    there are only frames.

    Args:
        video: the video file.
        path: the PNG to write.
        columns, rows: at most so many frames.
        overwrite: replace an existing file.

    Returns:
        Number of frames shown.

    Raises:
        MediaError: the video cannot be read, or the file not written.
    """
    from PIL import Image, ImageDraw

    reader = VideoReader(video)
    count = min(columns * rows, reader.frame_count)
    numbers = [round(index * (reader.frame_count - 1) / max(1, count - 1)) for index in range(count)]
    rows = math.ceil(count / columns)
    scale = TILE / max(reader.size)
    width, height = (max(1, round(side * scale)) for side in reader.size)
    mouth: tuple[slice, slice] | None = None
    tall = LABEL + height
    sheet: Any = None
    with written_whole(path, overwrite) as file:
        for index, (number, frame) in enumerate(picked(reader, numbers)):
            if sheet is None:
                mouth = mouth_place(frame)
                tall += TILE if mouth else 0
                cell = max(width, TILE) if mouth else width
                sheet = Image.new("RGB", (columns * cell, rows * tall), "white")
                draw = ImageDraw.Draw(sheet)
            left, top = index % columns * cell, index // columns * tall
            draw.text((left + 3, top + 2), f"{float(number / reader.fps):.2f} s", fill="black")
            sheet.paste(_tile(frame, height, width, "area"), (left, top + LABEL))
            if mouth is not None:
                sheet.paste(_tile(frame[mouth], TILE, TILE, "bicubic"), (left, top + LABEL + height))
        sheet.save(file, format="PNG")
    return count


def picked(reader: VideoReader, numbers: list[int]) -> Iterator[tuple[int, Tensor]]:
    """The frames of these ascending numbers, (number, (H, W, 3))."""
    wanted = iter(numbers)
    next_one = next(wanted, None)
    for number, frame in enumerate(frame for chunk in reader.frames() for frame in chunk):
        if next_one is None:
            return
        if number == next_one:
            yield number, frame
            next_one = next(wanted, None)


def mouth_place(picture: Tensor) -> tuple[slice, slice] | None:
    """Rows and columns of a square around the lips of the largest face in (H, W, 3); None without a face."""
    try:
        face = locate_face(picture)
    except FaceNotFoundError:
        return None
    lips = to_pixels(face.points[list(LIPS)], face.matrix)
    low, high = lips.amin(0), lips.amax(0)
    half = float((high - low).amax()) * 0.8
    x, y = ((low + high) / 2).tolist()
    rows, columns = (
        slice(max(0, round(middle - half)), min(side, round(middle + half)))
        for middle, side in zip((y, x), picture.shape[:2], strict=True)
    )
    return None if rows.stop - rows.start < 2 or columns.stop - columns.start < 2 else (rows, columns)


def _tile(picture: Tensor, height: int, width: int, mode: str) -> Any:
    from PIL import Image

    scaled = F.interpolate(picture.permute(2, 0, 1)[None], size=(height, width), mode=mode)[0].clamp(0, 1)
    return Image.fromarray((scaled.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy())


def default_path(video: str | os.PathLike) -> Path:
    """Beside the video, with "_sheet.png" after its name."""
    path = Path(video)
    return path.with_name(path.stem + "_sheet.png")
