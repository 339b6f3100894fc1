"""What the patch critics share: strided convolutions with spectral norm, one score for each patch."""

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm


class PatchCritic(nn.Module):
    """Strided 4x4 convolutions with spectral norm; one score per patch.

    Args:
        inputs: channels.
        widths: channels of the strided layers.
    """

    def __init__(self, inputs: int, widths: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__()
        pairs = zip((inputs, *widths), widths, strict=False)
        self.layers = nn.ModuleList(spectral_norm(nn.Conv2d(a, b, 4, 2, 1)) for a, b in pairs)
        self.score = spectral_norm(nn.Conv2d(widths[-1], 1, 3, 1, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Patch scores (B, 1, h, w) and the features of every layer, for feature matching."""
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.score(x), features
