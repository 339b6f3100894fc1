"""What context buys: lips from sound with encoders that hear 0.2 to 2 s, and the sync critic over longer windows."""

import time
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..evaluation.speech import lip_figures, summary
from ..networks.audio_to_lip import STEP, UNIT, AudioToLip, ContextLayer
from ..networks.landmark_predictor import LandmarkPredictor
from ..networks.lip_shape import LIP_SLICE
from . import fit
from .ablation_table import Row, Table
from .loop import Loop, same_chance
from .motion import motion_loss, shape_basis, weigh
from .speech_augmentation import augment, hide_bands
from .speech_data import (
    LENGTH,
    LOG_FLOOR,
    Batch,
    Sampler,
    Talk,
    even_out,
    talking_clips,
    usual_mouth,
)

CONTEXTS = {
    0.2: ((1, 1), (1, 1), (1, 1), (1, 1), (1, 1)),
    0.36: ((3, 1), (3, 1), (1, 1), (1, 1), (1, 1)),
    0.6: ((3, 1), (3, 1), (3, 1), (3, 1), (3, 1)),
    0.84: ((5, 1), (5, 1), (5, 1), (3, 1), (3, 1)),
    1.24: ((3, 1), (5, 1), (5, 2), (5, 1), (5, 2)),
    1.96: ((5, 1), (5, 2), (5, 3), (5, 3), (5, 2)),
}
"""Seconds that a unit hears, and (kernel, dilation) of the five layers that make it so; 1.24 is the embedded one."""
EDGE = 9  # frames that crops are longer on either side, for the widest context
FACES = 16  # crops in a batch

LIPS = Table(
    "",
    {
        "correlation": "{:.3f}",
        "at the best lag": "{:.3f}",
        "lip error below a constant mouth": "{:+.1%}",
        "weights": "{:,.0f}",
        "CPU s a step": "{:.2f}",
    },
    "correlation",
    "of mouth opening with the real one, unseen people; longer is better",
)


