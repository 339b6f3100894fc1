"""Train the mouth painter of a finished frame generator: `python -m articulate train mouth --data DIR`.

What limits it is the number of people, not of frames: a network that sees faces learns fifty mouths by heart. So light
and colour are varied far beyond what footage shows, the skin's tone for itself (teeth stay as they are), pictures of
people who show their teeth stand beside the clips, everybody counts much the same, batches are small, and the state
is kept that was best on the val split. Alone that gives mouths of the right brightness without teeth, for nobody knows
whose teeth they are; a second run with `--start` and `--critic` makes them commit themselves.
"""

import math
from argparse import ArgumentParser, Namespace
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..loading import WEIGHTS_FOLDER, load_network, pin_card, save_network
from ..networks.generator import FrameGenerator
from ..networks.mouth_painter import BRIGHTNESS, COLOUR_REGIONS, MouthPainter, inner_window, place_maps
from ..networks.patch_critic import PatchCritic
from .fit import Average, add_common_arguments, cosine, load_checkpoint, prepare
from .loop import Loop, LoopState, same_chance
from .mouth_windows import MouthWindows, gather
from .warper_losses import feature_matching, hinge_critic

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


def add_arguments(parser: ArgumentParser) -> None:
    """Options of this training."""
    add_common_arguments(parser, steps=600, output="runs/mouth")
    parser.add_argument("--cache", type=Path, help="folder for decoded frames (default: OUTPUT/footage)")
    parser.add_argument("--batch", type=int, default=16, help="windows in a step (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate (default: %(default)s)")
    parser.add_argument(
        "--critic", type=float, default=0.0, help="weight of a critic of windows, which makes teeth sharper"
    )
    parser.add_argument("--start", type=Path, help="checkpoint.pt of an earlier run, to begin with its best painter")
    parser.add_argument("--install", action="store_true", help="put the painter into the package's generator")


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
    for index in torch.nonzero(windows.opening > OPEN)[:, 0].split(64):
        part = windows.take(index)
        parts = unchanged(part)
        made, _ = compose(painter, parts, part.local, part.shown.float() / 255)
        for place, frames in enumerate((made, parts["warped"])):
            sums[place] += inner_error(frames, parts["real"], part.local).sum()
    return float(1 - sums[0] / sums[1])


@dataclass
class MouthState(LoopState):
    """Counters of this training.

    Attributes:
        best: what `look` said of the kept painter.
        best_step: when it was kept.
    """

    best: float = -math.inf
    best_step: int = 0


class Trainer:
    """Painter, critic, optimisers, the average and the best state of one run.

    Args:
        windows: to learn from.
        arguments: of the command.
    """

    def __init__(self, windows: MouthWindows, arguments: Namespace) -> None:
        self.windows, self.arguments = windows, arguments
        self.painter = MouthPainter(WIDTH)
        if arguments.start:
            self.painter.load_state_dict(load_checkpoint(arguments.start, "--start")["best"])
        self.average = Average(self.painter, 0.99)
        self.best = Average(self.painter)
        self.critic = PatchCritic(3 + 5)
        self.optimiser = torch.optim.AdamW(self.painter.parameters(), arguments.rate, weight_decay=0.0)
        self.critic_optimiser = torch.optim.Adam(self.critic.parameters(), 4e-4, betas=(0.5, 0.999))
        self.usable = np.flatnonzero(windows.opening.numpy() > OPEN_FROM)
        if not len(self.usable):
            raise InputError(
                f"None of the {len(windows)} windows shows a mouth that is open by more than {OPEN_FROM} eye "
                "distances; give --data footage of people who talk."
            )
        counts = Counter(windows.people[index] for index in self.usable)
        weight = np.array([counts[windows.people[index]] ** -EVERYBODY for index in self.usable])
        self.chance = weight / weight.sum()

    def parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        """All that a step changes."""
        names = ("painter", "critic", "optimiser", "critic_optimiser")
        return {name: getattr(self, name) for name in names} | {
            "average": self.average.network,
            "best": self.best.network,
        }

    def step(self, step: int, loop: Loop) -> dict[str, float]:
        """One step of the painter, and of the critic where there is one."""
        arguments = self.arguments
        random = same_chance(arguments.seed, step)
        chosen = np.random.default_rng((arguments.seed, step)).choice(self.usable, arguments.batch, p=self.chance)
        windows = self.windows.take(torch.from_numpy(chosen))
        windows = windows.flipped(torch.rand(len(windows), generator=random) < 0.5)
        local = windows.local + LANDMARK_NOISE * torch.randn(windows.local.shape, generator=random)
        parts = brighten(windows, random)
        real = parts["real"]
        made, painted = compose(self.painter, parts, local, windows.shown.float() / 255)
        terms = inner_losses(made, painted, real, local)
        if arguments.critic:
            terms |= self.criticism(made, real, local)
        factors = {"matching": arguments.critic, "score": -0.2 * arguments.critic}
        loss = sum(factors.get(name, 1.0) * value for name, value in terms.items())
        flat = 0.4 if arguments.critic else 1.0  # without a critic it is ended by looking, long before its steps
        self.optimiser.param_groups[0]["lr"] = arguments.rate * cosine(step, arguments.steps, flat=flat)
        loop.descend(self.optimiser, loss, list(self.painter.parameters()), 1.0)
        if arguments.critic:
            terms["critic"] = self.critic_step(made.detach(), real, local)
        self.average.update(self.painter, step)
        return {name: float(value.detach()) for name, value in terms.items()}

    def criticism(self, made: Tensor, real: Tensor, local: Tensor) -> dict[str, Tensor]:
        """What the critic says of made windows (N, 3, h, w)."""
        score, mine = self.critic(seen_by_critic(made, local))
        with torch.no_grad():
            theirs = self.critic(seen_by_critic(real, local))[1]
        return {"matching": feature_matching(mine, theirs), "score": score.mean()}

    def critic_step(self, made: Tensor, real: Tensor, local: Tensor) -> Tensor:
        """One step of the critic."""
        loss = hinge_critic(*(self.critic(seen_by_critic(frames, local))[0] for frames in (real, made)))
        self.critic_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.critic_optimiser.step()
        return loss


