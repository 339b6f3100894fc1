"""Train the memory-compensated warper and the frame generator, with frame, difference and regression critics.

Self-reconstruction: a source frame and other frames of the same clip, or a picture and what a clip's motion makes of
it. The critics join for the last part of the steps (trial, point 4).
"""

from argparse import Namespace
from pathlib import Path

import numpy as np
import torch

from ..loading import load_network
from . import fit
from .devices import batches_ahead, workers_for
from .footage import Footage, mouth_opening, pack_footage
from .loop import Kept, Loop, same_chance
from .pairs import PairBatch, PairSampler
from .stills import read_stills
from .warper_step import LEARNING_RATE, PAINTED, PAIR, RUN, Step, Trainer, drive, make_trainer

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
    parser.add_argument(
        "--rate", type=float, default=LEARNING_RATE, help="highest learning rate (default: %(default)s)"
    )
    parser.add_argument("--fp32", action="store_true", help="train in float32 instead of bfloat16 autocast")
    parser.add_argument(
        "--from-embedded", action="store_true", help="start from the embedded weights, not from new ones"
    )
    parser.add_argument(
        "--mouths", action="store_true", help="keep the flow as it is and learn to paint wide-open mouths"
    )


def start_from_embedded(trainer: Trainer) -> None:
    """Take up the embedded weights, with new optimisers; mouth painter and regression critic are not among them."""
    networks = (trainer.warper, trainer.generator, trainer.critics["frame"], trainer.critics["difference"])
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
    settings = fit.settings_of(arguments, "sources", "driven", "rate", "fp32", "from_embedded", "mouths")
    parts = trainer.parts() | {"kept": kept}
    loop = Loop.of(arguments, fabric, parts, arguments.sources * arguments.driven, settings, save_every=100)
    settle_at = 0 if arguments.from_embedded else int(SETTLED_FROM * arguments.steps)
    trainer.train(arguments.mouths, settled=loop.state.step > settle_at)
    stills = read_stills(arguments.data, "train")
    sampler = PairSampler(footage, arguments.seed, arguments.sources, arguments.driven, arguments.mouths, stills)

    def run_at(step: int) -> int:
        """Frames in a row: none without critics, else few and many in turn, for runs are less varied than pairs."""
        critics = arguments.mouths or step >= CRITICS_FROM * arguments.steps
        return (RUN if step % 2 else PAIR) if critics else 1

    def draw(step: int) -> PairBatch:
        return sampler(run_at(step), loop.numbers(arguments.seed, step))

    batches = batches_ahead(draw, loop.state.step, arguments.steps, workers_for(fabric.device))

    def take(step: int) -> dict[str, float]:
        random, _ = loop.chance(arguments.seed, step)
        if step == settle_at:
            settle(trainer.made, sampler, same_chance(arguments.seed, step), keep_flow=arguments.mouths)
            trainer.train(arguments.mouths, settled=True)
        factor = fit.cosine(step, arguments.steps, flat=FLAT)
        for group in trainer.optimiser.param_groups:
            group["lr"] = arguments.rate * factor
        terms = Step(trainer, next(batches), random, run_at(step), not arguments.fp32).take(loop)
        trainer.average.update(trainer.made, step)
        return terms

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
        result = drive(made, pair, torch.Generator().manual_seed(index), run=1, amp=False)
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
        drive(made, sampler(), random, run=1, amp=False)


def export(trainer: Trainer, kept: Kept, arguments: Namespace, steps: int) -> None:
    """Write warper and generator, averaged and where they were best, and the critics; the mouth painter comes later."""
    average = kept.put_into(trainer.average.network)
    channels = {"channels": list(average["warper"].channels)}
    networks = (average["warper"], average["generator"], trainer.critics["frame"], trainer.critics["difference"])
    for stage, network, config in zip(STAGES, networks, (channels, channels, {}, {}), strict=True):
        fit.write_weights(arguments, stage, network, config, {"steps": steps})
