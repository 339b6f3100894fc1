"""The training loop that the face finder and the landmark estimator share."""

import signal
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from . import fit


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
    checkpoint, log = arguments.output / "checkpoint.pt", fit.Log(arguments.output / "log.jsonl")
    average = fit.Average(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=arguments.rate, weight_decay=1e-2)
    parts = {"network": network, "average": average.network, "optimiser": optimiser}
    start = 0
    if arguments.resume:
        saved = fit.load_checkpoint(checkpoint)
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        start = saved["step"]
    stopped: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, _: stopped.append(number))
    try:
        for step in range(start, arguments.steps):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(step, arguments.steps, arguments.rate)
            network.train()
            value, figures = loss(step)
            optimiser.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
            average.update(network, step)
            log.add(step, **figures)
            done = step + 1
            if done % every == 0 or done == arguments.steps or stopped:
                fit.save_checkpoint(
                    checkpoint, {"step": done} | {name: part.state_dict() for name, part in parts.items()}
                )
            if stopped:
                raise KeyboardInterrupt
            if done % every == 0:
                print(done, validate(average.network), flush=True)
    finally:
        signal.signal(signal.SIGINT, previous)
    return average.network
