"""Sound -> contextual lip motion units (the audio-to-lip encoder of CALS, our reconstruction).

The authors' code and method section were not available; what is certain (seed 04, section 1) is an
encoder pretrained with masks whose units see about 1.2 s of sound. Here a unit encoder turns 0.2 s of
log mel (20 frames of 10 ms) into one vector per video frame, and a context encoder of dilated
convolutions lets each see 13 neighbours on either side. All convolutions are valid and the sound is
padded once with silence outside, so the receptive field is exact: 20 mel frames of its own and 13 * 4
more on either side, 124 in all = 1.24 s. Nothing depends on where a block of a long recording begins.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEP = 4  # mel frames to a video frame (25 a second)
UNIT = 20  # mel frames that a unit encodes by itself: 0.2 s
CONTEXT = 13  # units on either side that a contextual unit sees
MARGIN = (UNIT - STEP) // 2 + CONTEXT * STEP  # mel frames needed before and after a unit's own four

_CONTEXT_LAYERS = ((3, 1), (5, 1), (5, 2), (5, 1), (5, 2))  # (kernel, dilation): 1 + 2 + 4 + 2 + 4 = 13


class ChannelNorm(nn.Module):
    """Layer normalisation over channels at each moment by itself, so that no other moment leaks in."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:  # (B, D, T)
        return self.norm(x.transpose(1, 2)).transpose(1, 2)


class ContextLayer(nn.Module):
    """A residual, dilated, valid convolution: T units in, T - (kernel - 1) * dilation out."""

    def __init__(self, width: int, kernel: int, dilation: int, dropout: float):
        super().__init__()
        self.cut = (kernel - 1) * dilation // 2
        self.norm = ChannelNorm(width)
        self.spread = nn.Conv1d(width, width, kernel, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:  # (B, D, T)
        y = self.mix(F.gelu(self.spread(self.norm(x))))
        return x[..., self.cut : x.shape[-1] - self.cut] + self.dropout(y)


class AudioToLip(nn.Module):
    """Log mel -> lip motion units.

    Args:
        mels: mel bands.
        width: channels of the hidden layers and of the units.
        dropout: used while training only.
    """

    def __init__(self, mels: int = 64, width: int = 128, dropout: float = 0.1):
        super().__init__()
        self.mels, self.width = mels, width
        # One mean and scale for every recording (set from the training sound), never the recording's own.
        self.register_buffer("mel_mean", torch.zeros(mels))
        self.register_buffer("mel_scale", torch.ones(mels))
        self.mask = nn.Parameter(torch.zeros(mels))  # what a masked mel frame is replaced with in pretraining
        # Windows of 5, 10 and 20 mel frames; strides 1, 2 and 2 give one unit per video frame.
        self.unit = nn.Sequential(
            nn.Conv1d(mels, width, 5), nn.GELU(),
            nn.Conv1d(width, width, 6, stride=2), nn.GELU(),
            nn.Dropout(dropout),
            nn.Conv1d(width, width, 6, stride=2),
        )  # fmt: skip
        self.context = nn.Sequential(*(ContextLayer(width, *layer, dropout) for layer in _CONTEXT_LAYERS))
        self.out = ChannelNorm(width)

    def normalise(self, mel: Tensor) -> Tensor:
        """(..., mels) natural log mel power -> about zero mean and unit scale."""
        return (mel - self.mel_mean) / self.mel_scale

    def forward(self, mel: Tensor) -> Tensor:
        """Contextual units.

        Args:
            mel: (B, MARGIN + 4 T + MARGIN, mels) normalised log mel.

        Returns:
            (B, T, width); unit t sees mel frames 4 t .. 4 t + 123 of the input and no others.
        """
        units = self.unit(mel.transpose(1, 2))  # (B, D, T + 26)
        return self.out(self.context(units)).transpose(1, 2)
