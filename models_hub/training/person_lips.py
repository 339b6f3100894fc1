"""The landmark predictor's fit to one person: how this person moves the lips when they say something.

The audio encoder stays; the predictor, a small head on its units, learns the motion seen in the footage. Ours.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..networks.audio_to_lip import STEP
from ..networks.landmark_predictor import LandmarkPredictor
from ..networks.lip_shape import LIP_SLICE, MOVING, steady_face
from .material import Take
from .speech_data import ANY_SMILE, closed_reference

STEPS, RATE, LOOK_EVERY, PATIENCE = 300, 1e-3, 20, 4


@dataclass(frozen=True)
class LipFit:
    """A tuned predictor, and the error of lip motion on the held-back frames (in eye distances) before and after."""

    network: LandmarkPredictor
    before: float
    after: float


def motions(takes: list[Take]) -> list[tuple[Tensor, Tensor]]:
    """Mel (4 T, 64) and motion (T, 37, 2) away from the closed mouth, of all takes with sound."""
    found = []
    for take in takes:
        if take.mel is not None:
            steady = steady_face(take.points)
            moving = steady[:, MOVING]
            found.append((take.mel[: len(take) * STEP], moving - closed_reference(steady, moving, ANY_SMILE)))
    return found


def tune_predictor(
    predictor: LandmarkPredictor, encoder: nn.Module, learned: list[Take], held: list[Take], seed: int = 0
) -> LipFit:
    """Fit the predictor to a person's takes; the best on the held-back ones comes out, at worst the old one.

    Args:
        predictor, encoder: as they are; copied and left alone.
        learned, held: takes; those without sound are passed over.
        seed: of the dropout.
    """
    torch.manual_seed(seed)
    tuned = copy.deepcopy(predictor).requires_grad_(True)
    with torch.no_grad():
        pairs, watched = (
            [(encoder(encoder.normalise(mel)[None])[0], motion) for mel, motion in motions(takes)]
            for takes in (learned, held)
        )

    def error(network: nn.Module) -> float:
        with torch.no_grad():
            parts = [(network(units) - motion)[:, LIP_SLICE].norm(dim=-1).mean() for units, motion in watched or pairs]
        return float(torch.stack(parts).mean())

    before = best = error(predictor)
    state, stale = copy.deepcopy(tuned.state_dict()), 0
    optimiser = torch.optim.AdamW(tuned.parameters(), RATE, weight_decay=0.0)
    for step in range(STEPS):
        tuned.train()
        terms = []
        for units, motion in pairs:
            made = tuned(units)
            terms.append((made - motion).abs().mean() + 2 * (made.diff(dim=0) - motion.diff(dim=0)).abs().mean())
        optimiser.zero_grad()
        torch.stack(terms).mean().backward()
        nn.utils.clip_grad_norm_(tuned.parameters(), 1.0)
        optimiser.step()
        if (step + 1) % LOOK_EVERY == 0:
            now = error(tuned.eval())
            if now < best:
                best, state, stale = now, copy.deepcopy(tuned.state_dict()), 0
            elif (stale := stale + 1) >= PATIENCE:
                break
    tuned.load_state_dict(state)
    return LipFit(tuned.eval().requires_grad_(False), before, best)
