"""The fit: networks, losses and footage -> tuned networks, on one device or several (Lightning Fabric).

It can be killed at any moment and goes on where its last checkpoint left it, step for step the same: which frames a
step sees is a function of seed and step alone, and everything else that a step depends on is in the checkpoint.
"""

import copy
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..networks.low_rank import adapt
from . import fit
from .batches import TuneSampler, Untouched, pictures, reference_frame
from .devices import start_fabric
from .looking import drive_frame, mouth_error, unadapted, watched_frames
from .loop import CHECKPOINT, Kept, Loop, LoopState
from .material import Take
from .objective import LossWeights, Objective, make_critics
from .settings import LEAST_FRAMES, PREFIXES, TuneSettings

Watch = Callable[[int, int, Callable[[], Tensor]], None]
"""Called after every step with (done, in all, a function that gives a preview (H, W, 3)); it may raise to cancel."""


@dataclass
class TuneState(LoopState):
    """Counters of a fit.

    Attributes:
        frames: driven in a batch; falls when memory runs out.
        before: mouth-region L1 on the held-back frames at the start, as `best` is; None without such frames.
        looks: since it was best.
        notes: sentences for the report.
    """

    frames: int = 0
    before: float | None = None
    looks: int = 0
    notes: list[str] = field(default_factory=list)


