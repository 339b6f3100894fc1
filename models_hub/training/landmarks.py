"""Training of the landmark estimator: `python -m articulate train landmarks --data DIR --output DIR`."""

from argparse import ArgumentParser, Namespace

import numpy as np
import torch
from torch import Tensor, nn

from ..networks.density import cell_centres, gaussian_factors
from ..networks.ibug68 import COUNT, EYES, LEFT_EYE, LIPS, MIRROR, RIGHT_EYE
from ..networks.landmark_estimator import LandmarkEstimator
from ..types import CROP_SIZE
from . import face_fit, fit
from .devices import half
from .face_data import LandmarkSet, disturb, landmark_set

SIGMA = 1.5
"""Cells of the target distribution, the same as in the density maps, so that the answer is one."""

CENTRE = np.array([0.0, 0.2], np.float32)
"""Where faces lie in the crops, the pivot of turning and scaling."""


def add_arguments(parser: ArgumentParser) -> None:
    """Options of this training."""
    face_fit.add_arguments(parser, 4000, "runs/landmarks")


def point_weights() -> Tensor:
    """(68,) how much each point counts: lips double, eyes by half more."""
    weights = torch.ones(COUNT)
    weights[list(LIPS)] = 2.0
    weights[list(EYES)] = 1.5
    return weights / weights.mean()


