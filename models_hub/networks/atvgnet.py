"""ATVGnet: sound -> landmarks (AT-net) and landmarks -> frames (VG-net), seed 02, sections 4 and 5.

Exactly the published networks (Chen et al., CVPR 2019); converted checkpoints give the authors' numbers. Landmarks
here are in "network units": five times the Procrustes-standardised shape, 136 numbers x0, y0, x1, y1, ...
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .blocks import ResidualBlock, conv_block

COEFFICIENTS = 6
WINDOW = (28, 12)
"""MFCC frames (10 ms each) and coefficients that one video frame sees."""

EXAGGERATION = (1.0, 2.2, 2.4, 2.6, 2.8, 3.0)
"""The authors' demo multiplies the predicted coefficients by this."""


LARGE_MAPS = 8
"""Frames at once, at most, where maps are large; it changes memory and speed, never the result."""


def even_pieces(values: Tensor, piece: int) -> tuple[Tensor, ...]:
    """Values (N, ...) in as few pieces of at most `piece` as can be, of nearly one length.

    Two pieces of 12 take as long as 16 and 8, and less memory.
    """
    return values.tensor_split(max(1, -(-len(values) // piece)))


class ATVGnetLandmarks(nn.Module):
    """AT-net: MFCC windows and an example shape -> coefficients of the landmarks' principal components.

    Besides the published network it holds the constants of the landmark space, read by the stage.

    Args:
        hidden: length of the LSTM's state.
        layers: of the LSTM.
    """

    def __init__(self, hidden: int = 256, layers: int = 3) -> None:
        super().__init__()
        self.example = nn.Sequential(nn.Linear(COEFFICIENTS, 256), nn.ReLU(), nn.Linear(256, 512), nn.ReLU())
        self.audio = nn.Sequential(
            conv_block(1, 64),
            conv_block(64, 128),
            nn.MaxPool2d(3, stride=(1, 2)),
            conv_block(128, 256),
            conv_block(256, 256),
            conv_block(256, 512),
            nn.MaxPool2d(3, stride=(2, 2)),
        )
        self.features = nn.Sequential(nn.Linear(12288, 2048), nn.ReLU(), nn.Linear(2048, 256), nn.ReLU())
        self.lstm = nn.LSTM(768, hidden, layers, batch_first=True)
        self.answer = nn.Linear(hidden, COEFFICIENTS)
        self.register_buffer("basis", torch.zeros(136, COEFFICIENTS))
        self.register_buffer("mean", torch.zeros(136))
        self.register_buffer("neutral", torch.zeros(136))  # example landmark: a mean shape, mouth closed; plain units
        self.register_buffer("mean_shape", torch.zeros(68, 2))  # centred, of norm 1; what faces are standardised to

    def forward(
        self, windows: Tensor, example: Tensor, piece: int = 16, progress: Callable[[int, int], None] | None = None
    ) -> Tensor:
        """Coefficients (B, T, 6), before the demo's exaggeration.

        Args:
            windows: (B, T, 28, 12) MFCC.
            example: (B, 6) coefficients of the person's shape.
            piece: windows that are encoded at once, at most; it changes memory and speed, never the result.
            progress: called after every piece with (windows encoded, windows in all).
        """
        batch, count = windows.shape[:2]
        parts, encoded = [], 0
        for part in even_pieces(windows.reshape(-1, 1, *WINDOW), piece):
            parts.append(self.features(self.audio(part).flatten(1)))
            encoded += len(part)
            if progress is not None:
                progress(encoded, batch * count)
        heard = torch.cat(parts).unflatten(0, (batch, count))  # (B, T, 256)
        shape = self.example(example)[:, None].expand(-1, count, -1)
        return self.answer(self.lstm(torch.cat([shape, heard], dim=-1))[0])

    def project(self, landmarks: Tensor) -> Tensor:
        """Landmarks (..., 136) in network units -> coefficients (..., 6)."""
        return (landmarks - self.mean) @ self.basis

    def expand(self, coefficients: Tensor) -> Tensor:
        """Coefficients (..., 6) -> landmarks (..., 136) in network units."""
        return coefficients @ self.basis.T + self.mean


def _enlarging(inputs: int, outputs: int, bias: bool) -> list[nn.Module]:
    transposed = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1, bias=bias)
    return [transposed, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


class ConvGRUStep(nn.Module):
    """One step of a convolutional GRU.

    The published network steps over the batch instead of over time: with one video at a time, every frame starts from
    a zero state. So it is run here, unless a state is given (which only newly trained weights know how to use).
    """

    def __init__(self, inputs: int = 128, hidden: int = 512) -> None:
        super().__init__()
        self.input = nn.Conv2d(inputs, 3 * hidden, 3, padding=2, dilation=2)
        self.recurrent = nn.Conv2d(hidden, 3 * hidden, 3, padding=2, dilation=2)

    def forward(self, maps: Tensor, state: Tensor | None = None) -> Tensor:
        """The next state (B, hidden, h, w) from inputs (B, C, h, w)."""
        reset, update, new = self.input(maps).chunk(3, dim=1)
        past = self.recurrent.bias[:, None, None] if state is None else self.recurrent(state)
        past_reset, past_update, past_new = past.chunk(3, dim=-3)
        candidate = torch.tanh(new + torch.sigmoid(reset + past_reset) * past_new)
        keep = torch.sigmoid(update + past_update)
        return candidate - keep * candidate if state is None else candidate + keep * (state - candidate)


class ATVGnetFrames(nn.Module):
    """VG-net: a picture and landmarks -> frames of 128x128 pixels.

    Args:
        blocks: residual blocks of the decoder.
    """

    unread = ("gru.recurrent.weight",)  # every frame starts from a zero state

    def __init__(self, blocks: int = 9) -> None:
        super().__init__()
        unpadded = conv_block(3, 64, 7)
        unpadded[0].padding = (0, 0)
        self.fine = nn.Sequential(
            nn.ReflectionPad2d(3), unpadded, conv_block(64, 64, stride=2), conv_block(64, 128, stride=2)
        )
        self.coarse = nn.Sequential(conv_block(128, 256, stride=2), conv_block(256, 512, stride=2))
        self.points = nn.Sequential(nn.Linear(136, 64), nn.ReLU())
        self.shape = nn.Sequential(conv_block(1, 256))
        self.shape_features = nn.Sequential(conv_block(256, 512))
        self.gate = nn.Sequential(
            *_enlarging(512, 256, bias=True), *_enlarging(256, 128, bias=True), nn.Conv2d(128, 1, 3, padding=1)
        )
        self.join = nn.Sequential(conv_block(1024, 128))
        self.gru = ConvGRUStep()
        self.blocks = nn.Sequential(*(ResidualBlock(512, relu=False) for _ in range(blocks)))
        self.up = nn.Sequential(*_enlarging(512, 256, bias=False), *_enlarging(256, 128, bias=False))
        self.base = nn.Sequential(*_enlarging(128, 64, bias=False), *_enlarging(64, 32, bias=False))
        self.paint = nn.Conv2d(32, 4, 7, padding=3)  # colour, attention
        self.register_buffer("templates", torch.zeros(2, 68, 2))  # eyes open, eyes closed; pixels of 163x163

    def encode(self, image: Tensor, example: Tensor) -> tuple[Tensor, ...]:
        """What every frame needs of the picture (1, 3, 128, 128) in -1..1 and the example landmark (1, 136)."""
        fine = self.fine(image.to(self.points[0].weight.dtype))
        coarse = self.coarse(fine)
        shape = self.shape(self._drawn(example))
        return image, fine, coarse, shape, self.shape_features(shape)

    def frames(self, encoded: tuple[Tensor, ...], landmarks: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Some frames of one video.

        Args:
            encoded: from `encode`.
            landmarks: (n, 136) in network units.

        Returns:
            Frames (n, 3, 128, 128) in -1..1, attention (n, 1, 128, 128) in 0..1 (1 = painted), colour
            (n, 3, 128, 128) in -1..1, gate (n, 1, 32, 32) in 0..1.
        """
        image, fine, *_ = encoded
        known, gates = zip(*(self._known(encoded, part) for part in even_pieces(landmarks, LARGE_MAPS)), strict=True)
        moved, gate = self.blocks(torch.cat(known)), torch.cat(gates)  # (n, 512, 8, 8): small, so all at once
        parts = [
            self.paint(self.base(torch.lerp(fine, one[None], seen))).float()
            for some, seen_of_some in zip(even_pieces(moved, LARGE_MAPS), even_pieces(gate, LARGE_MAPS), strict=True)
            for one, seen in zip(self.up(some), seen_of_some, strict=True)
        ]
        painted = torch.cat(parts)
        colour, attention = painted[:, :3].tanh(), painted[:, 3:].sigmoid()
        return torch.lerp(image.float(), colour, attention), attention, colour, gate.float()

    def _known(self, encoded: tuple[Tensor, ...], landmarks: Tensor) -> tuple[Tensor, Tensor]:
        """The state (n, 512, 8, 8) that a few frames are made of, and their gates (n, 1, 32, 32) in 0..1."""
        _, _, coarse, example, example_features = encoded
        count = len(landmarks)
        shape = self.shape(self._drawn(landmarks))
        gate = self.gate(torch.cat([shape, example.expand(count, -1, -1, -1)], dim=1)).sigmoid()
        change = self.shape_features(shape) - example_features
        return self.gru(self.join(torch.cat([coarse.expand(count, -1, -1, -1), change], dim=1))), gate

    def forward(self, image: Tensor, landmarks: Tensor, example: Tensor, piece: int = 24) -> tuple[Tensor, ...]:
        """All frames of one video, as `frames` returns them; at most `piece` at a time, which changes nothing else."""
        encoded = self.encode(image, example)
        parts = [self.frames(encoded, part) for part in even_pieces(landmarks, piece)]
        return tuple(torch.cat(kind) for kind in zip(*parts, strict=True))

    def _drawn(self, landmarks: Tensor) -> Tensor:
        return self.points(landmarks.to(self.points[0].weight.dtype)).view(-1, 1, 8, 8)
