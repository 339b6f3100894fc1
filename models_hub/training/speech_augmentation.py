"""What rooms, microphones and other throats do to speech, and what is hidden of it while an encoder learns.

Sound is augmented on its mel power, where gain, equalisation, noise, other voices, reverberation, formant shifts and
what codecs lose are a few operations on a batch.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..stages.audio import FLOOR

LOG_FLOOR = math.log(FLOOR)
BANDWIDTHS = (42, 61)  # highest band that is left, 3.0 to 6.2 kHz of 7.3: telephones, and what few bits have room for
LOWEST_LEFT = 8  # bands below 350 Hz, which telephones lack
NEPERS = math.log(10) / 10  # natural log of power to a dB


def augment(mel: Tensor, random: torch.Generator) -> Tensor:
    """What rooms, microphones, codecs and other throats do to speech, on (B, F, 64) natural log mel power."""
    count, frames, bands = mel.shape

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.empty(count, *(shape or (1, 1))).uniform_(low, high, generator=random)

    def sometimes(share: float) -> Tensor:
        return (torch.rand(count, 1, 1, generator=random) < share).float()

    # Formants: stretch and shift the band axis.
    stretch, shift = uniform(-0.12, 0.12), uniform(-2.5, 2.5)
    place = (torch.arange(bands) * (1 + stretch) + shift).clamp(0, bands - 1).expand(count, frames, bands)
    low = place.floor().long()
    high = (low + 1).clamp(max=bands - 1)
    mel = torch.lerp(mel.gather(2, low), mel.gather(2, high), place - low)

    # Microphone and distance: smooth equalisation and gain.
    ripple = torch.cos(torch.pi * torch.arange(4)[:, None] * (torch.arange(bands) + 0.5) / bands)
    mel = mel + torch.einsum("bk,km->bm", 0.5 * torch.randn(count, 4, generator=random), ripple)[:, None]

    # Room: each band decays exponentially after the direct sound.
    power = mel.exp()
    taps = torch.arange(1, 25)[None, :, None]
    decay = torch.exp(-taps / uniform(2.0, 8.0)) * uniform(0.02, 0.25) * sometimes(0.3)  # (B, 24, 1)
    spectrum = torch.fft.rfft(F.pad(decay, (0, 0, 1, 0)), frames + 24, dim=1)
    tail = torch.fft.irfft(torch.fft.rfft(power, frames + 24, dim=1) * spectrum, frames + 24, dim=1)
    power = power + tail[:, :frames].clamp(min=0)

    # Steady noise, and another voice of the batch far behind.
    loud = power.mean((1, 2), keepdim=True)
    tilt = torch.exp(torch.randn(count, 1, 1, generator=random) * torch.linspace(-1.5, 1.5, bands))
    grain = -torch.log(torch.rand(count, frames, bands, generator=random).clamp(min=1e-3))
    noise = loud * 10 ** uniform(-4.5, -0.8) * tilt * grain * sometimes(0.6)
    other = power.roll(1, 0) * (loud / loud.roll(1, 0)) * 10 ** uniform(-4.0, -1.0) * sometimes(0.25)
    return coded(torch.log(power + noise + other + FLOOR), random)


def coded(mel: Tensor, random: torch.Generator) -> Tensor:
    """What telephones and low bit rates leave of sound, on (B, F, 64) natural log mel power; some sounds stay whole."""
    mel = mel.clone()
    for share, lose in ((0.2, smear), (0.25, quantise), (0.3, dig_holes), (0.35, limit_band)):
        chosen = torch.rand(len(mel), generator=random) < share
        if chosen.any():
            mel[chosen] = lose(mel[chosen], random)
    return mel


def limit_band(mel: Tensor, random: torch.Generator) -> Tensor:
    """Cut off the bands above a random one and, from half of the sounds, the lowest; the edges are steep."""
    count, _, bands = mel.shape
    band = torch.arange(bands)
    top = torch.randint(*BANDWIDTHS, (count, 1, 1), generator=random)
    bottom = torch.randint(-LOWEST_LEFT, LOWEST_LEFT + 1, (count, 1, 1), generator=random)
    steep = torch.empty(count, 1, 1).uniform_(8, 40, generator=random) * NEPERS  # a band
    outside = (band - top).clamp(min=0) + (bottom - band).clamp(min=0)
    return (mel - steep * outside).clamp(min=LOG_FLOOR)


def dig_holes(mel: Tensor, random: torch.Generator) -> Tensor:
    """Bands far weaker than their neighbours at the same time fall to the floor, a codec's frame at once.

    Encoders with few bits drop what the ear would hardly hear beside it; not always, and not all the time.
    """
    count, frames, _ = mel.shape
    span = int(torch.randint(2, 8, (), generator=random))  # mel frames: 20 to 70 ms
    level = _held(F.avg_pool1d, mel, span)
    strongest = F.max_pool1d(level.flatten(0, 1)[:, None], 9, 1, 4)[:, 0].view_as(level)
    depth = torch.empty(count, 1, 1).uniform_(6, 25, generator=random) * NEPERS
    often = hide_spans(count, frames, 1.5, 4 * span, random)[..., None]
    return mel.masked_fill((level < strongest - depth) & often, LOG_FLOOR)


def quantise(mel: Tensor, random: torch.Generator) -> Tensor:
    """Round levels to steps of 1 to 6 dB; no number is changed by more than half of one."""
    step = torch.empty(len(mel), 1, 1).uniform_(1, 6, generator=random) * NEPERS
    return ((mel / step).round() * step).clamp(min=LOG_FLOOR)


def smear(mel: Tensor, random: torch.Generator) -> Tensor:
    """Noise as long as a codec's frame, 10 to 30 dB below its loudest moment: heard before onsets (pre-echo)."""
    span = int(torch.randint(3, 11, (), generator=random))
    below = torch.empty(len(mel), 1, 1).uniform_(10, 30, generator=random) * NEPERS
    grain = -torch.log(torch.rand(mel.shape, generator=random).clamp(min=1e-3))
    return torch.logaddexp(mel, _held(F.max_pool1d, mel, span) - below + grain.log())


def _held(pool, mel: Tensor, span: int) -> Tensor:
    """(B, F, 64) pooled over stretches of `span` frames, and each stretch's value in all of its frames."""
    frames = mel.shape[1]
    padded = F.pad(mel.transpose(1, 2), (0, -frames % span), mode="replicate")
    return pool(padded, span).repeat_interleave(span, 2)[..., :frames].transpose(1, 2)


def hide_bands(mel: Tensor, random: torch.Generator, widest: int = 12) -> Tensor:
    """Replace one random run of bands of normalised mel (B, F, 64) with the mean."""
    count, _, bands = mel.shape
    width = torch.randint(0, widest + 1, (count, 1, 1), generator=random)
    first = torch.randint(0, bands - widest, (count, 1, 1), generator=random)
    band = torch.arange(bands)
    hidden = (band >= first) & (band < first + width)
    return mel.masked_fill(hidden.to(mel.device), 0.0)


def hide_spans(count: int, frames: int, share: float, span: int, random: torch.Generator) -> Tensor:
    """(count, frames) bool, True in random spans that cover about `share` of the time."""
    starts = torch.rand(count, frames, generator=random) < share / span
    hidden = F.max_pool1d(F.pad(starts.float()[:, None], (span - 1, 0)), span, stride=1)[:, 0]
    return hidden > 0
