"""The loop of every training: steps counted, checkpoints whole, exact resume, a log and a plot of every term.

From scratch or for one person, with one optimiser or with critics: a training says what one step is, and this says
what happens around it. A step must depend on nothing but its number, the seed and what is in the checkpoint; then a
killed training goes on as if nothing had happened. On several devices everything but the batches is the same on
each, and gradients are shared.
"""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError
from . import fit
from .records import Records, plot_records

LOST_PATIENCE = 25
"""Steps in a row that may be skipped because they are not finite."""
CHECKPOINT, PLOT = "checkpoint.pt", "losses.png"


@dataclass
class LoopState:
    """Counters of a training.

    Attributes:
        step: done steps.
        skipped: steps whose loss or gradients were not finite.
        ended: why the training ended before its steps; empty otherwise.
        best: the figure of the weights that are kept, as the training measures it; None where none are.
        best_step: the step that they are of.
    """

    step: int = 0
    skipped: int = 0
    ended: str = ""
    best: float | None = None
    best_step: int = 0


class Loop:
    """Steps with all that surrounds them.

    Args:
        folder: for checkpoint.pt, log.jsonl and losses.png.
        parts: everything that a step changes, by name: networks, optimisers, averages (`state_dict` and back).
        state: counters; new ones by default.
        resume: go on from the folder's checkpoint.
        save_every: steps between checkpoints.
        log_every: steps whose means make one line of the log.
        echo: print the lines of the log, too.
        settings: what must be the same when a training goes on; nothing lets everything change.
        fabric: the devices; None is one CPU. Of several processes one writes files.
        samples: that a step learns from on each device, for the log's throughput; 0 leaves it out.

    Raises:
        InputError: no checkpoint to go on from, or one of other settings.
    """

    def __init__(
        self,
        folder: Path,
        parts: dict[str, Any],
        state: LoopState | None = None,
        *,
        resume: bool = False,
        save_every: int = 500,
        log_every: int = 50,
        echo: bool = True,
        settings: dict[str, Any] | None = None,
        fabric: Any = None,
        samples: int = 0,
    ) -> None:
        self.folder, self.parts, self.state = Path(folder), parts, state or LoopState()
        self.save_every, self.log_every, self.echo = save_every, log_every, echo
        self.settings, self.fabric, self.samples = settings or {}, fabric, samples
        self.devices, self.rank = (1, 0) if fabric is None else (fabric.world_size, fabric.global_rank)
        self.writes = self.rank == 0
        self.folder.mkdir(parents=True, exist_ok=True)
        if resume:
            self._restore(fit.load_checkpoint(self.folder / CHECKPOINT))
        self.records = Records(self.folder, self.state.step if resume else None) if self.writes else None
        self._sums: dict[str, list[float]] = {}
        self._lost = False

    @classmethod
    def of(
        cls, arguments: Any, fabric: Any, parts: dict[str, Any], samples: int, settings: dict[str, Any], **every: int
    ) -> "Loop":
        """The loop of a training command, from its options; `every`: `save_every` and `log_every`."""
        options = {"settings": settings, "fabric": fabric, "samples": samples, **every}
        return cls(arguments.output, parts, resume=arguments.resume, **options)

    # ---- steps

    def run(
        self,
        steps: int,
        take: Callable[[int], dict[str, Any]],
        judge: Callable[[int], None] | None = None,
        watch: Callable[[int], None] | None = None,
    ) -> LoopState:
        """Take all steps that are left. Ctrl-C, SIGTERM and SIGHUP wait for the end of a step and save first.

        Args:
            steps: in all.
            take: one step by its number, from 0; returns what is logged.
            judge: called after every step with the number of those done, before the checkpoint; may set `state.ended`.
            watch: called last; what it raises ends the training, after a checkpoint.

        Raises:
            InputError: the losses stopped being finite.
        """
        state, lost = self.state, 0
        with _interrupts() as interrupted:
            while state.step < steps and not state.ended:
                started = time.monotonic()
                facts = take(state.step)
                lost, self._lost = lost + 1 if self._lost else 0, False
                state.step += 1
                if lost >= LOST_PATIENCE:
                    raise InputError(
                        f"The losses of {lost} steps in a row are not finite, at step {state.step}; lower the learning "
                        f"rate or the weights of the losses. The last checkpoint is kept in {self.folder}."
                    )
                self._log(facts | {"seconds": time.monotonic() - started})
                if judge is not None:
                    judge(state.step)
                if state.step % self.save_every == 0 or state.step == steps or state.ended:
                    self.save()
                try:
                    if watch is not None:
                        watch(state.step)
                    if interrupted:
                        raise KeyboardInterrupt
                except BaseException:  # cancelled, by whatever the host raises: keep what was learned
                    self.save()
                    self.plot()
                    raise
        self._write_means()
        self.plot()
        return state

    def descend(
        self,
        optimiser: Any,
        loss: Tensor,
        parameters: list[nn.Parameter],
        clip: float = 5.0,
        backward: Callable[[Tensor], None] | None = None,
    ) -> Tensor:
        """One step of an optimiser; not taken, and counted, where the loss or its gradients are not finite.

        Args:
            optimiser, parameters: what moves.
            loss: what falls.
            clip: largest gradient norm.
            backward: how gradients are made and shared between devices; by default the loop does it.

        Returns:
            The gradient norm before clipping; not finite where the step was skipped.
        """
        optimiser.zero_grad(set_to_none=True)
        if backward is None:
            loss.backward()
            self.share(parameters)
        else:
            backward(loss)
        norm = nn.utils.clip_grad_norm_(parameters, clip)
        # Devices share gradients but not losses: several decide by the gradients, and so alike.
        if self.devices == 1 and not loss.detach().isfinite():
            norm = torch.full_like(norm, torch.nan)
        if norm.isfinite():
            optimiser.step()
        else:
            self.state.skipped += 1
            self._lost = True
            optimiser.zero_grad(set_to_none=True)
        return norm

    def share(self, parameters: list[nn.Parameter]) -> None:
        """Make gradients the mean over all devices."""
        if self.devices == 1:
            return
        given = [torch.zeros_like(value) if value.grad is None else value.grad for value in parameters]
        mean = self.fabric.all_reduce(torch.cat([grad.flatten() for grad in given]), reduce_op="mean")
        for value, part in zip(parameters, mean.split([value.numel() for value in parameters]), strict=True):
            value.grad = part.view_as(value).clone()

    def chance(self, seed: int, step: int) -> tuple[torch.Generator, np.random.Generator]:
        """Make all that is random in a step a function of seed, step and device; gives generators for the rest."""
        return same_chance(seed, step, self.rank), self.numbers(seed, step)

    def numbers(self, seed: int, step: int) -> np.random.Generator:
        """The second of the generators of a step alone: batches that are made ahead must leave torch's as they are."""
        return np.random.default_rng((seed, step, self.rank) if self.rank else (seed, step))

    # ---- what is kept

    def tell(self, **figures: float) -> None:
        """Figures of people that are not learned from, into the log and onto the screen."""
        self.note(self.state.step, **{f"val_{name}": value for name, value in figures.items()})
        if self.echo and self.writes:
            said = {f"val_{name}": round(value, 5) for name, value in figures.items()}
            print(json.dumps({"step": self.state.step} | said), flush=True)

    def offer(self, figure: float, network: nn.Module, kept: "Kept", always: bool = False) -> None:
        """Keep a network's weights if `figure`, of which more is better, is higher than ever before, or `always`."""
        if always or self.state.best is None or figure > self.state.best:
            self.state.best, self.state.best_step = figure, self.state.step
            kept.tensors = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def note(self, step: int, **facts: Any) -> None:
        """Write a line of the log by itself."""
        if self.records is not None:
            self.records.add(step, **facts)

    def _log(self, facts: dict[str, Any]) -> None:
        for name, value in facts.items():
            self._sums.setdefault(name, []).append(float(value))
        if self.state.step % self.log_every == 0:
            self._write_means()

    def _write_means(self) -> None:
        """A line of the log from all steps since the last one."""
        if not self._sums:
            return
        means = {name: sum(values) / len(values) for name, values in self._sums.items()}
        self._sums = {}
        if self.samples:
            means["samples_a_second"] = self.samples * self.devices / max(means["seconds"], 1e-9)
        self.note(self.state.step, **means)
        if self.echo and self.writes:
            print(json.dumps({"step": self.state.step} | {k: round(v, 5) for k, v in means.items()}), flush=True)

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        if self.writes:
            content = {"step": self.state.step, "state": json.dumps(asdict(self.state))}
            content["settings"] = json.dumps(self.settings)
            content |= {name: part.state_dict() for name, part in self.parts.items()}
            fit.save_checkpoint(self.folder / CHECKPOINT, content)

    def _restore(self, content: dict[str, Any]) -> None:
        before = json.loads(content.get("settings") or "{}")
        now = json.loads(json.dumps(self.settings))
        other = [name for name in before if before[name] != now.get(name)] if now else []
        if other:
            said = "; ".join(f"{name} was {before[name]} and is {now.get(name)}" for name in other)
            raise InputError(
                f"The checkpoint in {self.folder} is of a training with other settings ({said[:300]}); give the same "
                "ones to go on, or another folder (or --overwrite) to begin anew."
            )
        counters = json.loads(content["state"]) if "state" in content else {"step": content["step"]}
        for name, value in counters.items():
            setattr(self.state, name, value)
        for name, part in self.parts.items():
            try:
                part.load_state_dict(content[name])
            except (KeyError, RuntimeError, ValueError) as error:
                raise InputError(
                    f"The checkpoint in {self.folder} is of another training, or of another version of this one: its "
                    f"{name!r} does not fit. Begin anew in another folder, without --resume."
                ) from error

    def plot(self) -> Path | None:
        """Draw the log; None where nothing was logged."""
        if self.records is None:
            return None
        try:
            return plot_records(self.records.path, self.folder / PLOT)
        except InputError:  # fewer steps than make a line
            return None

    def close(self) -> None:
        """Finish the log."""
        if self.records is not None:
            self.records.close()


class Kept:
    """Weights that were best, as a part of a loop."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}

    def put_into(self, network: nn.Module) -> nn.Module:
        """The network with these weights, on the CPU; with its own where none were kept."""
        if self.tensors:
            network.load_state_dict(self.tensors)
        return network.cpu().eval()

    def state_dict(self) -> dict[str, Tensor]:
        """The tensors."""
        return self.tensors

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Take tensors up again."""
        self.tensors = tensors


def same_chance(seed: int, step: int, rank: int = 0) -> torch.Generator:
    """Make all that is random in a step a function of seed, step and device; gives a generator for the rest."""
    torch.manual_seed(seed * 1_000_003 + step + rank * 7_368_787)  # of dropout
    return torch.Generator().manual_seed(seed * 1_000_003 + step + 1 + rank * 7_368_787)


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """A list that gets an entry at the first Ctrl-C (or polite kill); the second one is as ever."""
    seen: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # hosts run nodes in a thread, and cancel otherwise
        yield seen
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
        numbers.append(signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def first(number: int, _frame: Any) -> None:
        seen.append(number)
        restore()

    for number in before:
        signal.signal(number, first)
    try:
        yield seen
    finally:
        restore()
