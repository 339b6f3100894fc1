"""Training of the sync critic: `python -m articulate train sync_critic --data DIR --output DIR`.

Windows of 0.2 s of sound and five frames of lips at several moments of a clip: those of the same moment are
true pairs, all others false; binary cross-entropy on the cosine (seed 04, section 6) and the contrast between
moments. Our reconstruction.
"""

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..networks.audio_to_lip import STEP, UNIT
from ..networks.sync_critic import FRAMES, SyncCritic, lower_faces
from .devices import half, on_cpu, place
from .fit import Average, add_common_arguments, cosine, launch, settings_of, write_weights
from .footage import read_clip
from .loop import Kept, Loop
from .parts import sound_file
from .speech_augmentation import augment
from .speech_data import clip_rows, measured_lag, read_sound, recording_mel

CLIPS, MOMENTS = 8, 9  # of a batch, and of each clip in it
NEAREST, FARTHEST = 4, 25  # frames by which the sound of a false pair is off
SPAN = 25  # windows whose scores are averaged for the figure over one second


@dataclass
class Lips:
    """A clip for the critic.

    Attributes:
        person: who speaks.
        crops: (T, 32, 64) uint8, the lower half of the face.
        mel: (4 T, 64) natural log mel power on the same timeline, lag corrected.
    """

    person: str
    crops: Tensor
    mel: Tensor

    def windows(self, sound: np.ndarray, sight: np.ndarray) -> tuple[Tensor, Tensor]:
        """Mel (n, 20, 64) centred on frames `sound`, and crops (n, 5, 32, 64) in 0..1 on frames `sight`."""
        margin = (UNIT - STEP) // 2
        first = torch.from_numpy(sound) * STEP - margin
        start = torch.from_numpy(sight) - FRAMES // 2
        lips = self.crops[start[:, None] + torch.arange(FRAMES)].float() / 255
        return self.mel[first[:, None] + torch.arange(UNIT)], lips


def add_arguments(parser: ArgumentParser) -> None:
    """Options of this training."""
    add_common_arguments(parser, steps=2000, output="out/training/sync_critic")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate")


def read_lips(data: Path, split: str) -> list[Lips]:
    """Every clip of a split whose sound is confirmed, cropped to the lower half of the face."""
    clips = []
    for row in clip_rows(data, split):
        frames, points, _ = read_clip(data, row["id"])
        lag = measured_lag(row)
        mel = recording_mel(*read_sound(sound_file(data / "clips", row["id"])), len(frames))
        crops = cut_lips(torch.from_numpy(frames), torch.from_numpy(points))
        if lag > 0:
            crops, mel = crops[lag:], mel[: len(mel) - lag * STEP]
        elif lag < 0:
            crops, mel = crops[:lag], mel[-lag * STEP :]
        clips.append(Lips(row["person"], crops, mel))
    return clips


def cut_lips(frames: Tensor, points: Tensor, chunk: int = 32) -> Tensor:
    """Lower faces (T, 32, 64) uint8 of frames (T, H, W, 3) uint8 with points (T, 68, 2)."""
    parts = zip(frames.split(chunk), points.split(chunk), strict=True)
    cut = [lower_faces(part.permute(0, 3, 1, 2).float() / 255, marks) for part, marks in parts]
    return (torch.cat(cut) * 255).byte()


class Groups:
    """Draws windows of several moments of a clip, at least `NEAREST` frames apart, with their true sound."""

    def __init__(self, clips: list[Lips], random: np.random.Generator) -> None:
        self.clips, self.random = clips, random
        total: dict[str, int] = {}
        for clip in clips:
            total[clip.person] = total.get(clip.person, 0) + len(clip.crops)
        weight = np.array([len(clip.crops) / total[clip.person] ** 0.5 for clip in clips])
        self.weight = weight / weight.sum()

    def __call__(self, clips: int, moments: int) -> tuple[Tensor, Tensor]:
        """Mel (clips * moments, 20, 64) and lips (clips * moments, 5, 32, 64), the moments of a clip in a row."""
        mels, lips = [], []
        for chosen in self.random.choice(len(self.clips), clips, p=self.weight):
            clip = self.clips[chosen]
            places = np.arange(2 + self.random.integers(NEAREST), len(clip.crops) - 2, NEAREST)
            places = self.random.choice(places, moments, replace=len(places) < moments)
            mel, crops = clip.windows(places, places)
            if self.random.random() < 0.5:
                crops = crops.flip(-1)
            shift = tuple(int(value) for value in self.random.integers(-2, 3, 2))
            mels.append(mel)
            lips.append(crops.roll(shift, (-2, -1)))
        return torch.cat(mels), torch.cat(lips)


def sync_loss(heard: Tensor, seen: Tensor, moments: int, temperature: float = 0.1) -> tuple[Tensor, Tensor]:
    """Every sound against every sight of its clip.

    Args:
        heard, seen: (clips * moments, features) unit vectors.
        moments: how many belong to a clip.

    Returns:
        The loss: binary cross-entropy on the cosine, true and false pairs weighing the same, plus the contrast
        between moments (InfoNCE, both ways); and the share of sights that score their own sound highest.
    """
    score = heard.unflatten(0, (-1, moments)) @ seen.unflatten(0, (-1, moments)).transpose(1, 2)  # (C, M, M)
    same = torch.eye(moments, dtype=torch.bool, device=score.device).expand_as(score)
    known = score.clamp(1e-4, 1 - 1e-4)
    binary = -(known[same].log().mean() + (1 - known[~same]).log().mean()) / 2
    answer = torch.arange(moments, device=score.device).repeat(len(score))
    sights, sounds = score.transpose(1, 2).flatten(0, 1) / temperature, score.flatten(0, 1) / temperature
    contrast = (F.cross_entropy(sights, answer) + F.cross_entropy(sounds, answer)) / 2
    return binary + contrast, (sights.argmax(1) == answer).float().mean()