class ContextEncoder(AudioToLip):
    """The audio encoder with another context.

    Args:
        seconds: of `CONTEXTS`.
        sizes: as for `AudioToLip`.
    """

    def __init__(self, seconds: float, **sizes) -> None:
        super().__init__(**sizes)
        layers = CONTEXTS[seconds]
        dropout = sizes.get("dropout", 0.1)
        self.context = nn.Sequential(*(ContextLayer(self.width, *layer, dropout) for layer in layers))
        units = sum((kernel - 1) * dilation // 2 for kernel, dilation in layers)
        self.margin = (UNIT - STEP) // 2 + units * STEP


class Pair(nn.Module):
    """Encoder and predictor, trained together."""

    def __init__(self, seconds: float, clips: list[Talk], usual: Tensor) -> None:
        super().__init__()
        self.encoder = ContextEncoder(seconds, width=96, dropout=0.2)
        mel = torch.cat([clip.mel for clip in clips])
        self.encoder.mel_mean.copy_(mel.mean(0))
        self.encoder.mel_scale.copy_(mel.std(0))
        self.predictor = LandmarkPredictor(units=96)
        self.predictor.usual.copy_(usual)
        self.predictor.basis.copy_(shape_basis(clips, len(self.predictor.basis)))

    def forward(self, mel: Tensor, spare: int) -> Tensor:
        """Motion of the lips from normalised mel that has `spare` frames more on either side than are needed."""
        return self.predictor(self.encoder(mel[:, spare : mel.shape[1] - spare]))


def middle(batch: Batch) -> Batch:
    """The frames whose widest context lies in the crop."""
    edge = EDGE * STEP
    kept = [value[:, EDGE:-EDGE] for value in (batch.motion, batch.seen, batch.phones, batch.heard)]
    return Batch(batch.mel, batch.clean[:, edge:-edge], *kept)


@torch.no_grad()
def figures_of(pair: Pair, clips: list[Talk]) -> dict[str, float]:
    """Figures on whole clips, with silence outside of them."""
    found = []
    for clip in clips:
        margin = pair.encoder.margin
        mel = F.pad(clip.mel[None], (0, 0, margin, margin), value=LOG_FLOOR)
        made = pair(pair.encoder.normalise(mel), 0)[0]
        found.append(lip_figures(made[:, LIP_SLICE], clip.motion[:, LIP_SLICE]))
    return summary(found)


def ablate_context(data: Path, steps: int, seed: int, folder: Path, only: tuple[str, ...] = ()) -> tuple:
    """Train an encoder with its predictor for each context, on the same crops, and measure on unseen people.

    Args:
        data: folder of manifest.csv and clips/.
        steps, seed: of every training.
        folder: for a folder of each training, and the table.
        only: names of variants, such as "0.2 s".

    Returns:
        Rows and their table.
    """
    clips, unseen, usual = talking_clips(data, "train"), talking_clips(data, "val"), usual_mouth(data)
    even_out(clips)
    note = f"{steps} steps of {FACES} crops, seed {seed}, no masked pretraining; {len(unseen)} clips of unseen people."
    shown, rows = Table(note, LIPS.formats, LIPS.plotted, LIPS.better), []
    for seconds in CONTEXTS:
        name = f"{seconds:g} s" + (" (embedded)" if seconds == 1.24 else "")
        if only and name not in only:
            continue
        started = time.process_time()
        average = _train(seconds, clips, usual, Namespace(steps=steps, seed=seed, output=folder / f"{seconds:g}"))
        spent = (time.process_time() - started) / steps
        figures = figures_of(average, unseen)
        rows.append(
            Row(
                name,
                {
                    "correlation": figures["mouth_opening_correlation"],
                    "at the best lag": figures["mouth_opening_correlation_best_lag"],
                    "lip error below a constant mouth": figures["lip_error_reduction"],
                    "weights": sum(value.numel() for value in average.encoder.parameters()),
                    "CPU s a step": spent,
                },
            )
        )
        shown.write(rows, folder)
    return rows, shown


def _train(seconds: float, clips: list[Talk], usual: Tensor, options: Namespace) -> Pair:
    torch.manual_seed(options.seed)
    pair = Pair(seconds, clips, usual)
    average = fit.Average(pair, 0.99)
    optimiser = torch.optim.AdamW(pair.parameters(), 1.5e-3, betas=(0.9, 0.98), weight_decay=0.05)
    parts = {"pair": pair, "average": average.network, "optimiser": optimiser}
    loop = Loop(options.output, parts, save_every=options.steps, log_every=10, echo=False)
    widest = (UNIT - STEP) // 2 + sum((kernel - 1) * dilation // 2 for kernel, dilation in CONTEXTS[1.96]) * STEP

    def take(step: int) -> dict[str, float]:
        noise, random = same_chance(options.seed, step), np.random.default_rng((options.seed, step))
        batch = middle(Sampler(clips, LENGTH + 2 * EDGE, random)(FACES))
        mel = hide_bands(pair.encoder.normalise(augment(batch.mel, noise)), noise)
        terms = motion_loss(pair.train()(mel, widest - pair.encoder.margin), batch)
        optimiser.param_groups[0]["lr"] = 1.5e-3 * fit.cosine(step, options.steps, warmup=min(50, options.steps // 5))
        if loop.descend(optimiser, weigh(terms), list(pair.parameters()), 1.0).isfinite():
            average.update(pair, step)
        return {name: float(term.detach()) for name, term in terms.items()}

    loop.run(options.steps, take)
    return average.network


WINDOWS = Table(
    "The embedded sync critic on unseen people: scores averaged over windows of each length.",
    {"shifted by 5 frames told apart": "{:.1%}", "offset within a frame": "{:.1%}", "windows": "{:,.0f}"},
    "shifted by 5 frames told apart",
    "half is chance; longer is better",
)


def ablate_windows(data: Path, folder: Path) -> tuple:
    """How well the sync critic judges windows of 0.2 to 2 s; rows and their table."""
    from ..evaluation.sync import sync_windows

    found = sync_windows(data, "val")
    names = tuple(WINDOWS.formats)
    rows = [Row(f"{seconds:g} s", dict(zip(names, values, strict=True))) for seconds, values in found.items()]
    WINDOWS.write(rows, folder)
    return rows, WINDOWS
