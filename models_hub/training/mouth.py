"""Train the mouth painter of a finished frame generator: `python -m articulate train mouth --data DIR`.

What limits it is the number of people, not of frames: a network that sees faces learns fifty mouths by heart. So light
and colour are varied far beyond what footage shows, the skin's tone for itself (teeth stay as they are), pictures of
people who show their teeth stand beside the clips, everybody counts much the same, batches are small, and the state
is kept that was best on the val split. Alone that gives mouths of the right brightness without teeth; a second run
with `--start` and `--critic` makes them commit themselves (see `mouth_critic`).
"""

from argparse import ArgumentParser, Namespace
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..loading import EMBEDDED, load_network
from ..networks.generator import with_part
from ..networks.mouth_painter import BRIGHTNESS, COLOUR_REGIONS, MouthPainter, inner_window
from .devices import on_cpu, place
from .fit import Average, add_common_arguments, cosine, launch, load_checkpoint, settings_of, write_weights
from .loop import Kept, Loop
from .mouth_critic import MouthCritic, coarse_distance, interpolate, mean_inside
from .mouth_windows import MouthWindows, gather

WIDTH = 24
OPEN_FROM = 0.05  # opening in eye distances from which a window teaches
OPEN = 0.08  # from which it is judged, as `evaluate` does
EVERYBODY = 0.6  # how far many windows of one person count less: with their number to this power
LIGHT = 2.2  # how far light is varied, in deviations of real footage
TONED = 0.8  # share of windows whose skin gets another tone
TONE = (-0.25, 0.5)  # logarithm of its brightness, mean and deviation: few of the people have dark skin
LOOK_EVERY = 50
LANDMARK_NOISE = 0.007  # in windows
SURROUNDINGS = 0.3  # weight of the whole window beside the inner mouth
CALM = 6.0  # weight of staying near the calm painter
CRITIC_RATE = 4e-4


@dataclass(frozen=True)
class Recipe:
    """How a run learns.

    Attributes:
        decay: of the average of weights.
        betas: of the painter's optimiser.
        flat: share of the steps at the full learning rate.
    """

    decay: float
    betas: tuple[float, float]
    flat: float


ALONE = Recipe(0.99, (0.9, 0.999), 1.0)  # ended by looking, long before its steps
WITH_CRITIC = Recipe(0.998, (0.5, 0.99), 0.5)


def add_arguments(parser: ArgumentParser) -> None:
    """Options of this training."""
    add_common_arguments(parser, steps=600, output="runs/mouth")
    parser.add_argument("--cache", type=Path, help="folder for decoded frames (default: OUTPUT/footage)")
    parser.add_argument("--warper", default=EMBEDDED, help="warper.safetensors by which faces are driven")
    parser.add_argument("--generator", default=EMBEDDED, help="generator.safetensors that is given the painter")
    parser.add_argument("--batch", type=int, default=16, help="windows in a step (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate (default: %(default)s)")
    parser.add_argument(
        "--critic", type=float, default=0.0, help="weight of a critic of windows, which brings teeth; needs --start"
    )
    parser.add_argument(
        "--start",
        type=Path,
        nargs="+",
        default=[],
        help="checkpoint.pt of earlier runs: the first one's best painter is begun with, and with a critic the mean "
        "answer of all of them is stayed near",
    )
    parser.add_argument(
        "--share",
        type=float,
        default=0.5,
        help="how much of the critic's painter is in what is kept, the rest is --start's (default: %(default)s)",
    )


def brighten(windows: MouthWindows, random: torch.Generator, amount: float = LIGHT) -> dict[str, Tensor]:
    """Windows under another light, and skin of another tone; in 0..1.

    Args:
        windows: N of them.
        random: of all changes.
        amount: how far light is varied.

    Returns:
        "warped", "base", "real", "own" (N, 3, h, w) and "colours" (N, COLOURS, 3).
    """
    count = len(windows)

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=random)

    inner = inner_window(windows.local)
    own_inner = inner_window(windows.source_local)
    shown = windows.shown.float() / 255
    toned = torch.rand(count, 1, generator=random) < TONED
    tone = (TONE[1] * normal(1) + TONE[0] + 0.08 * normal(3)).exp()
    tone = torch.where(toned, tone, torch.ones(count, 3))[:, :, None, None]
    skin = {"warped": 1 - shown, "base": 1 - inner, "real": 1 - inner, "own": 1 - own_inner}
    plain = unchanged(windows)
    made = {name: plain[name] * (1 - share + share * tone) for name, share in skin.items()}
    eyes = len(BRIGHTNESS) - 1
    of_skin = slice(eyes, eyes * len(COLOUR_REGIONS))
    colours = plain["colours"].clone()
    colours[:, of_skin] *= tone[:, None, :, 0, 0]
    made["colours"] = colours.movedim(-1, 1)[..., None]  # (N, 3, COLOURS, 1), a picture for what follows

    saturation = (1 + 0.25 * amount * normal(1, 1, 1)).clamp(0, 1.6)
    gain = (amount * (0.2 * normal(1) + 0.15 * normal(3))).exp()[:, :, None, None]
    bias, gamma = 0.03 * amount * normal(1, 1, 1), (0.2 * amount * normal(1, 1, 1)).exp()
    for name, picture in made.items():
        grey = picture.mean(1, keepdim=True)
        lit = (grey + (picture - grey) * saturation) * gain + bias
        made[name] = lit.clamp(1e-4, 1) ** gamma
    made["colours"] = made["colours"][..., 0].movedim(1, -1)
    return made


