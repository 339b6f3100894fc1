"""Contact sheets: what was measured, to be looked at."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

TILE = 192
COLUMNS = ("source", "real", "warped", "generated", "source mouth", "real mouth", "warped mouth", "generated mouth")


def save_reenactment_sheet(rows: list[list[Tensor]], path: Path, most: int = 28) -> None:
    """Write source, real, warped and generated frames, and their mouths enlarged, one row each.

    Args:
        rows: [source, real, warped, generated (3, S, S), points (68, 2) of the real frame].
        path: PNG to write.
        most: rows at most, spread over all.
    """
    from PIL import Image, ImageDraw

    from .reenactment import region_box

    picked = rows if len(rows) <= most else [rows[index * len(rows) // most] for index in range(most)]
    strips = []
    for *pictures, points in picked:
        down, across = region_box(points, pictures[0].shape[-1])
        tiles = [F.interpolate(picture[None], size=TILE, mode="area")[0] for picture in pictures]
        for picture in pictures:
            mouth = F.interpolate(picture[None, :, down, across], size=(TILE, TILE), mode="bicubic")
            tiles.append(mouth[0].clamp(0, 1))
        strips.append(torch.cat(tiles, dim=2))
    sheet = (torch.cat(strips, dim=1).permute(1, 2, 0) * 255).round().byte().numpy()
    image = Image.new("RGB", (sheet.shape[1], sheet.shape[0] + 18), "white")
    image.paste(Image.fromarray(sheet), (0, 18))
    draw = ImageDraw.Draw(image)
    for index, title in enumerate(COLUMNS):
        draw.text((index * TILE + 4, 3), title, fill="black")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