def seen_by_critic(frames: Tensor, local: Tensor) -> Tensor:
    """Windows (N, 3, h, w) beside what their landmarks say of them."""
    places = F.interpolate(place_maps(local), size=frames.shape[-2:], mode="bilinear", align_corners=False)
    return torch.cat([2 * frames - 1, places], dim=1)


def inner_losses(made: Tensor, painted: Tensor, real: Tensor, local: Tensor) -> dict[str, Tensor]:
    """L1 inside of the inner lips, of frames and of the paint alone, which also counts a little around them."""
    inner = inner_window(local)
    area = inner.sum((1, 2, 3)).clamp(min=8)
    errors = {"made": made, "painted": painted}
    errors = {name: (frames - real).abs().mean(1, keepdim=True) for name, frames in errors.items()}
    terms = {name: ((error * inner).sum((1, 2, 3)) / area).mean() for name, error in errors.items()}
    terms["painted"] = terms["painted"] + SURROUNDINGS * errors["painted"].mean()
    return terms


def run(arguments: Namespace) -> None:
    """Train until `--steps`; stop at any time and go on with `--resume`."""
    prepare(arguments)
    cache = arguments.cache or arguments.output / "footage"
    windows, held = (gather(arguments.data, cache, split, arguments.seed) for split in ("train", "val"))
    trainer = Trainer(windows, arguments)
    state, every = MouthState(), {"save_every": LOOK_EVERY, "log_every": LOOK_EVERY}
    loop = Loop(arguments.output, trainer.parts(), state, resume=arguments.resume, **every)

    def judge(step: int) -> None:
        if step % LOOK_EVERY and step != arguments.steps:
            return
        seen = look(trainer.average.network, held)
        print(f"step {step}: inside open mouths of val {seen:.3f} below the warped source")
        if arguments.critic or seen > state.best:
            state.best, state.best_step = seen, step
            trainer.best.network.load_state_dict(trainer.average.network.state_dict())

    loop.run(arguments.steps, lambda step: trainer.step(step, loop), judge)
    generator = with_painter(load_network("generator"), trainer.best.network)
    folders = [arguments.output, *([WEIGHTS_FOLDER] if arguments.install else [])]
    for folder in folders:
        save_network(generator, folder / "generator.safetensors", generator.sizes, half=True)
    if arguments.install:
        pin_card("generator", {})
    print(f"inside open mouths of val {look(trainer.best.network, held):.4f} below the warped source")


def with_painter(generator: FrameGenerator, painter: MouthPainter) -> FrameGenerator:
    """A copy of a generator with this mouth painter."""
    made = FrameGenerator(**generator.sizes | {"mouth": painter.width})
    made.load_state_dict(
        generator.state_dict() | {f"mouth.{key}": value for key, value in painter.state_dict().items()}
    )
    return made.eval()