def unchanged(windows: MouthWindows) -> dict[str, Tensor]:
    """The same as `brighten` returns, without any change."""
    made = {name: getattr(windows, name).float() / 255 for name in ("warped", "base", "real", "own")}
    return {**made, "colours": windows.colours}


def compose(painter: MouthPainter, parts: dict[str, Tensor], local: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
    """Frames with painted mouths, and the colours alone, (N, 3, h, w) each.

    Args:
        painter: the network.
        parts: from `brighten` or `unchanged`.
        local: (N, 68, 2) landmarks of the windows.
        shown: (N, 1, h, w) in 0..1.
    """
    painted, weight = painter.weighted(parts["warped"], parts["own"], local, parts["colours"], shown)
    return parts["base"] + weight * (painted - parts["base"]), painted


def inner_error(made: Tensor, real: Tensor, local: Tensor) -> Tensor:
    """L1 inside of the inner lips of every window, (N,)."""
    inner = (inner_window(local, soft=1.0) > 0.5).float()
    error = (made - real).abs().mean(1, keepdim=True)
    return (error * inner).sum((1, 2, 3)) / inner.sum((1, 2, 3)).clamp(min=1)


@torch.no_grad()
def look(painter: MouthPainter, windows: MouthWindows) -> float:
    """By how much L1 inside open mouths is below that of the warped source."""
    sums = torch.zeros(2)
    for chosen in torch.nonzero(windows.opening > OPEN)[:, 0].split(64):
        part = windows.take(chosen)
        parts = unchanged(part)
        made, _ = compose(painter, parts, part.local, part.shown.float() / 255)
        for index, frames in enumerate((made, parts["warped"])):
            sums[index] += inner_error(frames, parts["real"], part.local).sum()
    return float(1 - sums[0] / sums[1])


class Trainer:
    """Painter, critic, optimisers, the average and the best state of one run.

    Args:
        windows: to learn from.
        arguments: of the command.
        device: to learn on.
    """

    def __init__(self, windows: MouthWindows, arguments: Namespace, device: torch.device | str = "cpu") -> None:
        self.windows, self.arguments, self.device = windows, arguments, torch.device(device)
        self.painter = place(MouthPainter(WIDTH), self.device)
        self.calm = [place(started(path), self.device) for path in arguments.start]
        if self.calm:
            self.painter.load_state_dict(self.calm[0].state_dict())
        elif arguments.critic:
            raise InputError(
                f"--critic {arguments.critic:g} refines a painter that there is not; train one without a critic first, "
                "and give its checkpoint.pt as --start."
            )
        if not 0 <= arguments.share <= 1:
            raise InputError(
                f"--share is {arguments.share:g}; give 0 (the painter of --start) to 1 (what the critic made of it)."
            )
        self.recipe = WITH_CRITIC if arguments.critic else ALONE
        self.average = Average(self.painter, self.recipe.decay)
        self.best = Kept()
        betas = self.recipe.betas
        self.optimiser = torch.optim.AdamW(self.painter.parameters(), arguments.rate, betas, weight_decay=0.0)
        if arguments.critic:
            self.critic = place(MouthCritic(), self.device)
            self.critic_optimiser = torch.optim.Adam(self.critic.parameters(), CRITIC_RATE, betas=(0.5, 0.99))
        self.usable = np.flatnonzero(windows.opening.numpy() > OPEN_FROM)
        if not len(self.usable):
            raise InputError(
                f"None of the {len(windows)} windows shows a mouth that is open by more than {OPEN_FROM} eye "
                "distances; give --data footage of people who talk."
            )
        counts = Counter(windows.people[index] for index in self.usable)
        weight = np.array([counts[windows.people[index]] ** -EVERYBODY for index in self.usable])
        self.chance = weight / weight.sum()

    def parts(self) -> dict[str, Any]:
        """All that a step changes."""
        made = {
            "painter": self.painter,
            "optimiser": self.optimiser,
            "average": self.average.network,
            "best": self.best,
        }
        if self.arguments.critic:
            made |= {"critic": self.critic, "critic_optimiser": self.critic_optimiser}
        return made

    def step(self, step: int, loop: Loop) -> dict[str, float]:
        """One step of the painter, and of the critic where there is one."""
        arguments = self.arguments
        random, numbers = loop.chance(arguments.seed, step)
        chosen = numbers.choice(self.usable, arguments.batch, p=self.chance)
        windows = self.windows.take(torch.from_numpy(chosen))
        windows = windows.flipped(torch.rand(len(windows), generator=random) < 0.5)
        local = windows.local + LANDMARK_NOISE * torch.randn(windows.local.shape, generator=random)
        parts = {name: value.to(self.device) for name, value in brighten(windows, random).items()}
        local, shown = local.to(self.device), windows.shown.to(self.device).float() / 255
        real = parts["real"]
        made, painted = compose(self.painter, parts, local, shown)
        if arguments.critic:
            # A critic looks for what is between the lips if windows are alike around them.
            real = parts["base"] + inner_window(local) * (real - parts["base"])
            answers = [compose(calm, parts, local, shown)[1] for calm in self.calm]
            terms = {"coarse": coarse_distance(painted, torch.stack(answers).mean(0), local)}
            terms |= self.critic.requires_grad_(False).judge(made, real, local)
            factors = {"coarse": CALM, "matching": 2 * arguments.critic, "score": -arguments.critic}
            loss = sum(factors[name] * value for name, value in terms.items())
        else:
            terms = inner_losses(made, painted, real, local)
            loss = sum(terms.values())
        factor = cosine(step, arguments.steps, flat=self.recipe.flat)
        self.optimiser.param_groups[0]["lr"] = arguments.rate * factor
        loop.descend(self.optimiser, loss, list(self.painter.parameters()), 1.0)
        if arguments.critic:
            terms["critic"] = self.critic.requires_grad_(True).loss(made.detach(), real, local)
            self.critic_optimiser.param_groups[0]["lr"] = CRITIC_RATE * factor
            loop.descend(self.critic_optimiser, terms["critic"], list(self.critic.parameters()))
        self.average.update(self.painter, step)
        return {name: float(value.detach()) for name, value in terms.items()}

    def mixed(self) -> MouthPainter:
        """The averaged painter; with a critic its mixture with the one that it began as."""
        made = self.average.network
        return interpolate(self.calm[0], made, self.arguments.share) if self.arguments.critic else made


def started(path: Path) -> MouthPainter:
    """The best painter of an earlier run, as it is.

    Raises:
        InputError: there is no checkpoint, or it is of another training.
    """
    painter, parts = MouthPainter(WIDTH), load_checkpoint(path, "--start")
    try:
        painter.load_state_dict(parts["best"])
    except (KeyError, RuntimeError) as error:
        raise InputError(f"{path} holds no mouth painter; give --start the checkpoint.pt of train mouth.") from error
    return painter.eval().requires_grad_(False)


def inner_losses(made: Tensor, painted: Tensor, real: Tensor, local: Tensor) -> dict[str, Tensor]:
    """L1 inside of the inner lips, of frames and of the paint alone, which also counts a little around them."""
    inner = inner_window(local)
    errors = {"made": made, "painted": painted}
    errors = {name: (frames - real).abs().mean(1, keepdim=True) for name, frames in errors.items()}
    terms = {name: mean_inside(error, inner) for name, error in errors.items()}
    terms["painted"] = terms["painted"] + SURROUNDINGS * errors["painted"].mean()
    return terms


def run(arguments: Namespace) -> None:
    """Train until `--steps`; stop at any time and go on with `--resume`."""
    fabric = launch(arguments)
    cache = arguments.cache or arguments.output / "footage"
    with fabric.rank_zero_first():
        body = load_network("warper", arguments.warper), load_network("generator", arguments.generator)
        windows, held = (gather(arguments.data, cache, split, *body) for split in ("train", "val"))
    trainer = Trainer(windows, arguments, fabric.device)
    settings = settings_of(arguments, "critic", "batch", "rate")
    parts = trainer.parts()
    loop = Loop.of(arguments, fabric, parts, arguments.batch, settings, save_every=LOOK_EVERY, log_every=LOOK_EVERY)

    def judge(step: int) -> None:
        if not loop.writes or (step % LOOK_EVERY and step != arguments.steps):
            return
        made = on_cpu(trainer.mixed())
        seen = look(made, held)
        loop.tell(inner_mouth_l1_reduction=seen)
        loop.offer(seen, made, trainer.best, always=bool(arguments.critic))

    loop.run(arguments.steps, lambda step: trainer.step(step, loop), judge)
    if not loop.writes:
        return
    best = trainer.best.put_into(trainer.painter)
    generator = with_part(body[1], "mouth", best)
    write_weights(arguments, "generator", generator, generator.sizes)
    print(f"inside open mouths of val {look(best, held):.4f} below the warped source")
