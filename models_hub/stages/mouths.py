"""Painted mouths put into the picture at its own resolution.

The frames of the network are 256 pixels wide, its mouths have their own windows, finer than that (`mouth_detail.py`).
In a large picture a mouth that had gone through the frames would be the one soft thing in a sharp face. So there its
window is laid over what the frames brought.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..networks.blocks import sample
from ..networks.mouth_painter import MouthWindow
from ..types import Face, FrameChunk
from .region import Box, onto_picture, picture_box

WHOLE_WINDOW = (-1.0, -1.0, 1.0, 1.0)
LEAST_AREA = 1.0  # pixels of the picture; a smaller window, or one of landmarks in a line, shows nothing


class FineMouths:
    """The mouths of some frames, ready to be put into a picture.

    Args:
        chunk: the frames; they hold `mouths`.
        face: the source.
        offset: (n, 3, h, w), added to the painted colours: the light of the photo (see `colour_offset`).
        region: (n, 1, S, S), how much of what is painted is used, see `motion_region`.
    """

    def __init__(self, chunk: FrameChunk, face: Face, offset: Tensor, region: Tensor) -> None:
        windows, mouths = MouthWindow(chunk.points), chunk.mouths
        grid = windows.grid(*mouths.shape[-2:])
        colours, weight = mouths.split((3, 1), dim=1)
        colours = (colours + sample(offset, grid) * weight).clamp(0, 1)
        maps = torch.cat([colours, weight], dim=1) * sample(region, grid)
        size = self._size(face, mouths.shape[-2:])
        if size[1] < mouths.shape[-1]:  # a small face: without a filter its teeth would flicker
            maps = F.interpolate(maps, size=size, mode="bilinear", antialias=True)
        self.face = face
        self.maps = maps.permute(0, 2, 3, 1).contiguous().numpy()  # (n, h, w, 4)
        crop = face.matrix.double().cpu()
        turn = crop[:, :2] @ windows.axes.double()  # (n, 2, 2)
        centre = crop[:, :2] @ windows.centre.double()[..., None] + crop[:, 2:]
        self.matrices = torch.cat([turn, centre], dim=-1)  # (n, 2, 3), from windows to the picture

    @staticmethod
    def _size(face: Face, most: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns that the source's own window has in the picture, at most `most`."""
        window = face.matrix[:, :2].double().cpu() @ MouthWindow(face.points[None]).axes[0].double()
        columns, rows = (2 * window.norm(dim=0)).round().int().tolist()
        return min(max(rows, 1), most[0]), min(max(columns, 1), most[1])

    def lay(self, index: int, picture: Tensor, box: Box) -> None:
        """Put the mouth of a frame over a part of it, in place.

        Args:
            index: of the frame in the chunk.
            picture: (h, w, 3) in 0..1, the part in `box`.
            box: which part of the picture it is.
        """
        matrix = self.matrices[index]
        if 4 * abs(float(torch.linalg.det(matrix[:, :2]))) < LEAST_AREA:
            return
        inner = picture_box(self.face, WHOLE_WINDOW, matrix).cut_to(box)
        if inner.empty:
            return
        laid = onto_picture(self.maps[index], matrix, inner, cubic=True)
        colours, weight = torch.from_numpy(np.clip(laid, 0, 1)).split((3, 1), dim=-1)
        part = picture[inner.within(box).slices]
        part.mul_(1 - weight).add_(colours.minimum(weight))  # cubic interpolation overshoots: not beyond white
