"""Weights that were tuned to a person: used for that person's face, and as they were before for all others."""

import torch
from torch import Tensor, nn

from ..loading import load_network
from ..networks.low_rank import Personal
from ..types import Face


@torch.no_grad()
def face_codes(crops: Tensor, points: Tensor) -> Tensor:
    """Codes (B, 32) of whose faces these are, from crops (B, 3, S, S) in 0..1 and points (B, 68, 2)."""
    return load_network("face_code")(crops, points)


def for_face(network: nn.Module, face: Face) -> nn.Module:
    """The network to use for a face: a plain one as it is, a personal one merged for that face."""
    if not isinstance(network, Personal):
        return network
    return network.for_face(face_codes(face.crop, face.points[None])[0])
