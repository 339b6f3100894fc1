"""Lip motion units -> how the jaw and the lips move away from the closed mouth.

Our own reconstruction. Like AT-net (ATVGnet) it predicts coefficients of a linear basis of face shapes;
unlike it, the basis holds absolute motion from a closed mouth in the face's own frame
(`lip_shape.py`), so that any portrait can be given it. Each frame is predicted from its own unit alone:
the units already hold the context, and the frame rate does not matter.
"""

import torch
from torch import Tensor, nn

from .lip_shape import MOVING


class LandmarkPredictor(nn.Module):
    """Units to motion of the 37 moving points.

    Args:
        units: channels of the lip motion units.
        hidden: width of the hidden layer.
        shapes: basis shapes.
        dropout: used while training only.
    """

    def __init__(self, units: int = 128, hidden: int = 128, shapes: int = 12, dropout: float = 0.2):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(units, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, shapes)
        )
        # Principal shapes of people's motion; a unit of coefficient is one standard deviation.
        self.register_buffer("basis", torch.zeros(shapes, len(MOVING), 2))
        # Width and corner height of closed mouths, mean and spread (see lip_shape.close_mouth).
        self.register_buffer("usual", torch.zeros(4))

    def coefficients(self, units: Tensor) -> Tensor:
        """(..., T, units) -> (..., T, shapes)."""
        return self.layers(units)

    def forward(self, units: Tensor) -> Tensor:
        """Motion away from the closed mouth, in face units.

        Args:
            units: (..., T, units).

        Returns:
            (..., T, 37, 2), the points `lip_shape.MOVING`.
        """
        return torch.einsum("...k,kpc->...pc", self.coefficients(units), self.basis)
