"""RGB -> the colour planes that videos store (BT.709, limited range, 4:2:0 with left-sited chroma).

Done here rather than by the encoder's library because the library's fast path rounds down: an unchanged
background would come back a shade darker.
"""

import torch
from torch import Tensor

RED, GREEN, BLUE = 0.2126, 0.7152, 0.0722  # ITU-R BT.709, section 3


def planes_420(frame: Tensor) -> Tensor:
    """A frame as 8 bit YUV 4:2:0 planes, laid out as FFmpeg's `yuv420p` expects them.

    Args:
        frame: (H, W, 3) RGB, H and W even; float in 0..1, where values outside are clipped, or uint8.

    Returns:
        (H * 3 / 2, W) uint8: H rows of luma, then the chroma planes.
    """
    height, width = frame.shape[:2]
    planar = frame.permute(2, 0, 1).to(torch.float32, memory_format=torch.contiguous_format, copy=True)
    red, green, blue = planar.div_(255) if frame.dtype == torch.uint8 else planar.clamp_(0, 1)
    luma = (RED * red).add_(green, alpha=GREEN).add_(blue, alpha=BLUE)
    chroma = (_halved(blue - luma) / (2 - 2 * BLUE), _halved(red - luma) / (2 - 2 * RED))
    planes = torch.empty(height * 3 // 2, width, dtype=torch.uint8)
    planes[:height] = luma.mul_(219).add_(16).round_()
    planes[height:] = torch.stack(chroma).mul_(224).add_(128).round_().reshape(height // 2, width)
    return planes


def _halved(plane: Tensor) -> Tensor:
    """(H, W) -> (H/2, W/2), sited on the even columns and between the rows, as H.264 assumes unless told."""
    rows = plane[0::2] + plane[1::2]
    even, odd = rows[:, 0::2].contiguous(), rows[:, 1::2].contiguous()
    before = torch.cat((rows[:, :1], odd[:, :-1]), 1)
    return (even.mul_(2).add_(odd).add_(before)).mul_(1 / 8)


def even_sized(frames: Tensor) -> Tensor:
    """Frames (n, H, W, C) with the last row and column repeated where their number is odd, as 4:2:0 needs."""
    if frames.shape[1] % 2:
        frames = torch.cat((frames, frames[:, -1:]), 1)
    if frames.shape[2] % 2:
        frames = torch.cat((frames, frames[:, :, -1:]), 2)
    return frames
