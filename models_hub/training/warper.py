"""Train the memory-compensated warper and the frame generator, with frame and difference critics.

Self-reconstruction: a source frame and other frames of the same clip. Dense motion learns from the
whole 256x256 of every driven frame; only some of them are painted, and those in a 96x96 window,
mostly around the mouth, so that full resolution costs a seventh. The critics join for the last part
of the steps (trial, point 4).
"""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..loading import load_network
from ..losses.adversarial import feature_matching_loss, hinge_critic_loss
from ..networks.density import density_maps
from ..networks.difference_critic import DifferenceCritic
from ..networks.frame_critic import FrameCritic
from ..networks.generator import FrameGenerator
from ..networks.ibug68 import LIPS
from ..networks.warper import MemoryWarper
from . import fit
from .devices import batches_ahead, half, place, workers_for
from .footage import SIZE, Footage, PairBatch, PairSampler, mouth_opening, pack_footage
from .loop import Kept, Loop, same_chance
from .render import Rendered, render
from .warper_losses import reconstruction, region_weights

PAINTED = 3  # frames of each source that are painted; one more once the critics want neighbours
WINDOW = 0.375  # side of the decoded window, as a fraction of the crop
CELL = 8 / SIZE  # windows start at whole cells of the coarsest features
LEARNING_RATE, CRITIC_RATE = 4e-4, 2e-4
LOOK_EVERY = 500
STAGES = ("warper", "generator", "frame_critic", "difference_critic")
FLAT = 0.6  # share of the steps at the full learning rate
CRITICS_FROM = 0.55  # share of the steps that runs without critics
SETTLED_FROM = 0.25  # share of the steps after which the batch norms' statistics stay as they are


def add_arguments(parser) -> None:
    """Arguments of `train warper`."""
    fit.add_common_arguments(parser, steps=6000, output="runs/warper")
    parser.add_argument("--cache", type=Path, help="folder for decoded frames (default: OUTPUT/footage)")
    parser.add_argument("--sources", type=int, default=4, help="source faces in a batch")
    parser.add_argument("--driven", type=int, default=4, help="frames driven from each source (4 to 6)")
    parser.add_argument("--fp32", action="store_true", help="train in float32 instead of bfloat16 autocast")
    parser.add_argument(
        "--from-embedded", action="store_true", help="start from the embedded weights, not from new ones"
    )
    parser.add_argument(
        "--mouths", action="store_true", help="keep the flow as it is and learn to paint wide-open mouths"
    )


@dataclass
class Trainer:
    """Networks, optimisers, averages and counters of one run."""

    warper: MemoryWarper
    generator: FrameGenerator
    frame_critic: FrameCritic
    difference_critic: DifferenceCritic

    def __post_init__(self) -> None:
        self.made = torch.nn.ModuleDict({"warper": self.warper, "generator": self.generator})
        self.critics = torch.nn.ModuleDict({"frame": self.frame_critic, "difference": self.difference_critic})
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
            if settled and isinstance(norm, torch.nn.BatchNorm2d):
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


def window_corners(points: Tensor, generator: torch.Generator) -> Tensor:
    """Where the decoded windows lie, (B, 2) top and left as fractions: mostly around the mouth."""
    centre = (points[:, list(LIPS)].mean(1).flip(-1) + 1) / 2  # (B, 2) y, x in 0..1
    anywhere = torch.rand(len(points), 2, generator=generator)
    near_mouth = centre + 0.05 * torch.randn(len(points), 2, generator=generator)
    chosen = torch.where(torch.rand(len(points), 1, generator=generator) < 0.85, near_mouth, anywhere)
    corners = (chosen - WINDOW / 2).clamp(0, 1 - WINDOW)
    return (corners / CELL).round() * CELL


@dataclass(frozen=True)
class Driven:
    """Sources driven to other frames of their clips: flow of all frames, painted windows of some."""

    rendered: Rendered  # of S * D frames, S * P of them painted
    real: Tensor  # (S * P, 3, w, w)
    points: Tensor  # (S * P, 68, 2) of the painted frames
    batch: PairBatch  # on the device


def drive(made: torch.nn.ModuleDict, batch: PairBatch, random: torch.Generator, neighbours: bool, amp: bool) -> Driven:
    """Run warper and generator on a batch.

    Args:
        made: networks by name, "warper" and "generator".
        batch: from the sampler, on the CPU.
        random: of windows and of the noise on landmarks.
        neighbours: paint one frame more, and the first two of each source through the same window.
        amp: bfloat16 autocast.
    """
    device = next(made.parameters()).device
    driven = len(batch.driving) // len(batch.source)
    painted_each = PAINTED + int(neighbours)
    picked = (torch.arange(0, len(batch.driving), driven)[:, None] + torch.arange(painted_each)).flatten()
    points = batch.driving_points[picked]
    corners = window_corners(points, random)
    if neighbours:
        corners = share_window(corners, painted_each)
    # Estimated landmarks are never exact: neither are these.
    noisy = batch.driving_points + 0.003 * torch.randn(batch.driving_points.shape, generator=random)

    batch = batch.to(device)
    with half(device, amp):
        rendered = render(made, batch.source, batch.source_points, noisy.to(device), picked, corners, WINDOW)
    return Driven(rendered, rendered.cut(batch.driving[picked]), points.to(device), batch)


