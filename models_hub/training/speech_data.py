"""Speech with and without faces as tensors.

A clip becomes log mel at 100 frames a second and the moving points (jaw and lips) at 25, the lag between
sound and picture corrected, head pose removed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..networks.audio_to_lip import MARGIN, STEP
from ..networks.ibug68 import JAW
from ..networks.lip_shape import LIP_SLICE, MOVING, close_mouth, opening, steady_face
from ..stages.audio import FLOOR, MELS, SAMPLE_RATE, log_mel, mono_16k, recording_gain_db
from .footage import read_manifest, read_points
from .parts import sound_file, sound_files
from .phones import UNKNOWN, frame_classes, utterances

LOG_FLOOR = float(np.log(FLOOR))
LENGTH = 64  # frames of a crop that an encoder or a predictor learns from
MOST_LAG = 6  # frames; a larger measured lag is taken for a wrong measurement


@dataclass
class Talk:
    """Sound with what is known about it.

    Attributes:
        name, person: of the clip or recording.
        mel: (4 T, 64) natural log mel power, gain applied.
        motion: (T, 37, 2) jaw and lips less the closed mouth, face units; None for sound without a face.
        phones: (T,) class of each frame or UNKNOWN; None where nothing is known.
        heard: (T, D) features of a recogniser (`speech_teacher`); None without one.
        trust: how much its motion counts: 1 where it was seen, less where it was guessed.
    """

    name: str
    person: str
    mel: Tensor
    motion: Tensor | None = None
    phones: Tensor | None = None
    heard: Tensor | None = None
    trust: float = 1.0

    def __len__(self) -> int:
        return len(self.mel) // STEP


def read_sound(path: Path) -> tuple[Tensor, int]:
    """Samples (C, S) and rate of a sound file."""
    import soundfile

    samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    return torch.from_numpy(samples.T.copy()), rate


def recording_mel(samples: Tensor, rate: int, frames: int | None = None) -> Tensor:
    """(4 T, 64) log mel of a recording as the audio encoder hears it, T video frames."""
    samples = mono_16k(samples, rate)
    frames = frames or max(1, round(len(samples) / SAMPLE_RATE * 25))
    return log_mel(samples, frames * STEP, recording_gain_db(samples))


def clip_rows(data: Path, split: str, sync: tuple[str, ...] = ("ok",)) -> list[dict[str, str]]:
    """Rows of the manifest that are talking clips of a split, with the given standing of their sound."""
    rows = [row for row in read_manifest(data) if row["kind"] == "clip" and row["split"] == split]
    rows = [row for row in rows if row["sync"] in sync and row["audio"] == "yes"]
    if not rows:
        raise InputError(f"{data} holds no {split} clips whose sound is marked {' or '.join(sync)}; check --data.")
    return rows


def measured_lag(row: dict[str, str]) -> int:
    """Frames by which the mouth follows the sound, 0 where the measurement cannot be trusted."""
    lag = int(row["av_lag_frames"] or 0)
    return lag if abs(lag) <= MOST_LAG else 0


def clip_points(data: Path, name: str) -> Tensor:
    """(T, 68, 2) steadied points of a clip in face units; frames without a face repeat their neighbour."""
    points, valid = read_points(data / "clips" / f"{name}.npz")
    if not valid.all() and valid.any():
        good = np.flatnonzero(valid)
        points = points[good[np.abs(np.arange(len(points))[:, None] - good).argmin(1)]]
    return steady_face(torch.from_numpy(points))


def closed_reference(steady: Tensor, moving: Tensor, usual: Tensor) -> Tensor:
    """The closed mouth of a clip as (37, 2): the mean of its most closed tenth, closed entirely."""
    gap = opening(moving)
    count = max(1, len(gap) // 10)
    chosen = gap.argsort()[:count]
    face = steady.mean(0).clone()
    face[list(MOVING)] = moving[chosen].mean(0)
    return close_mouth(face, usual)[list(MOVING)]


ANY_SMILE = torch.tensor([10.0, 0.0, 10.0, 0.0])
"""Bounds for `close_mouth` that ease nothing: a clip's own closed mouth is believed."""


def usual_mouth(data: Path, hold_out: frozenset[str] = frozenset()) -> Tensor:
    """(4,) width and corner height of people's closed mouths, mean and spread, for `close_mouth`."""
    values: dict[str, list[list[float]]] = {}
    for row in read_manifest(data):
        if row["kind"] != "clip" or row["split"] != "train" or row["person"] in hold_out:
            continue
        steady = clip_points(data, row["id"])
        lips = closed_reference(steady, steady[:, MOVING], ANY_SMILE)[LIP_SLICE]
        line = lips[[13, 14, 15, 17, 18, 19], 1].mean()
        corners = line - (lips[0, 1] + lips[6, 1]) / 2
        values.setdefault(row["person"], []).append([float(lips[6, 0] - lips[0, 0]), float(corners)])
    people = torch.tensor([np.mean(of_person, 0).tolist() for of_person in values.values()])
    return torch.stack([people[:, 0].mean(), people[:, 0].std(), people[:, 1].mean(), people[:, 1].std()])