def landmark_loss(logits: Tensor, points: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cross-entropy with Gaussians plus the distance of the expected value.

    Args:
        logits: (B, 68, h, w).
        points: (B, 68, 2) truth in crop units.
        weights: (68,) of each point.

    Returns:
        The loss, the divergence from the target maps in nats, and the mean distance in crop units.
    """
    height, width = logits.shape[-2:]
    rows, columns = gaussian_factors(points, height, width, SIGMA)
    maps = torch.softmax(logits.flatten(2), dim=-1)  # (B, 68, h w)
    # log-sum-exp = any cell's logit minus its log-probability: the peak's costs nothing beside the softmax.
    peak = logits.detach().flatten(2).argmax(dim=-1, keepdim=True)
    normaliser = (logits.flatten(2).gather(-1, peak) - maps.gather(-1, peak).log()).squeeze(-1)  # (B, 68)
    # The target factorises, so its cross-entropy with the answer is two small products, not a map of logarithms.
    cross = normaliser - ((logits @ columns[..., None])[..., 0] * rows).sum(dim=-1)
    entropy = -(rows * (rows + 1e-12).log()).sum(dim=-1) - (columns * (columns + 1e-12).log()).sum(dim=-1)
    divergence = cross - entropy
    maps = maps.view_as(logits)
    x, y = maps.sum(dim=-2) @ cell_centres(width, maps.device), maps.sum(dim=-1) @ cell_centres(height, maps.device)
    offset = torch.stack([x, y], dim=-1) - points
    distance = (offset.square().sum(dim=-1) + 1e-8).sqrt()
    # A logarithm far out, straight near zero: the wing loss's shape, so that small errors keep their pull.
    wing = torch.log1p(distance * 40)
    total = ((divergence + 2 * wing) * weights).mean()
    return total, divergence.mean(), distance.mean()


def eye_distance(points: Tensor) -> Tensor:
    """Distance between the centres of both eyes, (B, 68, 2) -> (B,)."""
    left, right = points[:, list(LEFT_EYE)].mean(dim=1), points[:, list(RIGHT_EYE)].mean(dim=1)
    return (left - right).norm(dim=-1)


class Batches:
    """Augmented batches; the numbers that it is given alone decide what is in one."""

    def __init__(self, material: LandmarkSet, batch: int, photo_share: float = 0.45):
        self.material, self.batch, self.photo_share = material, batch, photo_share
        names = np.unique(material.groups)
        members = {name: np.flatnonzero(material.groups == name) for name in names}
        self.photos = [members[name] for name in names if name.startswith("photo:")]
        self.clips = [members[name] for name in names if name.startswith("clip:")]

    def __call__(self, random: np.random.Generator, working: int) -> list[Tensor]:
        """Crops (B, 3, working, working) in 0..1 and points (B, 68, 2)."""
        samples = [self._sample(random, working) for _ in range(self.batch)]
        crops = torch.from_numpy(np.stack([crop for crop, _ in samples])).permute(0, 3, 1, 2)
        return [crops.float() / 255, torch.from_numpy(np.stack([points for _, points in samples]))]

    def _sample(self, generator: np.random.Generator, working: int) -> tuple[np.ndarray, np.ndarray]:
        import cv2

        groups = self.photos if generator.random() < self.photo_share else self.clips
        members = groups[generator.integers(len(groups))]
        chosen = members[generator.integers(len(members))]
        frame, points = np.asarray(self.material.frames[chosen]), self.material.points[chosen]
        if generator.random() < 0.5:
            frame, points = frame[:, ::-1], (points * np.array([-1, 1], np.float32))[list(MIRROR)]
        scale = np.exp(np.clip(generator.normal(0, 0.13), -0.35, 0.35))
        angle = np.deg2rad(np.clip(generator.normal(0, 12), -32, 32))
        shift = np.clip(generator.normal(0, 0.08, 2), -0.25, 0.25)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        # Crop units of the answer -> crop units of the frame.
        matrix = np.concatenate([turn, (CENTRE + shift - turn @ CENTRE)[:, None]], axis=1)
        pixels = matrix.copy()
        pixels[:, 2] = (matrix[:, 2] + 1) * CROP_SIZE / 2 - 0.5 - turn.sum(axis=1) * (CROP_SIZE / 2 - 0.5)
        crop = cv2.warpAffine(
            np.ascontiguousarray(frame),
            pixels,
            (CROP_SIZE, CROP_SIZE),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        crop = cv2.resize(crop, (working, working), interpolation=cv2.INTER_AREA)
        points = (points - matrix[:, 2]) @ np.linalg.inv(turn).T
        if generator.random() < 0.2:
            _occlude(crop, generator)
        return disturb(crop, generator), points.astype(np.float32)


def _occlude(crop: np.ndarray, generator: np.random.Generator) -> None:
    """Cover a part with a patch of one colour or of the picture's own texture, in place."""
    size = len(crop)
    height, width = generator.integers(size // 12, size // 3, 2)
    y, x = generator.integers(0, size - height), generator.integers(0, size - width)
    if generator.random() < 0.5:
        patch = generator.integers(0, 256, 3)
    else:
        v, u = generator.integers(0, size - height), generator.integers(0, size - width)
        patch = crop[v : v + height, u : u + width].copy()
    crop[y : y + height, x : x + width] = patch


@torch.no_grad()
def validation(network: nn.Module, material: LandmarkSet, limit: int = 300) -> dict[str, float]:
    """Mean distance in eye distances, for clips and for photos, on the crops as they are given."""
    figures = {}
    for kind in ("clip", "photo"):
        chosen = np.flatnonzero([group.startswith(kind) for group in material.groups])
        chosen = chosen[:: max(1, len(chosen) // limit)]
        errors = []
        for part in np.array_split(chosen, max(1, len(chosen) // 32)):
            crops = torch.from_numpy(np.asarray(material.frames[part])).permute(0, 3, 1, 2).float() / 255
            truth = torch.from_numpy(material.points[part])
            distance = (network.points(network(crops)) - truth).norm(dim=-1).mean(dim=1)
            errors.append(distance / eye_distance(truth))
        figures[f"{kind}_error"] = torch.cat(errors).mean().item()
    return figures


def run(arguments: Namespace) -> None:
    """Train, and write `landmark_estimator.safetensors` into the output directory."""
    fabric = fit.launch(arguments)
    cache = arguments.cache or arguments.output / "cache"
    with fabric.rank_zero_first():
        train, held_out = (landmark_set(arguments.data, split, cache) for split in ("train", "val"))
    config = {"widths": [16, 32, 64, 128], "depth": 2, "head": 32, "working": 128}
    network = LandmarkEstimator(**config).to(fabric.device, memory_format=torch.channels_last)
    batches, weights = Batches(train, arguments.batch), point_weights().to(fabric.device)

    def loss(batch: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
        crops, points = batch
        with half(fabric.device):
            logits = network.logits(crops.to(memory_format=torch.channels_last))
        total, divergence, distance = landmark_loss(logits.float(), points, weights)
        return total, {"loss": total.item(), "divergence": divergence.item(), "distance": distance.item()}

    average = face_fit.train(
        network,
        lambda random: batches(random, network.working),
        loss,
        arguments,
        fabric,
        lambda averaged: validation(averaged, held_out),
        lambda seen: -seen["clip_error"] - seen["photo_error"],
    )
    if average is not None:
        figures = validation(average, held_out, limit=10_000)
        fit.write_weights(arguments, "landmark_estimator", average, config, card(arguments, train, figures))
        print({name: round(value, 4) for name, value in figures.items()})


def card(arguments: Namespace, material: LandmarkSet, figures: dict[str, float]) -> dict[str, object]:
    """The facts about these weights."""
    return {
        "title": "Landmark estimator",
        "architecture": "LandmarkEstimator",
        "description": "Face crop to 68 probability maps and their expected values (iBUG 68 order).",
        "trained_on": f"{material.summary()}; points of MediaPipe Face Mesh as the teacher; turned, scaled, flipped, "
        "recoloured, blurred, covered",
        "steps": arguments.steps,
        "licence": "research and demonstration; see README",
        "figures": f"mean distance to the teacher's points on crops of unseen people, in eye distances: "
        f"{figures['clip_error']:.4f} on clips, {figures['photo_error']:.4f} on photos and paintings",
    }
