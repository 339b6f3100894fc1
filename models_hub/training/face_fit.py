"""The training loop that the face finder and the landmark estimator share."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import fit
from .devices import batches_ahead, on_cpu, workers_for
from .loop import Kept, Loop


def add_arguments(parser: ArgumentParser, steps: int, output: str) -> None:
    """Options of both trainings, with their defaults."""
    fit.add_common_arguments(parser, steps, output)
    parser.add_argument("--cache", type=Path, help="folder for decoded frames (default: OUTPUT/cache)")
    parser.add_argument("--batch", type=int, default=16, help="pictures in a step (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate (default: %(default)s)")


def learning_rate(step: int, steps: int, highest: float) -> float:
    """A short rise, a plateau, and a fall to zero over the last 40 % of the steps.

    The plateau, unlike a cosine, lets a resumed run be given more steps or fewer.
    """
    return highest * min(1.0, (step + 1) / 100, (steps - step) / (0.4 * steps))


def train(
    network: nn.Module,
    draw: Callable[[np.random.Generator], list[Tensor]],
    loss: Callable[[list[Tensor]], tuple[Tensor, dict[str, float]]],
    arguments: Namespace,
    fabric: Any,
    validate: Callable[[nn.Module], dict[str, float]],
    figure: Callable[[dict[str, float]], float],
    every: int = 1000,
) -> nn.Module | None:
    """Optimise; Ctrl-C saves a checkpoint first.

    Args:
        network: what to train, in place; on the devices of `fabric`.
        draw: a batch, from numbers that seed and step give, so that resuming changes nothing.
        loss: batch on the device -> loss and figures to log.
        arguments: of `add_arguments`.
        fabric: the devices.
        validate: figures of a network on people that are not learned from.
        figure: the one of them by which weights are kept; more is better.
        every: steps between checkpoints and validations.

    Returns:
        The running average of the weights where it was best; None in a process that writes nothing.
    """
    average = fit.Average(network)
    kept = Kept()
    optimiser = torch.optim.AdamW(network.parameters(), lr=arguments.rate, weight_decay=1e-2)
    parts = {"network": network, "average": average.network, "optimiser": optimiser, "kept": kept}
    settings = fit.settings_of(arguments, "batch", "rate")
    loop = Loop.of(arguments, fabric, parts, arguments.batch, settings, save_every=every)
    batches = batches_ahead(
        lambda step: draw(loop.numbers(arguments.seed, step)),
        loop.state.step,
        arguments.steps,
        workers_for(fabric.device),
    )

    def take(step: int) -> dict[str, float]:
        loop.chance(arguments.seed, step)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, arguments.steps, arguments.rate)
        network.train()
        value, figures = loss([part.to(fabric.device) for part in next(batches)])
        if loop.descend(optimiser, value, list(network.parameters())).isfinite():
            average.update(network, step)
        return figures

    def judge(step: int) -> None:
        if loop.writes and (step % every == 0 or step == arguments.steps):
            figures = validate(on_cpu(average.network))
            loop.tell(**figures)
            loop.offer(figure(figures), average.network, kept)

    loop.run(arguments.steps, take, judge)
    return kept.put_into(average.network) if loop.writes else None