Listen = Callable[[Tensor, int], Tensor]
"""16 kHz samples (S,) and a number of video frames T -> features (T, D)."""


def listened(samples: Tensor, rate: int, frames: int, teacher: Listen | None) -> Tensor | None:
    """What a teacher hears in a recording, if there is one."""
    return teacher(mono_16k(samples, rate), frames) if teacher else None


def talking_clips(
    data: Path,
    split: str,
    sync: tuple[str, ...] = ("ok",),
    teacher: Listen | None = None,
) -> list[Talk]:
    """Clips with sound and mouth on one timeline, and what the teacher hears if there is one."""
    talks = []
    for row in clip_rows(data, split, sync):
        steady = clip_points(data, row["id"])
        moving = steady[:, MOVING]
        motion = moving - closed_reference(steady, moving, ANY_SMILE)
        sound = read_sound(sound_file(data / "clips", row["id"]))
        mel, heard = recording_mel(*sound, len(motion)), listened(*sound, len(motion), teacher)
        talks.append(shifted(Talk(row["id"], row["person"], mel, motion, heard=heard), measured_lag(row)))
    return talks


def shifted(clip: Talk, lag: int) -> Talk:
    """A clip whose mouth is `lag` frames late, on one timeline; what has no partner on the other side is cut off."""
    early, late = max(0, lag), max(0, -lag)  # frames without their sound, and sounds without their frame
    mel, motion, heard = clip.mel, clip.motion, clip.heard
    return replace(
        clip,
        mel=mel[late * STEP : len(mel) - early * STEP],
        motion=motion[early : len(motion) - late],
        heard=None if heard is None else heard[late : len(heard) - early],
    )


def even_out(clips: list[Talk]) -> None:
    """Scale each person's motion to the size that people have on (geometric) average.

    How widely a person moves the lips cannot be heard; left in, the network learns it from the few voices it
    knows, and shrinks what it says about others.
    """
    sizes: dict[str, list[Tensor]] = {}
    for clip in clips:
        lips = clip.motion[:, LIP_SLICE]
        sizes.setdefault(clip.person, []).append((lips - lips.mean(0)).norm(dim=-1).mean())
    size = {person: torch.stack(of_person).mean() for person, of_person in sizes.items()}
    usual = torch.stack(list(size.values())).log().mean().exp()
    for clip in clips:
        clip.motion = clip.motion * (usual / size[clip.person])


