"""The loop of every training: steps counted, checkpoints whole, exact resume, a log and a plot of every term.

From scratch or for one person, with one optimiser or with critics: a training says what one step is, and this says
what happens around it. A step must depend on nothing but its number, the seed and what is in the checkpoint; then a
killed training goes on as if nothing had happened.
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
    """

    step: int = 0
    skipped: int = 0
    ended: str = ""


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
        settings: what must be the same when a training goes on; "" lets everything change.
        writes: whether this process writes files; one of several does.

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
        settings: str = "",
        writes: bool = True,
    ) -> None:
        self.folder, self.parts, self.state = Path(folder), parts, state or LoopState()
        self.save_every, self.log_every, self.echo = save_every, log_every, echo
        self.settings, self.writes = settings, writes
        self.folder.mkdir(parents=True, exist_ok=True)
        if resume:
            self._restore(fit.load_checkpoint(self.folder / CHECKPOINT))
        self.records = Records(self.folder, self.state.step if resume else None) if writes else None
        self._sums: dict[str, list[float]] = {}
        self._lost = False

    # ---- steps

    def run(
        self,
        steps: int,
        take: Callable[[int], dict[str, Any]],
        judge: Callable[[int], None] | None = None,
        watch: Callable[[int], None] | None = None,
    ) -> LoopState:
        """Take all steps that are left. Ctrl-C and SIGTERM wait for the end of a step and save first.

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
                    raise
        self.plot()
        return state

    def descend(
        self,
        optimiser: Any,
        loss: Tensor,
        parameters: list[nn.Parameter],
        clip: float = 5.0,
        backward: Callable[[Tensor], None] = Tensor.backward,
        alone: bool = True,
    ) -> Tensor:
        """One step of an optimiser; not taken, and counted, where the loss or its gradients are not finite.

        Args:
            optimiser, parameters: what moves.
            loss: what falls.
            clip: largest gradient norm.
            backward: how gradients are made.
            alone: False where several devices share gradients but not losses: then they decide by the gradients.

        Returns:
            The gradient norm before clipping; not finite where the step was skipped.
        """
        optimiser.zero_grad(set_to_none=True)
        backward(loss)
        norm = nn.utils.clip_grad_norm_(parameters, clip)
        if alone and not loss.detach().isfinite():
            norm = torch.full_like(norm, torch.nan)
        if norm.isfinite():
            optimiser.step()
        else:
            self.state.skipped += 1
            self._lost = True
            optimiser.zero_grad(set_to_none=True)
        return norm

    # ---- what is kept

    def note(self, step: int, **facts: Any) -> None:
        """Write a line of the log by itself."""
        if self.records is not None:
            self.records.add(step, **facts)

    def _log(self, facts: dict[str, Any]) -> None:
        for name, value in facts.items():
            self._sums.setdefault(name, []).append(float(value))
        if self.state.step % self.log_every == 0:
            means = {name: sum(values) / len(values) for name, values in self._sums.items()}
            self._sums = {}
            self.note(self.state.step, **means)
            if self.echo and self.writes:
                print(json.dumps({"step": self.state.step} | {k: round(v, 5) for k, v in means.items()}), flush=True)

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        if self.writes:
            content = {"step": self.state.step, "state": json.dumps(asdict(self.state)), "settings": self.settings}
            content |= {name: part.state_dict() for name, part in self.parts.items()}
            fit.save_checkpoint(self.folder / CHECKPOINT, content)

    def _restore(self, content: dict[str, Any]) -> None:
        if content.get("settings", self.settings) != self.settings:
            raise InputError(
                f"The checkpoint in {self.folder} is of a fit with other settings; give the same ones to go on, or "
                "another folder (or --overwrite) to begin anew."
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
    """A dictionary of tensors as a part of a loop."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}

    def state_dict(self) -> dict[str, Tensor]:
        """The tensors."""
        return self.tensors

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Take tensors up again."""
        self.tensors = tensors


def same_chance(seed: int, step: int) -> torch.Generator:
    """Make all that is random in a step a function of seed and step alone; gives a generator for the rest."""
    torch.manual_seed(seed * 1_000_003 + step)  # of dropout
    return torch.Generator().manual_seed(seed * 1_000_003 + step + 1)


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """A list that gets an entry at the first Ctrl-C (or polite kill); the second one is as ever."""
    seen: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # hosts run nodes in a thread, and cancel otherwise
        yield seen
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

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
