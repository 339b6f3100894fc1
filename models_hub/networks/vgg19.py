"""VGG-19 up to relu5_1, for the perceptual loss; names as in torchvision's published weights.

Simonyan and Zisserman, "Very Deep Convolutional Networks", 2015. No weights come with this project.
"""

import torch
from torch import Tensor, nn

PLAN = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512)  # 0 is a pooling
SLICES = (1, 6, 11, 20, 29)  # relu1_1, relu2_1, relu3_1, relu4_1, relu5_1


class Vgg19(nn.Module):
    """The convolutions of VGG-19."""

    def __init__(self) -> None:
        super().__init__()
        layers, inputs = [], 3
        for width in PLAN:
            if width:
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
                inputs = width
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None], persistent=False)
        self.register_buffer("spread", torch.tensor([0.229, 0.224, 0.225])[:, None, None], persistent=False)

    def forward(self, frames: Tensor) -> list[Tensor]:
        """Frames (B, 3, H, W) in 0..1 -> relu1_1, 2_1, 3_1, 4_1, 5_1."""
        x, found = (frames - self.mean) / self.spread, []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in SLICES:
                found.append(x)
        return found
