"""Train what makes painted mouths sharp: `python -m articulate train mouth_detail --data DIR`.

Clips are too small to learn edges of teeth from, so the teachers are the photos and pictures that show what is between
the lips in more than a few pixels. Their mouths are blurred as far as a painter that does not know them would blur
them, light is varied, and the network is to give them back. There are few of them; but what an edge looks like is the
same in all, and the state is kept that was best on the val split.
"""

import math
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from ..evaluation.appearance import squared_laplacian
from ..loading import EMBEDDED, load_network
from ..networks.blocks import sample
from ..networks.density import cell_centres
from ..networks.generator import with_part
from ..networks.ibug68 import MIRROR
from ..networks.mouth_detail import MouthDetail, fine_inner_window, fine_places, finer
from ..networks.mouth_painter import COLUMNS, HIGH, ROWS, WIDE, MouthWindow, square
from ..stages.face import to_pixels
from .devices import on_cpu, place
from .face_data import photo_rows, read_image
from .fit import Average, add_common_arguments, cosine, launch, settings_of, write_weights
from .footage import mouth_opening, read_points
from .loop import Kept, Loop
from .mouth_critic import mean_inside
from .mouth_windows import located_faces

WIDTH = 24
SHAPE = 4 * ROWS, 4 * COLUMNS
SHOWS = 0.06  # opening of a mouth, in eye distances, from which it teaches
WIDE_ENOUGH = 90  # pixels that its window has in the picture, at least
BLUR = 1.5, 7.0  # deviations of the blur, least and most, in pixels of the window
LIPS_BLUR = 0.3, 1.8  # of the lips around: the source is often smaller than its photo
LANDMARK_NOISE = 0.007  # in windows
LOOK_EVERY = 50


@dataclass
class SharpMouths:
    """N windows of mouths that show what is between the lips.

    Attributes:
        real: (N, 3, 4 ROWS, 4 COLUMNS) in 0..1.
        local: (N, 68, 2) landmarks in -1..1 of the window.
    """

    real: Tensor
    local: Tensor

    def __len__(self) -> int:
        return len(self.real)


def window_of(picture: np.ndarray, points: Tensor) -> tuple[Tensor, Tensor, float]:
    """The window of a mouth, its landmarks in it, and how many pixels wide it is in the picture.

    Args:
        picture: (h, w, 3) uint8.
        points: (68, 2) in pixels.
    """
    import cv2

    side = max(picture.shape[:2])
    points = points[None].float() * (2 / side) - 1
    window = MouthWindow(points)
    wide = float(window.axes[0, :, 0].norm()) * side
    square_picture = np.zeros((side, side, 3), np.float32)
    square_picture[: picture.shape[0], : picture.shape[1]] = picture
    if wide > SHAPE[1]:
        square_picture = cv2.resize(
            square_picture, (max(1, round(side * SHAPE[1] / wide)),) * 2, interpolation=cv2.INTER_AREA
        )
    image = torch.from_numpy(square_picture / 255).permute(2, 0, 1)[None]
    return sample(image, window.grid(*SHAPE), mode="bicubic").clamp(0, 1)[0], window.to_window(points)[0], wide


def sharp_mouths(data: Path, split: str) -> SharpMouths:
    """Mouths of a split's photos, and of the largest faces of its whole pictures.

    Raises:
        InputError: not one is open and large enough.
    """
    found = []
    for row in photo_rows(data, split):
        points, _ = read_points(data / "photos" / f"{row['id']}.npz")
        picture = read_image(data / "photos" / f"{row['id']}.jpg")
        size = torch.tensor([picture.shape[1], picture.shape[0]])
        found.append((picture, (torch.from_numpy(points[0]) + 1) / 2 * size))
    for _, picture, face in located_faces(data, split):
        found.append((picture, to_pixels(face.points, face.matrix)))
    windows = [window_of(*one) for one in found if mouth_opening(one[1][None].numpy())[0] > SHOWS]
    windows = [(real, local) for real, local, wide in windows if wide >= WIDE_ENOUGH]
    if not windows:
        raise InputError(
            f"Of the {len(found)} photos and pictures of the {split} split not one shows a mouth that is open by more "
            f"than {SHOWS} eye distances and {WIDE_ENOUGH} pixels wide; give --data pictures of people who talk."
        )
    return SharpMouths(*(torch.stack(parts) for parts in zip(*windows, strict=True)))