def generator_step(
    trainer: Trainer, batch: PairBatch, random: torch.Generator, critics: bool, amp: bool, loop: Loop
) -> dict:
    """One step of warper and generator; returns the terms and what the critics need."""
    result = drive(trainer.made, batch, random, critics, amp)
    batch = result.batch
    rendered, real = result.rendered, result.real
    made = rendered.made
    terms = {"reconstruction": reconstruction(made, real, rendered.cut(region_weights(result.points, SIZE)))}
    # What the source never showed is not the flow's to explain: it would fetch nostrils for open mouths.
    error = (rendered.half - F.avg_pool2d(batch.driving, 2)) * (1 - rendered.hidden)
    terms["warped"] = (error.abs() * region_weights(batch.driving_points, SIZE // 2)).mean()
    terms["warped_whole"] = sum(F.avg_pool2d(error, scale).abs().mean() for scale in (1, 2, 4))
    loss = 10 * terms["reconstruction"] + 5 * terms["warped"] + 15 * terms["warped_whole"]
    judged = None
    if critics:
        density = 8 * rendered.cut(density_maps(result.points, SIZE, 2.0))
        first = torch.arange(0, len(made), PAINTED + 1)
        judged = (made, real, density, first)
        score, mine = trainer.frame_critic.judge(made, density)
        with torch.no_grad():
            theirs = trainer.frame_critic.judge(real, density)[1]
        terms["frame_matching"] = feature_matching_loss(mine, theirs)
        loss = loss - 0.2 * score.mean() + 2 * terms["frame_matching"]
        pair, pair_features = difference_judgement(trainer, made, density, first)
        with torch.no_grad():
            theirs = difference_judgement(trainer, real, density, first)[1]
        terms["difference_matching"] = feature_matching_loss(pair_features, theirs)
        loss = loss - 0.1 * pair.mean() + terms["difference_matching"]
    loop.descend(trainer.optimiser, loss, [value for value in trainer.made.parameters() if value.requires_grad])
    terms["l1"] = (made.detach() - real).abs().mean()
    terms["blend"] = rendered.blend.mean()
    return {"terms": {name: float(value.detach()) for name, value in terms.items()}, "judged": judged}


def difference_judgement(trainer: Trainer, frames: Tensor, density: Tensor, first: Tensor) -> tuple:
    """The difference critic's view of every source's two neighbouring frames."""
    change = density[first + 1] - density[first]
    return trainer.difference_critic.judge(frames[first], frames[first + 1], change)


def critic_step(trainer: Trainer, judged: tuple, loop: Loop) -> float:
    """One step of both critics on the same frames."""
    made, real, density, first = judged
    made = made.detach()
    loss = hinge_critic_loss(trainer.frame_critic.judge(real, density)[0], trainer.frame_critic.judge(made, density)[0])
    loss = loss + hinge_critic_loss(
        difference_judgement(trainer, real, density, first)[0], difference_judgement(trainer, made, density, first)[0]
    )
    loop.descend(trainer.critic_optimiser, loss, list(trainer.critics.parameters()), torch.inf)
    return float(loss.detach())


def share_window(corners: Tensor, painted_each: int) -> Tensor:
    """The neighbouring frames of a source must be seen through the same window."""
    corners = corners.view(-1, painted_each, 2).clone()
    corners[:, 1] = corners[:, 0]
    return corners.view(-1, 2)


def make_trainer(device: torch.device | str = "cpu") -> Trainer:
    """Networks at their embedded sizes, new."""
    networks = MemoryWarper(), FrameGenerator(), FrameCritic(), DifferenceCritic()
    return Trainer(*(place(network, torch.device(device)) for network in networks))


def start_from_embedded(trainer: Trainer) -> None:
    """Take up the embedded weights of all four networks, with new optimisers; the mouth painter is not among them."""
    networks = (*trainer.made.values(), *trainer.critics.values())
    for stage, network in zip(STAGES, networks, strict=True):
        weights, wanted = load_network(stage).state_dict(), network.state_dict()
        network.load_state_dict({name: weights[name] for name in wanted})
    trainer.average = fit.Average(trainer.made)


def run(arguments) -> None:
    """Train until `--steps`; stop at any time and go on with `--resume`."""
    fabric = fit.launch(arguments)
    cache = arguments.cache or arguments.output / "footage"
    with fabric.rank_zero_first():
        footage, held_out = (pack_footage(arguments.data, cache, split) for split in ("train", "val"))
    trainer = make_trainer(fabric.device)
    if arguments.from_embedded:
        start_from_embedded(trainer)
    kept, looks = Kept(), closed_pairs(held_out)
    settings = fit.settings_of(arguments, "sources", "driven", "fp32", "from_embedded", "mouths")
    parts = trainer.parts() | {"kept": kept}
    loop = Loop.of(arguments, fabric, parts, arguments.sources * arguments.driven, settings, save_every=100)
    settle_at = 0 if arguments.from_embedded else int(SETTLED_FROM * arguments.steps)
    trainer.train(arguments.mouths, settled=loop.state.step > settle_at)
    sampler = PairSampler(footage, arguments.seed, arguments.sources, arguments.driven, widest=arguments.mouths)

    def critics_at(step: int) -> bool:
        return arguments.mouths or step >= CRITICS_FROM * arguments.steps

    def draw(step: int) -> PairBatch:
        return sampler(critics_at(step), loop.numbers(arguments.seed, step))

    batches = batches_ahead(draw, loop.state.step, arguments.steps, workers_for(fabric.device))

    def take(step: int) -> dict[str, float]:
        random, _ = loop.chance(arguments.seed, step)
        if step == settle_at:
            settle(trainer.made, sampler, same_chance(arguments.seed, step), keep_flow=arguments.mouths)
            trainer.train(arguments.mouths, settled=True)
        factor = fit.cosine(step, arguments.steps, flat=FLAT)
        for group in trainer.optimiser.param_groups:
            group["lr"] = LEARNING_RATE * factor
        critics = critics_at(step)
        result = generator_step(trainer, next(batches), random, critics, not arguments.fp32, loop)
        if critics:
            result["terms"]["critics"] = critic_step(trainer, result["judged"], loop)
        trainer.average.update(trainer.made, step)
        return result["terms"]

    def judge(step: int) -> None:
        if loop.writes and (step % LOOK_EVERY == 0 or step == arguments.steps):
            error = look(trainer.average.network, looks)
            loop.tell(mouth_l1=error)
            if step > FLAT * arguments.steps:  # critics cost L1: what came before them is no rival
                loop.offer(-error, trainer.average.network, kept)

    loop.run(arguments.steps, take, judge)
    if loop.writes:
        export(trainer, kept, arguments, loop.state.step)


def closed_pairs(footage: Footage) -> list[PairBatch]:
    """Of every clip the most closed mouth, driven to frames spread over the clip."""
    pairs = []
    for start, length in zip(footage.starts, footage.lengths, strict=True):
        here = np.arange(start, start + length)
        source = here[mouth_opening(footage.points[here]).argmin()]
        frames, points = footage.take([source, *here[np.linspace(0, length - 1, PAINTED + 2).astype(int)[1:-1]]])
        pairs.append(PairBatch(frames[:1], points[:1], frames[1:], points[1:]))
    return pairs


@torch.no_grad()
def look(made: torch.nn.ModuleDict, pairs: list[PairBatch]) -> float:
    """Mean L1 of painted windows, most of them around mouths, the same ones at every look."""
    errors = []
    for index, pair in enumerate(pairs):
        result = drive(made, pair, torch.Generator().manual_seed(index), neighbours=False, amp=False)
        errors.append(float((result.rendered.made - result.real).abs().mean()))
    return float(np.mean(errors))


@torch.no_grad()
def settle(
    made: torch.nn.ModuleDict, sampler: PairSampler, random: torch.Generator, keep_flow: bool, batches: int = 40
) -> None:
    """Measure the batch norms' statistics anew, as plain means over many batches."""
    for norm in (made["generator"] if keep_flow else made).modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.train().reset_running_stats()
            norm.momentum = None  # a plain mean over all batches
    for _ in range(batches):
        drive(made, sampler(), random, neighbours=False, amp=False)


def export(trainer: Trainer, kept: Kept, arguments: Namespace, steps: int) -> None:
    """Write warper and generator, averaged and where they were best, and the critics; the mouth painter comes later."""
    average = kept.put_into(trainer.average.network)
    channels = {"channels": list(average["warper"].channels)}
    networks = (average["warper"], average["generator"], trainer.frame_critic, trainer.difference_critic)
    for stage, network, config in zip(STAGES, networks, (channels, channels, {}, {}), strict=True):
        fit.write_weights(arguments, stage, network, config, {"steps": steps})
