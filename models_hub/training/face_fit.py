"""The training loop that the face finder and the landmark estimator share."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from . import fit
from .loop import Loop, same_chance


def add_arguments(parser: ArgumentParser, steps: int, output: str) -> None:
    """Options of both trainings, with their defaults."""
    fit.add_common_arguments(parser, steps, output)
    parser.add_argument("--cache", type=Path, help="folder for decoded frames (default: OUTPUT/cache)")
    parser.add_argument("--batch", type=int, default=16, help="pictures in a step (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate (default: %(default)s)")
    parser.add_argument("--install", action="store_true", help="replace the embedded weights and their card")


def learning_rate(step: int, steps: int, highest: float) -> float:
    """A short rise, a plateau, and a fall to zero over the last 40 % of the steps.

    The plateau, unlike a cosine, lets a resumed run be given more steps or fewer.
    """
    return highest * min(1.0, (step + 1) / 100, (steps - step) / (0.4 * steps))


def train(
    network: nn.Module,
    loss: Callable[[int], tuple[Tensor, dict[str, float]]],
    arguments: Namespace,
    validate: Callable[[nn.Module], dict[str, float]],
    every: int = 1000,
) -> nn.Module:
    """Optimise and return the running average of the weights; Ctrl-C saves a checkpoint first.

    Args:
        network: what to train, in place.
        loss: step -> loss and figures to log; the step seeds its batch, so that resuming changes nothing.
        arguments: of `add_arguments`.
        validate: figures of the averaged network for the log.
        every: steps between checkpoints and validations.
    """
    average = fit.Average(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=arguments.rate, weight_decay=1e-2)
    parts = {"network": network, "average": average.network, "optimiser": optimiser}
    loop = Loop(arguments.output, parts, resume=arguments.resume, save_every=every)

    def take(step: int) -> dict[str, float]:
        same_chance(arguments.seed, step)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, arguments.steps, arguments.rate)
        network.train()
        value, figures = loss(step)
        if loop.descend(optimiser, value, list(network.parameters())).isfinite():
            average.update(network, step)
        return figures

    def judge(step: int) -> None:
        if step % every == 0:
            print(step, validate(average.network), flush=True)

    loop.run(arguments.steps, take, judge)
    return average.network