def blurred(maps: Tensor, deviation: Tensor) -> Tensor:
    """Maps (N, C, h, w) under Gaussians of N deviations in pixels."""
    for dimension in (-1, -2):
        at = torch.arange(maps.shape[dimension], dtype=maps.dtype)
        near = torch.exp(-0.5 * ((at[:, None] - at) / deviation[:, None, None]) ** 2)
        near = (near / near.sum(-1, keepdim=True))[:, None].transpose(-1, -2)  # (N, 1, from, to)
        maps = (maps.transpose(dimension, -1) @ near).transpose(dimension, -1)
    return maps


def as_painted(real: Tensor, local: Tensor, deviation: Tensor) -> Tensor:
    """What a painter that knows real mouths (N, 3, 4 ROWS, 4 COLUMNS) only so far would answer, at half the size.

    Lips do not bleed into the inner mouth: where they are, the painter knows.
    """
    inner = (fine_inner_window(local, 1.0) > 0.5).float().clamp(min=1e-3)
    return F.avg_pool2d(blurred(real * inner, deviation) / blurred(inner, deviation).clamp(min=1e-3), 2)


def varied(mouths: SharpMouths, random: torch.Generator) -> SharpMouths:
    """Mouths turned, grown, shifted, flipped, and in other light."""
    count = len(mouths)

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=random)

    angle, scale, shift = 0.12 * normal(), (0.1 * normal()).exp(), 0.04 * normal(1, 2)
    cosine_, sine = angle.cos() * scale, angle.sin() * scale
    turn = torch.stack([torch.stack([cosine_, -sine], -1), torch.stack([sine, cosine_], -1)], -2)  # (N, 2, 2)
    sides = torch.tensor([1.0, WIDE / HIGH])
    local = (square(mouths.local) - shift) @ torch.linalg.inv(turn).transpose(1, 2) * sides
    x, y = cell_centres(SHAPE[1], local.device), cell_centres(SHAPE[0], local.device) * HIGH / WIDE
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # (h, w, 2)
    places = (torch.einsum("nij,hwj->nhwi", turn, grid) + shift[:, None]) * sides
    real = sample(mouths.real, places, mode="bicubic").clamp(0, 1)
    flip = torch.rand(count, 1, 1, generator=random) < 0.5
    real = torch.where(flip[..., None], real.flip(-1), real)
    local = torch.where(flip, local[:, list(MIRROR)] * local.new_tensor([-1.0, 1.0]), local)
    grey, saturation = real.mean(1, keepdim=True), (1 + 0.3 * normal(1, 1, 1)).clamp(0, 1.6)
    gain, gamma = (0.25 * normal(1, 1, 1) + 0.12 * normal(3, 1, 1)).exp(), (0.2 * normal(1, 1, 1)).exp()
    lit = ((grey + (real - grey) * saturation) * gain).clamp(1e-3, 1) ** gamma
    return SharpMouths(lit, local)


def edges(real: Tensor, inner: Tensor) -> Tensor:
    """Mean squared Laplacian of the brightness of windows (N, 3, h, w) where `inner` (N, 1, h, w) says, (N,)."""
    return (squared_laplacian(real) * inner).sum((1, 2, 3)) / inner.sum((1, 2, 3)).clamp(min=1)


def edge_energy(mouths: SharpMouths) -> Tensor:
    """`edges` of the inner mouths over their brightness squared, (N,)."""
    energy = edges(mouths.real, (fine_inner_window(mouths.local) > 0.5).float())
    return energy / mouths.real.mean((1, 2, 3)).clamp(min=0.05).square()


@torch.no_grad()
def look(network: MouthDetail, mouths: SharpMouths) -> float:
    """By how much L1 inside of blurred mouths becomes less; of each the blur is another."""
    deviation = torch.linspace(*BLUR, len(mouths))
    painted, inner = as_painted(mouths.real, mouths.local, deviation), fine_inner_window(mouths.local)
    made = network(painted, mouths.real * (1 - inner), fine_places(mouths.local, inner))
    before, after = (
        mean_inside((x - mouths.real).abs().mean(1, keepdim=True), inner) for x in (finer(painted).clamp(0, 1), made)
    )
    return float(1 - after / before)