def shifted(places: np.ndarray, length: int, random: np.random.Generator) -> np.ndarray:
    """Other places in a clip, 4 to 25 frames away (as far as the clip allows), inside 2 .. length - 3."""
    away = random.integers(NEAREST, FARTHEST + 1, len(places)) * random.choice([-1, 1], len(places))
    other = places + away
    other = np.where((other < 2) | (other > length - 3), places - away, other)
    return other.clip(2, length - 3)


@torch.no_grad()
def validation(critic: SyncCritic, clips: list[Lips], seed: int = 0) -> dict[str, float]:
    """How often a true pair scores above a false one: for single windows, and for means over one second."""
    random = np.random.default_rng(seed)
    single, second = [], []
    for clip in clips:
        sight = np.arange(2, len(clip.crops) - 2)
        mel, lips = clip.windows(sight, sight)
        seen, heard = critic.see(lips), critic.hear(mel)
        true = (seen * heard).sum(-1)
        other = shifted(sight, len(clip.crops), random)
        single.append((true > (seen * heard[torch.from_numpy(other - 2)]).sum(-1)).float().mean().item())
        for away in (5, 8, 12, 18, 25):
            if len(true) < SPAN + away:
                continue
            late = (seen[:-away] * heard[away:]).sum(-1).unfold(0, SPAN, 1).mean(-1)
            early = (seen[away:] * heard[:-away]).sum(-1).unfold(0, SPAN, 1).mean(-1)
            right = true.unfold(0, SPAN, 1).mean(-1)
            above = torch.cat([right[: len(late)] > late, right[-len(early) :] > early])
            second.append(above.float().mean())
    return {"window_accuracy": float(np.mean(single)), "second_accuracy": float(torch.stack(second).mean())}


def run(arguments: Namespace) -> None:
    """Train, and write sync_critic.safetensors into the output folder."""
    fabric = launch(arguments)
    train, held_out = read_lips(arguments.data, "train"), read_lips(arguments.data, "val")
    config = {"width": 16}
    critic = SyncCritic(**config)
    mel = torch.cat([clip.mel for clip in train])
    critic.mel_mean.copy_(mel.mean(0))
    critic.mel_scale.copy_(mel.std(0))
    place(critic, fabric.device)
    average, kept = Average(critic, 0.998), Kept()
    optimiser = torch.optim.AdamW(critic.parameters(), arguments.rate, weight_decay=0.05)
    parts = {"critic": critic, "average": average.network, "optimiser": optimiser, "kept": kept}
    loop = Loop.of(arguments, fabric, parts, CLIPS * MOMENTS, settings_of(arguments, "rate"), log_every=100)

    def take(step: int) -> dict[str, float]:
        noise, random = loop.chance(arguments.seed, step)
        mel, lips = Groups(train, random)(CLIPS, MOMENTS)
        lips = lips + 0.03 * torch.randn(lips.shape, generator=noise)
        mel = augment(mel, noise)
        critic.train()
        with half(fabric.device):
            heard, seen = critic.hear(mel.to(fabric.device)), critic.see(lips.to(fabric.device))
        loss, right = sync_loss(heard.float(), seen.float(), MOMENTS)
        optimiser.param_groups[0]["lr"] = arguments.rate * cosine(step, arguments.steps)
        if loop.descend(optimiser, loss, list(critic.parameters()), 1.0).isfinite():
            average.update(critic, step)
        return {"loss": loss.item(), "right": right.item()}

    def judge(step: int) -> None:
        if loop.writes and (step % loop.save_every == 0 or step == arguments.steps):
            figures = validation(on_cpu(average.network), held_out)
            loop.tell(**figures)
            loop.offer(figures["window_accuracy"] + figures["second_accuracy"], average.network, kept)

    loop.run(arguments.steps, take, judge)
    if loop.writes:
        best = kept.put_into(average.network)
        write_weights(arguments, "sync_critic", best, config, card(arguments, validation(best, held_out), train))


def card(arguments: Namespace, figures: dict[str, float], train: list[Lips]) -> dict[str, object]:
    """The facts about these weights."""
    return {
        "title": "Sync critic",
        "architecture": "SyncCritic",
        "description": "0.2 s of sound and five frames of lips to the probability that they belong together "
        "(CALS, our reconstruction without access to the authors' code)",
        "trained_on": f"{sum(len(clip.crops) for clip in train) / 25:.0f} s of {len(train)} talking clips of "
        f"{len({clip.person for clip in train})} people",
        "steps": arguments.steps,
        "licence": "research and demonstration; see README",
        "figures": f"unseen people: the true sound scores above one 4 to 25 frames off for "
        f"{100 * figures['window_accuracy']:.1f} % of single windows, above one 5 to 25 frames off for "
        f"{100 * figures['second_accuracy']:.1f} % of means over a second (50 % is chance)",
    }
