"""Training of the face finder: `python -m articulate train finder --data DIR --output DIR`."""

from argparse import ArgumentParser, Namespace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..networks.face_finder import STRIDE, FaceFinder
from ..stages.face_detection import detect, overlap
from . import face_fit, fit
from .devices import half
from .face_data import LandmarkSet, face_pictures, landmark_set
from .finder_data import CANVAS, Composer


def add_arguments(parser: ArgumentParser) -> None:
    """Options of this training."""
    face_fit.add_arguments(parser, 4000, "runs/finder")


def targets(faces: np.ndarray, unclear: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What each cell of a training picture should answer.

    Args:
        faces, unclear: (n, 4) and (m, 4) boxes in pixels.

    Returns:
        Heat (h, w) with a peak of one in each face's cell, sizes and offsets (4, h, w), their weights (h, w), and
        the mask (h, w) of cells whose score is judged.
    """
    cells = CANVAS // STRIDE
    heat, judged = np.zeros((cells, cells), np.float32), np.ones((cells, cells), np.float32)
    values, weights = np.zeros((4, cells, cells), np.float32), np.zeros((cells, cells), np.float32)
    places = np.arange(cells, dtype=np.float32) + 0.5
    for x, y, width, height in unclear / STRIDE:
        judged[np.ix_((places > y) & (places < y + height), (places > x) & (places < x + width))] = 0
    for x, y, width, height in faces / STRIDE:
        centre = np.clip([x + width / 2, y + height / 2], 0, cells - 1e-3)
        peak = np.floor(centre) + 0.5
        spread = max(0.55, 0.09 * min(width, height))
        bump = np.exp(-((places[:, None] - peak[1]) ** 2 + (places[None] - peak[0]) ** 2) / (2 * spread**2))
        own = bump > np.maximum(heat, 0.3)
        heat = np.maximum(heat, bump)
        judged = np.maximum(judged, own)
        answer = np.stack(np.broadcast_arrays(
            np.log(width * STRIDE / 64), np.log(height * STRIDE / 64),
            centre[0] - places[None], centre[1] - places[:, None],
        ))  # fmt: skip
        values[:, own] = answer[:, own]
        weights[own] = bump[own]
    return heat.astype(np.float32), values, weights, judged


def finder_loss(answer: Tensor, heat: Tensor, values: Tensor, weights: Tensor, judged: Tensor) -> tuple[Tensor, Tensor]:
    """Penalty-reduced focal loss of the scores and absolute error of size and offset.

    Args:
        answer: (B, 5, h, w) of the network.
        heat, weights, judged: (B, h, w); values: (B, 4, h, w), as `targets` gives them.
    """
    logit = answer[:, 0]
    score = logit.sigmoid()
    positive = (heat > 0.999).float()
    miss = -F.logsigmoid(logit) * (1 - score) ** 2 * positive
    alarm = -F.logsigmoid(-logit) * score**2 * (1 - heat) ** 4 * (1 - positive)
    focal = ((miss + alarm) * judged).sum() / positive.sum().clamp(min=1)
    distance = (answer[:, 1:] - values).abs() * values.new_tensor([4.0, 4.0, 1.0, 1.0])[:, None, None]
    # Offsets of large faces are many cells: measure them in parts of the face.
    side = (values[:, :2].mean(dim=1, keepdim=True).exp() * 64 / STRIDE / 4).clamp(min=1)
    distance = torch.cat([distance[:, :2], distance[:, 2:] / side], dim=1)
    return focal, (distance.sum(dim=1) * weights).sum() / weights.sum().clamp(min=1)


@torch.no_grad()
def validation(network: nn.Module, pictures: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Share of pictures whose largest box is found, boxes a picture, and mean overlap of the found ones."""
    hits, boxes, overlaps = 0, 0, []
    for picture, truth in pictures:
        found = detect(network, torch.from_numpy(picture.copy()).permute(2, 0, 1) / 255)
        best = overlap(found[0].box, tuple(truth[0].tolist())) if found else 0.0
        hits += best >= 0.4
        boxes += len(found)
        overlaps.append(best)
    return {
        "face_found": hits / len(pictures),
        "boxes_a_picture": boxes / len(pictures),
        "overlap": float(np.mean(overlaps)),
    }


def score(seen: dict[str, float]) -> float:
    """What chooses the weights that are kept."""
    return seen["face_found"] + seen["overlap"]


def run(arguments: Namespace) -> None:
    """Train, and write `face_finder.safetensors` into the output directory."""
    fabric = fit.launch(arguments)
    cache = arguments.cache or arguments.output / "cache"
    with fabric.rank_zero_first():
        crops = landmark_set(arguments.data, "train", cache)
    composer = Composer(arguments.data, "train", crops)
    held_out = face_pictures(arguments.data, "val")
    config = {"widths": [8, 16, 32, 48, 64, 64], "pyramid": 48}
    network = FaceFinder(**config).to(fabric.device, memory_format=torch.channels_last)

    def draw(random: np.random.Generator) -> list[Tensor]:
        samples = [composer.picture(random) for _ in range(arguments.batch)]
        pictures = torch.from_numpy(np.stack([picture for picture, _, _ in samples])).permute(0, 3, 1, 2) / 255
        truth = [torch.from_numpy(np.stack(part)) for part in zip(*(targets(*s[1:]) for s in samples), strict=True)]
        return [pictures, *truth]

    def loss(batch: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
        pictures, *truth = batch
        with half(fabric.device):
            answer = network(pictures.contiguous(memory_format=torch.channels_last))
        focal, place = finder_loss(answer.float(), *truth)
        return focal + 0.5 * place, {"focal": focal.item(), "place": place.item()}

    def judge(averaged: nn.Module) -> dict[str, float]:
        return validation(averaged, held_out)

    average = face_fit.train(network, draw, loss, arguments, fabric, judge, score)
    if average is not None:
        figures = judge(average)
        fit.write_weights(arguments, "face_finder", average, config, card(arguments, crops, figures))
        print({name: round(value, 4) for name, value in figures.items()})


def card(arguments: Namespace, crops: LandmarkSet, figures: dict[str, float]) -> dict[str, object]:
    """The facts about these weights."""
    return {
        "title": "Face finder",
        "architecture": "FaceFinder",
        "description": "Picture to face boxes: score, size and offset on a stride-8 grid.",
        "trained_on": f"compositions of whole portraits with {crops.summary()}: any size and place, several faces or "
        "none; boxes of a public detector as the teacher",
        "steps": arguments.steps,
        "licence": "research and demonstration; see README",
        "figures": f"on 30 pictures of unseen people: largest face found {figures['face_found']:.3f} (overlap at least "
        f"0.4), mean overlap {figures['overlap']:.3f}, boxes a picture {figures['boxes_a_picture']:.2f} before the "
        "landmark estimator confirms them",
    }