def plain_speech(data: Path, hold_out: frozenset[str] = frozenset(), teacher: Listen | None = None) -> list[Talk]:
    """Sound without trusted faces: the recordings of speech/ and train clips that are not in sync."""
    paths = {path.stem: path for path in sound_files(data / "speech")}
    for row in read_manifest(data):
        weak = row["kind"] == "clip" and row["split"] == "train" and row["sync"] == "weak"
        if weak and row["person"] not in hold_out:
            paths[row["id"]] = sound_file(data / "clips", row["id"])
    talks = []
    for name, path in paths.items():
        sound = read_sound(path)
        mel = recording_mel(*sound)
        talks.append(Talk(name, name, mel, heard=listened(*sound, len(mel) // STEP, teacher)))
    return talks


def synthetic_speech(seconds: float, seed: int, teacher: Listen | None = None) -> list[Talk]:
    """espeak-ng sentences with the phone of every frame."""
    talks = []
    for index, utterance in enumerate(utterances(seconds, seed)):
        sound = torch.from_numpy(utterance.samples), utterance.sample_rate
        mel = recording_mel(*sound)
        phones = torch.from_numpy(frame_classes(utterance, len(mel) // STEP))
        heard = listened(*sound, len(phones), teacher)
        talks.append(Talk(f"synthetic-{index}", f"synthetic-{index}", mel, phones=phones, heard=heard))
    return talks


@dataclass
class Batch:
    """Crops of L frames.

    Attributes:
        mel: (B, MARGIN + 4 L + MARGIN, 64) natural log mel, augmented.
        clean: (B, 4 L, 64) the same middle without augmentation.
        motion: (B, L, 37, 2), zeros where unknown.
        seen: (B, L) 1 where the motion is known, less where it was guessed.
        phones: (B, L) class or UNKNOWN.
        heard: (B, L, D) features of a recogniser, zeros where unknown; D is 0 without one.
    """

    mel: Tensor
    clean: Tensor
    motion: Tensor
    seen: Tensor
    phones: Tensor
    heard: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        return Batch(*(value.to(device) for value in vars(self).values()))


class Sampler:
    """Draws crops of talks; people with much footage are drawn less than in proportion.

    Args:
        talks: where crops come from.
        length: frames of a crop.
        random: numpy generator of places and speeds.
        balance: 0 draws by duration, 1 every person alike.
    """

    def __init__(self, talks: list[Talk], length: int, random: np.random.Generator, balance: float = 0.5) -> None:
        self.talks, self.length, self.random = talks, length, random
        total: dict[str, int] = {}
        for talk in talks:
            total[talk.person] = total.get(talk.person, 0) + len(talk)
        weight = np.array([len(talk) / total[talk.person] ** balance for talk in talks])
        self.weight = weight / weight.sum()

    def __call__(self, count: int) -> Batch:
        """A batch of `count` crops, at random speeds, not augmented otherwise."""
        chosen = self.random.choice(len(self.talks), count, p=self.weight)
        crops = [self._crop(self.talks[index]) for index in chosen]
        return Batch(*(torch.stack(parts) for parts in zip(*crops, strict=True)))

    def _crop(self, talk: Talk) -> tuple[Tensor, ...]:
        length, speed = self.length, float(np.exp(self.random.uniform(-0.14, 0.14)))
        span = length * speed  # frames of the talk that the crop covers
        start = self.random.uniform(min(0.0, len(talk) - span), max(0.0, len(talk) - span))
        places = start + (torch.arange(length) + 0.5) * speed - 0.5
        mel_places = start * STEP + (torch.arange(-MARGIN, length * STEP + MARGIN) + 0.5) * speed - 0.5
        mel = _read(talk.mel, mel_places, LOG_FLOOR)
        inside = ((places >= 0) & (places <= len(talk) - 1)).float()
        motion, seen = torch.zeros(length, len(MOVING), 2), torch.zeros(length)
        if talk.motion is not None:
            motion, seen = _read(talk.motion, places.clamp(0, len(talk) - 1), 0.0), inside * talk.trust
        phones = torch.full((length,), UNKNOWN)
        if talk.phones is not None:
            nearest = talk.phones[places.round().long().clamp(0, len(talk) - 1)]
            phones = torch.where(inside > 0, nearest, 0)
        heard = torch.zeros(length, 0) if talk.heard is None else _read(talk.heard, places, 0.0)
        return mel, mel[MARGIN : MARGIN + length * STEP], motion, seen, phones, heard


def _read(values: Tensor, places: Tensor, outside: float) -> Tensor:
    """Rows of (T, ...) at fractional places; `outside` where there are none."""
    low = places.floor()
    share = (places - low).view(-1, *[1] * (values.dim() - 1))
    index = low.long()

    def rows(at: Tensor) -> Tensor:
        inside = ((at >= 0) & (at < len(values))).view_as(share)
        return torch.where(inside, values[at.clamp(0, len(values) - 1)], outside)

    return torch.lerp(rows(index), rows(index + 1), share)


def silence_batch(count: int, length: int, random: torch.Generator, features: int = 0) -> Batch:
    """Crops of silence and steady noise, whose mouth is closed; what a teacher would hear in them is unknown."""
    frames = length * STEP + 2 * MARGIN
    level = torch.empty(count, 1, 1).uniform_(-21, -9, generator=random)
    tilt = torch.randn(count, 1, 1, generator=random) * torch.linspace(-1.5, 1.5, MELS)
    # The power of a noise band varies like a chi-squared of few degrees of freedom.
    ripple = torch.rand(count, frames, MELS, generator=random).clamp(min=1e-3)
    mel = torch.logaddexp(level + tilt + torch.log(-torch.log(ripple) + 1e-3), torch.tensor(LOG_FLOOR))
    mel[::3] = LOG_FLOOR
    middle = mel[:, MARGIN : MARGIN + length * STEP]
    motion, seen = torch.zeros(count, length, len(MOVING), 2), torch.ones(count, length)
    phones, heard = torch.zeros(count, length, dtype=torch.long), torch.zeros(count, length, features)
    return Batch(mel, middle, motion, seen, phones, heard)


def join(batches: list[Batch]) -> Batch:
    """Several batches as one."""
    return Batch(*(torch.cat([getattr(batch, name) for batch in batches]) for name in Batch.__annotations__))


def chin_weights() -> Tensor:
    """(37,) how much each moving point counts: lips 1, jaw by how far speech moves it."""
    weights = torch.ones(len(MOVING))
    weights[: len(JAW)] = 0.4 * torch.sin(torch.linspace(0, torch.pi, len(JAW))) ** 2
    return weights
