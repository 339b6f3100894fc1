"""Picture files <-> tensors."""

import os
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import MediaError
from .files import check_readable, written_whole


def read_picture(path: str | os.PathLike) -> Tensor:
    """A picture file as (H, W, 3), or (H, W, 4) if it has transparency, float32 in 0..1.

    The camera's rotation (EXIF) is applied, grey becomes RGB, 16 bits a channel keep their precision, and of
    an animation the first frame is taken.

    Raises:
        MediaError: the file is missing, empty, damaged, cut short, or not a picture.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = check_readable(path, "picture")
    try:
        with open(path, "rb") as file, Image.open(file) as image:
            image.load()
            image = ImageOps.exif_transpose(image)
            return _tensor(image)
    except UnidentifiedImageError as error:
        raise MediaError(f"{path} is not a picture that can be read; use a JPEG, PNG, WebP or TIFF file.") from error
    except Image.DecompressionBombError as error:
        raise MediaError(f"{path} has too many pixels to be safe ({error}); make it smaller first.") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
        raise MediaError(f"{path} is damaged or cut short ({error}); copy or export it again.") from error


def _tensor(image: Any) -> Tensor:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image, dtype=np.float32)
        values = values / (65535.0 if image.mode != "F" else max(1.0, float(values.max(initial=0.0))))
        return torch.from_numpy(values).clamp(0, 1)[..., None].expand(-1, -1, 3).contiguous()
    transparent = "A" in image.getbands() or "transparency" in image.info
    values = np.asarray(image.convert("RGBA" if transparent else "RGB"), dtype=np.float32)
    return torch.from_numpy(values / 255.0)


def write_picture(
    path: str | os.PathLike, picture: Tensor, overwrite: bool = False, metadata: dict[str, str] | None = None
) -> None:
    """Write (H, W, 1, 3 or 4) in 0..1 as 8 bit PNG, or JPEG (quality 95, no transparency) by the name's ending.

    Args:
        path: the file; its folder is made.
        picture: values outside 0..1 are clipped.
        overwrite: replace an existing file.
        metadata: texts to keep inside a PNG.

    Raises:
        MediaError: the path cannot be written.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    values = (picture.detach().cpu().float().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    image = Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)
    with written_whole(path, overwrite) as file:
        if os.fspath(path).lower().endswith((".jpg", ".jpeg")):
            image.convert("RGB").save(file, format="JPEG", quality=95)
            return
        texts = PngInfo()
        for name, text in (metadata or {}).items():
            texts.add_itxt(name, text)
        image.save(file, format="PNG", pnginfo=texts, compress_level=4)