class Fit:
    """One fit, from the first step to the last.

    Args:
        networks: "warper" and "generator", as they are before; they are copied.
        learned, held: takes to learn from, and takes to watch.
        settings, weights: how, and by what.
        folder: for checkpoint.pt, log.jsonl and losses.png.
        critics: trained beside; those that `weights` asks for and that are not given are loaded or made.
        vgg, embedding: see `Objective`.
        resume: go on from the folder's checkpoint.
    """

    def __init__(
        self,
        networks: dict[str, nn.Module],
        learned: list[Take],
        held: list[Take],
        settings: TuneSettings,
        weights: LossWeights,
        folder: Path,
        critics: dict[str, nn.Module] | None = None,
        vgg: str = "",
        embedding: Tensor | None = None,
        resume: bool = False,
    ) -> None:
        self.settings, self.weights, self.folder = settings, weights, Path(folder)
        self.learned, self.held = learned, held
        self.folder.mkdir(parents=True, exist_ok=True)
        self.fabric = start_fabric(settings.accelerator, settings.devices, settings.precision)
        torch.manual_seed(settings.seed)
        self.made = nn.ModuleDict({name: copy.deepcopy(network) for name, network in networks.items()})
        trained = self._choose()
        self.critics = copy.deepcopy(make_critics(weights, critics)).train().requires_grad_(True)
        # Frames that follow each other are alike: those spread over the footage come on top of them.
        self.state = TuneState(frames=settings.frames + weights.run - 1)
        self.made.eval()  # statistics of batch norms stay: a few frames of one face would spoil them
        self.average = fit.Average(self.made, settings.average)
        objective = Objective(self.made, self.critics, weights, vgg, embedding)
        objective.place(self.fabric.device)
        self.optimiser = torch.optim.Adam(trained, settings.rate, betas=(0.9, 0.99))
        self.objective, self.optimiser = self.fabric.setup(objective, self.optimiser)
        self.average.network.to(self.fabric.device)
        self.critic_optimiser = None
        if len(self.critics):
            optimiser = torch.optim.Adam(self.critics.parameters(), 2e-4, betas=(0.5, 0.999))
            self.critics.to(self.fabric.device)
            self.critic_optimiser = optimiser
        self.kept = Kept()
        self.trained = trained
        parts = {"made": self.made, "average": self.average.network, "best": self.kept, "optimiser": self.optimiser}
        parts["critics"] = self.critics
        if self.critic_optimiser is not None:
            parts["critic_optimiser"] = self.critic_optimiser
        self.loop = Loop(
            self.folder,
            parts,
            self.state,
            resume=resume,
            save_every=settings.save_every,
            log_every=1,
            echo=False,
            settings=fingerprint(settings, weights),
            fabric=self.fabric,
        )

    def _choose(self) -> list[nn.Parameter]:
        """Freeze everything but what is trained, which gets adapters where that is asked for."""
        prefixes = tuple(prefix for part in self.settings.parts for prefix in PREFIXES.get(part, ()))
        if not prefixes:
            raise InputError("Of warper and generator nothing is to be trained; add one of generator, warper, memory.")
        if self.settings.rank:
            trained = adapt(self.made, self.settings.rank, prefixes)
        else:
            self.made.requires_grad_(False)
            trained = [value for name, value in self.made.named_parameters() if name.startswith(prefixes)]
        if self.settings.condenser and self.settings.rank:  # new layers have nothing to be adapted to
            trained += [value for name, value in self.made.named_parameters() if "condense_" in name]
        for value in trained:
            value.requires_grad_(True)
        return trained

    # ---- steps

    def run(self, watch: Watch | None = None) -> TuneState:
        """Take all steps that are left.

        Raises:
            InputError: memory is too small for the smallest batch, or the losses stopped being finite.
        """
        state, settings = self.state, self.settings
        if state.before is None and self.held:
            state.before = state.best = self.look()
            self.loop.note(0, held_back_mouth_l1=state.before)
            self.kept.tensors = self._snapshot()

        def judge(step: int) -> None:
            if self.held and (step % settings.look_every == 0 or step == settings.steps):
                self._look_and_judge()

        def seen(step: int) -> None:
            if watch is not None:
                watch(step, settings.steps, self.preview)

        self.loop.run(settings.steps, self._fitting_step, judge, seen)
        return state

    def _fitting_step(self, step: int) -> dict[str, Any]:
        """A step of the largest batch that memory holds."""
        while True:
            try:
                return self._step(step)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                self._shrink(error)

    def _step(self, step: int) -> dict[str, Any]:
        settings, state = self.settings, self.state
        sampler = TuneSampler(self.learned, settings.seed, state.frames, self.weights.run)
        batch, random = sampler(step, self.fabric.global_rank)
        torch.manual_seed(settings.seed * 1_000_003 + step)  # of dropout in critics that are given
        factor = fit.cosine(step, settings.steps, warmup=min(20, max(1, settings.steps // 5)))
        for group in self.optimiser.param_groups:
            group["lr"] = settings.rate * factor
        with self.fabric.autocast():
            terms = self.objective(Untouched(batch.to(self.fabric.device)), random)
            loss = total(self.weights, terms)
        facts: dict[str, Any] = {"loss": loss.detach()} | {name: float(value.detach()) for name, value in terms.items()}
        norm = self.loop.descend(
            self.optimiser,
            loss,
            self.trained,
            settings.clip_gradients,
            self.fabric.backward,
        )
        if not norm.isfinite():
            return facts | {"skipped": state.skipped}
        self.average.update(self.made, step)
        if self.critic_optimiser is not None:
            facts |= self._critics_step()
        return facts | {"gradient_norm": float(norm)}

    def _critics_step(self) -> dict[str, float]:
        losses = unwrapped(self.objective).critics_loss()
        if not losses:
            return {}
        self.critic_optimiser.zero_grad(set_to_none=True)
        sum(losses.values()).backward()
        self.loop.share(list(self.critics.parameters()))
        norm = torch.nn.utils.clip_grad_norm_(self.critics.parameters(), self.settings.clip_gradients)
        if norm.isfinite():
            self.critic_optimiser.step()
        return {f"{name}_critic": float(value.detach()) for name, value in losses.items()}

    def _shrink(self, error: BaseException) -> None:
        least = max(LEAST_FRAMES, self.weights.run)
        if self.state.frames <= least:
            raise InputError(
                f"Memory is too small for {self.state.frames} frames at once ({str(error)[:80]}), and fewer cannot be "
                "learned from; train fewer parts, set the weights of critics and sync to 0, or free memory."
            ) from error
        self.optimiser.zero_grad(set_to_none=True)
        self.state.frames = max(least, self.state.frames // 2)
        self.loop.note(self.state.step, note=f"out of memory; {self.state.frames} frames at once from here on")
        self.state.notes.append(
            f"Memory ran out at step {self.state.step}; batches have {self.state.frames} frames since."
        )
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    # ---- looking

    def look(self) -> float:
        """Mouth-region L1 of the averaged networks on the held-back frames."""
        return mouth_error(self.average.network, self.learned, self.held, self.fabric.device)

    def _look_and_judge(self) -> None:
        state = self.state
        now = self.look()
        self.loop.note(state.step, held_back_mouth_l1=now)
        if now < state.best:
            state.best, state.best_step, state.looks = now, state.step, 0
            self.kept.tensors = self._snapshot()
        else:
            state.looks += 1
            if self.settings.patience and state.looks >= self.settings.patience:
                state.ended = f"no improvement on the held-back seconds since step {state.best_step}"

    @torch.no_grad()
    def preview(self) -> Tensor:
        """Before and after, side by side, (256, 768, 3): the real frame, the network before, the averaged one now."""
        take, index = reference_frame(self.learned)
        held, target = watched_frames(self.held or self.learned)[0]
        now = drive_frame(self.average.network, take, index, held.points[target], self.fabric.device)
        if not hasattr(self, "_first"):
            plain = unadapted(self.average.network)
            self._first = drive_frame(plain, take, index, held.points[target], self.fabric.device)
        return torch.cat([pictures(held, [target])[0], self._first, now], dim=-1).movedim(0, -1)

    # ---- what is kept

    def _snapshot(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.average.network.state_dict().items()}

    def tuned(self) -> nn.ModuleDict:
        """The networks that come out: the averaged ones, where they were best on the held-back frames."""
        return self.kept.put_into(self.average.network)


def fingerprint(settings: TuneSettings, weights: LossWeights) -> dict[str, Any]:
    """What must be the same when a fit goes on."""
    facts = {**asdict(settings), "weights": asdict(weights)}
    for free in ("devices", "accelerator", "save_every", "patience"):
        facts.pop(free)
    return facts


def unfinished(folder: Path, settings: TuneSettings, weights: LossWeights) -> bool:
    """Whether a folder holds the checkpoint of a fit with these settings."""
    path = Path(folder) / CHECKPOINT
    if not path.is_file():
        return False
    before = json.loads(fit.load_checkpoint(path).get("settings") or "{}")
    return before == json.loads(json.dumps(fingerprint(settings, weights)))


def total(weights: LossWeights, terms: dict[str, Tensor]) -> Tensor:
    """The weighted sum of terms."""
    return sum(getattr(weights, name) * value for name, value in terms.items())


def unwrapped(module: nn.Module) -> Objective:
    """The objective inside of what Fabric made of it."""
    inner = getattr(module, "module", module)
    return getattr(inner, "module", inner)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text
