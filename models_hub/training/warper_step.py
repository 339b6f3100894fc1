"""One step of warper and generator, and of the critics that are trained beside them.

Dense motion learns from the whole of every driven frame; only some of them are painted, and those in a window, mostly
around the mouth, so that full resolution costs a seventh.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..loading import load_network
from ..losses.adversarial import (
    clip_decision_loss,
    feature_matching_loss,
    hinge_critic_loss,
    landmark_regression_loss,
)
from ..losses.density import density_loss
from ..losses.pixels import dynamic_pixel_loss
from ..networks.density import density_maps
from ..networks.difference_critic import DifferenceCritic
from ..networks.frame_critic import FrameCritic
from ..networks.generator import FrameGenerator
from ..networks.regression_critic import RegressionCritic
from ..networks.warper import MemoryWarper
from . import fit
from .devices import half, place
from .footage import SIZE
from .loop import Loop
from .pairs import PairBatch
from .render import WINDOW, Rendered, paste, render, window_corners
from .warper_losses import reconstruction, region_weights

PAINTED = 3  # frames of each source that are painted; one more once critics look at frames in a row
PAIR, RUN = 2, PAINTED + 1  # frames in a row for the difference critic, and for the regression critic as well
LEARNING_RATE, CRITIC_RATE = 4e-4, 2e-4
WEIGHTS = {
    "reconstruction": 10.0,
    "warped": 5.0,
    "warped_whole": 15.0,
    "dynamic_pixel": 5.0,  # ATVGnet
    "density": 1.0,  # CPNet
    "frame": 0.2,  # MCNet
    "frame_matching": 2.0,
    "difference": 0.1,  # clothes style transfer
    "difference_matching": 1.0,
    "regression": 0.2,  # ATVGnet
}


class Trainer:
    """Networks, optimisers and averages of one run.

    Args:
        warper, generator: what is trained, on their device.
        critics: "frame", "difference" and "regression", trained beside them.
    """

    def __init__(self, warper: MemoryWarper, generator: FrameGenerator, critics: dict[str, nn.Module]) -> None:
        self.warper, self.generator = warper, generator
        self.made = nn.ModuleDict({"warper": warper, "generator": generator})
        self.critics = nn.ModuleDict(critics)
        device = next(warper.parameters()).device
        self.estimator = place(copy.deepcopy(load_network("landmark_estimator")).requires_grad_(False), device)
        self.average = fit.Average(self.made)
        self.optimiser = torch.optim.Adam(self.made.parameters(), LEARNING_RATE, betas=(0.5, 0.999))
        self.critic_optimiser = torch.optim.Adam(self.critics.parameters(), CRITIC_RATE, betas=(0.5, 0.999))

    def train(self, keep_flow: bool, settled: bool) -> None:
        """Training mode; with `keep_flow` the dense motion stays exactly as it is.

        Once `settled`, batch norms keep their statistics: those of a dozen windows vary so much that colours
        inside mouths cannot be learned under them, and averaged weights would need statistics of their own.
        """
        self.made.train()
        for norm in self.made.modules():
            if settled and isinstance(norm, nn.BatchNorm2d):
                norm.eval()
        if keep_flow:
            self.warper.dense_motion.eval().requires_grad_(False)

    def parts(self) -> dict:
        """All that a step changes, for checkpoints."""
        return {
            "made": self.made,
            "critics": self.critics,
            "average": self.average.network,
            "optimiser": self.optimiser,
            "critic_optimiser": self.critic_optimiser,
        }


def make_trainer(device: torch.device | str = "cpu") -> Trainer:
    """Networks at their embedded sizes, new."""
    device = torch.device(device)
    critics = {"frame": FrameCritic(), "difference": DifferenceCritic(), "regression": RegressionCritic()}
    critics = {name: place(critic, device) for name, critic in critics.items()}
    return Trainer(place(MemoryWarper(), device), place(FrameGenerator(), device), critics)


@dataclass(frozen=True)
class Driven:
    """Sources driven to other frames of their clips: flow of all frames, painted windows of some."""

    rendered: Rendered  # of S * D frames, S * P of them painted
    real: Tensor  # (S * P, 3, w, w)
    whole: Tensor  # (S * P, 3, S, S), the same frames as they are
    points: Tensor  # (S * P, 68, 2) of the painted frames
    batch: PairBatch  # on the device


def drive(made: nn.ModuleDict, batch: PairBatch, random: torch.Generator, run: int, amp: bool) -> Driven:
    """Run warper and generator on a batch.

    Args:
        made: networks by name, "warper" and "generator".
        batch: from the sampler, on the CPU.
        random: of windows and of the noise on landmarks.
        run: how many of each source's frames follow each other and are seen through one window; above 1 a frame
            more is painted.
        amp: bfloat16 autocast.
    """
    device = next(made.parameters()).device
    driven = len(batch.driving) // len(batch.source)
    painted_each = PAINTED + int(run > 1)
    picked = (torch.arange(0, len(batch.driving), driven)[:, None] + torch.arange(painted_each)).flatten()
    points = batch.driving_points[picked]
    corners = share_window(window_corners(points, random), painted_each, run)
    # Estimated landmarks are never exact: neither are these.
    noisy = batch.driving_points + 0.003 * torch.randn(batch.driving_points.shape, generator=random)

    batch = batch.to(device)
    with half(device, amp):
        rendered = render(made, batch.source, batch.source_points, noisy.to(device), picked, corners, WINDOW)
    whole = batch.driving[picked]
    return Driven(rendered, rendered.cut(whole), whole, points.to(device), batch)


def share_window(corners: Tensor, painted_each: int, run: int) -> Tensor:
    """Corners (S * P, 2) of which the first `run` of each source are the same."""
    corners = corners.view(-1, painted_each, 2).clone()
    corners[:, 1:run] = corners[:, :1]
    return corners.view(-1, 2)


class Step:
    """One step: the generator's terms, then the critics' losses on the same frames.

    Args:
        trainer: networks and optimisers.
        batch: from the sampler, on the CPU.
        random: of windows and noise.
        run: 1 without critics; `PAIR` or `RUN` frames in a row with them.
        amp: bfloat16 autocast.
    """

    def __init__(self, trainer: Trainer, batch: PairBatch, random: torch.Generator, run: int, amp: bool) -> None:
        self.trainer, self.run = trainer, run
        self.driven = drive(trainer.made, batch, random, run, amp)
        rendered, points = self.driven.rendered, self.driven.points
        self.made, self.real = rendered.made, self.driven.real
        if run > 1:  # for the critics alone
            self.density = 8 * rendered.cut(density_maps(points, SIZE, 2.0))
            self.first = torch.arange(0, len(self.made), PAINTED + 1)  # of each source

    def take(self, loop: Loop) -> dict[str, float]:
        """Descend, and say what every term was."""
        trainer, rendered = self.trainer, self.driven.rendered
        terms = self.reconstruction()
        if self.run > 1:
            terms |= self.criticism()
        loss = sum(WEIGHTS[name] * value for name, value in terms.items())
        loop.descend(trainer.optimiser, loss, [value for value in trainer.made.parameters() if value.requires_grad])
        terms["l1"] = (self.made.detach() - self.real).abs().mean()
        terms["blend"] = rendered.blend.mean()
        if self.run > 1:
            terms["critics"] = self.critics_loss(self.made.detach())
            loop.descend(trainer.critic_optimiser, terms["critics"], list(trainer.critics.parameters()), torch.inf)
        return {name: float(value.detach()) for name, value in terms.items()}

    def reconstruction(self) -> dict[str, Tensor]:
        """What needs no critic."""
        rendered, points, batch = self.driven.rendered, self.driven.points, self.driven.batch
        # What the source never showed is not the flow's to explain: it would fetch nostrils for open mouths.
        error = (rendered.half - F.avg_pool2d(batch.driving, 2)) * (1 - rendered.hidden)
        return {
            "reconstruction": reconstruction(self.made, self.real, rendered.cut(region_weights(points, SIZE))),
            "warped": (error.abs() * region_weights(batch.driving_points, SIZE // 2)).mean(),
            "warped_whole": sum(F.avg_pool2d(error, scale).abs().mean() for scale in (1, 2, 4)),
            "dynamic_pixel": dynamic_pixel_loss(self.made, self.real, 1 - rendered.blend.float()),
        }

    def criticism(self) -> dict[str, Tensor]:
        """What critics and the landmark estimator find wrong with the frames."""
        trainer, terms = self.trainer, {}
        for name in ("frame", "difference"):
            score, mine = self.judge(name, self.made)
            with torch.no_grad():
                theirs = self.judge(name, self.real)[1]
            terms |= {name: -score.mean(), f"{name}_matching": feature_matching_loss(mine, theirs)}
        whole = self.whole(self.made)
        first = self.first  # the estimator is dear: a frame of each source will do
        terms["density"] = density_loss(trainer.estimator, whole[first], self.driven.points[first])
        if self.run == RUN:
            terms["regression"] = self.regression(whole, real=True)
        return terms

    def critics_loss(self, made: Tensor) -> Tensor:
        """What the critics minimise, on frames without the way back into the generator."""
        pairs = [(self.judge(name, self.real)[0], self.judge(name, made)[0]) for name in ("frame", "difference")]
        loss = sum(hinge_critic_loss(*pair) for pair in pairs)
        if self.run == RUN:
            loss = loss + self.regression(self.driven.whole, real=True) + self.regression(self.whole(made), real=False)
        return loss

    def judge(self, name: str, frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Scores and features of a patch critic; the difference critic sees each source's first two frames."""
        critic = self.trainer.critics[name]
        if name == "frame":
            return critic.judge(frames, self.density)
        first = self.first
        return critic.judge(frames[first], frames[first + 1], self.density[first + 1] - self.density[first])

    def regression(self, whole: Tensor, real: bool) -> Tensor:
        """How far the regression critic is from calling each source's run of frames real (or made), and its landmarks
        from those driven to."""
        points = self.driven.points.unflatten(0, (-1, RUN))
        found, decision = self.trainer.critics["regression"].judge(
            whole.unflatten(0, (-1, RUN)), self.driven.batch.source_points
        )
        return clip_decision_loss(decision, real) + landmark_regression_loss(found, points)

    def whole(self, made: Tensor) -> Tensor:
        """The real frames (S * P, 3, S, S) with the made windows in their places."""
        return paste(self.driven.rendered, made.float(), self.driven.whole)
