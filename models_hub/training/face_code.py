"""Training of the face code: `python -m articulate train face_code --data DIR --output DIR`.

A closed form over frames of the training people, each once as it is and once in other light; no steps.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..networks.face_code import FaceCode, features
from .fit import prepare, write_weights
from .footage import Footage, pack_footage

FRAMES = 40  # of each person


def add_arguments(parser: ArgumentParser) -> None:
    """Options of this training."""
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv and clips/")
    parser.add_argument("--output", type=Path, default=Path("runs/face_code"), help="folder for the weights")
    parser.add_argument("--cache", type=Path, help="folder for decoded frames (default: OUTPUT/footage)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the light")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")
    parser.add_argument("--install", action="store_true", help="put the weights and their card into the package")


def faces(footage: Footage, count: int) -> tuple[Tensor, Tensor, list[str]]:
    """Frames (N, 3, 256, 256), points and names: `count` frames of every person, spread over the footage."""
    chosen, names = [], []
    for person in sorted(set(footage.persons)):
        clips = zip(footage.persons, footage.starts, footage.lengths, strict=True)
        mine = np.concatenate([np.arange(start, start + length) for who, start, length in clips if who == person])
        chosen.append(mine[np.linspace(0, len(mine) - 1, count).round().astype(int)])
        names += [person] * count
    index = np.concatenate(chosen)
    frames = torch.from_numpy(footage.frames[index]).permute(0, 3, 1, 2).float() / 255
    return frames, torch.from_numpy(footage.points[index]), names


def separation(code: FaceCode, footage: Footage, count: int = 20) -> dict[str, float]:
    """Of people never seen: likeness of their own frames to their first, least tenth; and of others', largest."""
    frames, points, names = faces(footage, count)
    codes = code(frames, points)
    own, others = [], []
    for person in sorted(set(names)):
        mine = torch.tensor([name == person for name in names])
        references = codes[mine][: 2 * count // 3 : 2]
        likeness = (codes @ references.T).amax(1)
        own.append(likeness[mine][2 * count // 3 :])
        others.append(likeness[~mine].max())
    return {"own": float(torch.cat(own).quantile(0.1)), "others": float(torch.stack(others).max())}


def run(arguments: Namespace) -> None:
    """Fit, measure on people of the other split, and write face_code.safetensors."""
    prepare(arguments)
    cache = arguments.cache or arguments.output / "footage"
    frames, points, names = faces(pack_footage(arguments.data, cache, "train"), FRAMES)
    random = torch.Generator().manual_seed(arguments.seed)
    light = 0.15 * torch.randn(len(frames), 1, 1, 1, generator=random)
    light = light + 0.06 * torch.randn(len(frames), 3, 1, 1, generator=random)
    values = torch.cat([features(frames, points), features((frames * light.exp()).clamp(0, 1), points)])
    code = FaceCode()
    code.fit(values, names * 2)
    figures = separation(code, pack_footage(arguments.data, cache, "val"))
    print({name: round(value, 3) for name, value in figures.items()})
    write_weights(arguments, "face_code", code, {}, card(figures, len(set(names))))


def card(figures: dict[str, float], people: int) -> dict[str, object]:
    """The facts about these weights."""
    return {
        "title": "Face code",
        "architecture": "FaceCode",
        "description": "A face crop and its landmarks to 32 numbers that are alike for frames of one person; decides "
        "which faces personal weights are for (Fisherfaces, closed form; no means of identification)",
        "trained_on": f"{FRAMES} frames each of {people} people (train split)",
        "steps": 0,
        "licence": "research and demonstration; see README",
        "figures": f"unseen people: nine tenths of a person's later frames are at least {figures['own']:.2f} alike to "
        f"their earlier ones, other people at most {figures['others']:.2f} (1 is the same)",
    }