class Trainer:
    """Network, optimiser, the average and the best state of one run.

    Args:
        mouths: to learn from.
        arguments: of the command.
        device: to learn on.
    """

    def __init__(self, mouths: SharpMouths, arguments: Namespace, device: torch.device | str = "cpu") -> None:
        self.mouths, self.arguments, self.device = mouths, arguments, torch.device(device)
        self.network = place(MouthDetail(WIDTH), self.device)
        self.average, self.best = Average(self.network, 0.998), Kept()
        self.optimiser = torch.optim.AdamW(self.network.parameters(), arguments.rate, weight_decay=0.0)
        energy = edge_energy(mouths)
        self.chance = energy.clamp(max=2 * energy.median())  # sharp ones teach more

    def parts(self) -> dict[str, Any]:
        """All that a step changes."""
        return {
            "network": self.network,
            "optimiser": self.optimiser,
            "average": self.average.network,
            "best": self.best,
        }

    def step(self, step: int, loop: Loop) -> dict[str, float]:
        """One step."""
        random, _ = loop.chance(self.arguments.seed, step)
        chosen = torch.multinomial(self.chance, self.arguments.batch, replacement=True, generator=random)
        mouths = varied(SharpMouths(self.mouths.real[chosen], self.mouths.local[chosen]), random)
        part = torch.rand(2, len(mouths), generator=random)
        deviation = (math.log(BLUR[0]) + part[0] * math.log(BLUR[1] / BLUR[0])).exp()
        painted = as_painted(mouths.real, mouths.local, deviation)
        inner = fine_inner_window(mouths.local)
        lips = blurred(mouths.real * (1 - inner), LIPS_BLUR[0] + part[1] * (LIPS_BLUR[1] - LIPS_BLUR[0]))
        seen = mouths.local + LANDMARK_NOISE * torch.randn(mouths.local.shape, generator=random)
        places = fine_places(seen, fine_inner_window(seen))
        painted, lips, places, inner, real = (x.to(self.device) for x in (painted, lips, places, inner, mouths.real))
        made = self.network(painted, lips, places)
        loss = mean_inside((made - real).abs().mean(1, keepdim=True), inner)
        self.optimiser.param_groups[0]["lr"] = self.arguments.rate * cosine(step, self.arguments.steps, flat=0.5)
        loop.descend(self.optimiser, loss, list(self.network.parameters()), 1.0)
        self.average.update(self.network, step)
        return {"inner": float(loss.detach())}


def add_arguments(parser: ArgumentParser) -> None:
    """Options of this training."""
    add_common_arguments(parser, steps=1500, output="runs/mouth_detail")
    parser.add_argument("--generator", default=EMBEDDED, help="generator.safetensors that is given the network")
    parser.add_argument("--batch", type=int, default=16, help="mouths in a step (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate (default: %(default)s)")


def run(arguments: Namespace) -> None:
    """Train until `--steps`; stop at any time and go on with `--resume`."""
    fabric = launch(arguments)
    generator = load_network("generator", arguments.generator)
    mouths, held = (sharp_mouths(arguments.data, split) for split in ("train", "val"))
    trainer = Trainer(mouths, arguments, fabric.device)
    settings = settings_of(arguments, "batch", "rate")
    loop = Loop.of(
        arguments, fabric, trainer.parts(), arguments.batch, settings, save_every=LOOK_EVERY, log_every=LOOK_EVERY
    )

    def judge(step: int) -> None:
        if not loop.writes or (step % LOOK_EVERY and step != arguments.steps):
            return
        made = on_cpu(trainer.average.network)
        seen = look(made, held)
        loop.tell(blurred_mouth_l1_reduction=seen)
        loop.offer(seen, made, trainer.best)

    loop.run(arguments.steps, lambda step: trainer.step(step, loop), judge)
    if not loop.writes:
        return
    best = on_cpu(trainer.best.put_into(trainer.network))
    print(f"blurred mouths of val {look(best, held):.4f} nearer to what they were")
    generator = with_part(generator, "detail", best)
    write_weights(arguments, "generator", generator, generator.sizes)
