"""The socket types that have no widget: they can only be linked."""

import torch

from .sockets import ComfyTypeIO, comfytype


@comfytype("IMAGE")
class Image(ComfyTypeIO):
    """(B, H, W, C) float in 0..1."""

    Type = torch.Tensor


@comfytype("MASK")
class Mask(ComfyTypeIO):
    """(B, H, W) float in 0..1."""

    Type = torch.Tensor


@comfytype("AUDIO")
class Audio(ComfyTypeIO):
    """{"waveform": (B, C, S) float in -1..1, "sample_rate": Hz}."""

    Type = dict


@comfytype("VIDEO")
class Video(ComfyTypeIO):
    """A `VideoInput`."""


@comfytype("CLIP_VISION_OUTPUT")
class ClipVisionOutput(ComfyTypeIO):
    """What a CLIP vision model says about a picture."""


@comfytype("*")
class AnyType(ComfyTypeIO):
    """Anything."""
