"""What else a face could have looked like: the other way round, turned, in other light, by a worse camera."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..networks.blocks import sample
from ..networks.ibug68 import MIRROR

COARSEST = 0.3  # share of the pixels along each side that the coarsest pictures keep
QUALITY = (20, 80)  # of JPEG, from its worst to its best


def augment(images: Tensor, points: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """One random flip, similarity and colour change, the same for all frames.

    Args:
        images: (N, 3, H, W) in 0..1.
        points: (N, 68, 2) in -1..1.
    """
    if random.random() < 0.5:
        images = images.flip(-1)
        points = points[:, list(MIRROR)] * torch.tensor([-1.0, 1.0])
    if random.random() < 0.7:
        angle, scale = random.normal(0, 0.06), np.exp(random.normal(0, 0.07))
        shift = random.normal(0, 0.04, 2)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
        matrix = torch.tensor(np.concatenate([turn, shift[:, None]], 1), dtype=torch.float32)
        grid = F.affine_grid(matrix[None].expand(len(images), -1, -1), list(images.shape), align_corners=False)
        images = sample(images, grid)
        points = (points - matrix[:, 2]) @ torch.linalg.inv(matrix[:, :2]).T
    # A brightness that rises from one side to the other: light is what few people teach least.
    height, width = images.shape[-2:]
    tilt = random.normal(0, 0.2, 2)
    ramp = tilt[0] * torch.linspace(-1, 1, height)[:, None] + tilt[1] * torch.linspace(-1, 1, width)
    images = images * ramp.float().exp()
    gain = torch.tensor(np.exp(random.normal(0, 0.15) + random.normal(0, 0.15, 3)), dtype=torch.float32)
    grey = images.mean(1, keepdim=True)
    saturation = float(np.clip(random.normal(1, 0.2), 0.2, 1.5)) if random.random() > 0.05 else 0.0
    images = grey + (images - grey) * saturation
    images = images * gain[None, :, None, None] + random.normal(0, 0.03)
    gamma = float(np.exp(random.normal(0, 0.15)))
    return images.clamp(0, 1) ** gamma, points


def degrade(images: Tensor, random: np.random.Generator, coarse: float = 0.25, compressed: float = 0.35) -> Tensor:
    """A source and the frames it is driven to, as a worse camera would have them.

    Resolution is lost by all of them, for a soft portrait shall stay soft. Compression is of the source alone: its
    blocks stand still in the photo, and what is driven must not carry them along.

    Args:
        images: (N, 3, H, W) in 0..1, the source first.
        random: of what happens and how much.
        coarse, compressed: how often resolution is lost, and how often the source is compressed.
    """
    lose, squeeze = random.random(2)
    if lose < coarse:
        images = coarsen(images, random.uniform(COARSEST, 0.9))
    if squeeze < compressed:
        quality = round(np.exp(random.uniform(*np.log(QUALITY))))
        images = torch.cat([compress(images[0], quality)[None], images[1:]])
    return images


def coarsen(images: Tensor, share: float) -> Tensor:
    """Images (N, 3, H, W) made smaller to `share` of each side, and as large as before again."""
    size = images.shape[-2:]
    small = F.interpolate(images, size=[max(8, round(share * side)) for side in size], mode="area")
    return F.interpolate(small, size=size, mode="bicubic", align_corners=False).clamp(0, 1)


def compress(image: Tensor, quality: int) -> Tensor:
    """An image (3, H, W) in 0..1 as JPEG of a quality of 1 to 100 gives it back."""
    import cv2

    pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
    _, written = cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    read = np.ascontiguousarray(cv2.imdecode(written, cv2.IMREAD_COLOR)[..., ::-1])
    return torch.from_numpy(read).permute(2, 0, 1).to(image) / 255
