"""Training of the audio encoder: `python -m articulate train audio_to_lip --data DIR --output DIR`.

Masked pretraining on all speech, then the same with few masks and the weight on lips (CALS, our
reconstruction). Three kinds of speech teach one encoder at once: clips teach the lips, synthetic speech
teaches its phones, and any speech teaches to fill in what was masked; later the averaged networks' own
answers teach lips on voices without a face. The heads are thrown away.
"""

from argparse import ArgumentParser, Namespace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..loading import WEIGHTS_FOLDER, pin_card, save_network
from ..networks.audio_to_lip import MARGIN, STEP, AudioToLip
from ..networks.landmark_predictor import LandmarkPredictor
from ..networks.lip_shape import LIP_SLICE, MOVING
from .fit import Average, add_common_arguments, cosine, prepare
from .loop import Loop, same_chance
from .phones import CLASSES, UNKNOWN
from .speech_data import (
    Batch,
    Sampler,
    Talk,
    augment,
    chin_weights,
    even_out,
    hide_bands,
    hide_spans,
    join,
    plain_speech,
    silence_batch,
    synthetic_speech,
    talking_clips,
    usual_mouth,
)

LENGTH = 64  # frames of a crop
PRETRAINING = 0.4  # share of the steps with heavy masks
FACES, PHONES, PLAIN, SILENT = 14, 4, 3, 1  # crops of each kind in a batch


def add_arguments(parser: ArgumentParser) -> None:
    """Options of this training."""
    add_common_arguments(parser, steps=1500, output="out/training/audio_to_lip")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="highest learning rate")
    parser.add_argument("--synthetic", type=float, default=3000.0, help="seconds of espeak-ng speech; 0 for none")
    parser.add_argument("--hold-out", nargs="*", default=[], help="train people to leave out, for choosing settings")
    parser.add_argument("--install", action="store_true", help="put the weights and their card into the package")


class Teacher(nn.Module):
    """The encoder with the heads that teach it: lips, phones, and the masked sound itself."""

    def __init__(self, encoder: AudioToLip, predictor: LandmarkPredictor) -> None:
        super().__init__()
        self.encoder, self.predictor = encoder, predictor
        self.phones = nn.Linear(encoder.width, len(CLASSES))
        self.sound = nn.Linear(encoder.width, STEP * encoder.mels)

    def units(self, mel: Tensor, share: float, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Units of augmented log mel with spans of it masked, and which frames (B, L) were."""
        mel = hide_bands(self.encoder.normalise(mel), random)
        count, frames = len(mel), mel.shape[1] // STEP
        hidden = hide_spans(count, frames, share, 5, random)
        masked = hidden.repeat_interleave(STEP, 1)[..., None]
        mel = torch.where(masked, self.encoder.mask.to(mel.dtype), mel)
        edge = MARGIN // STEP
        return self.encoder(mel), hidden[:, edge : frames - edge]


def prepare_networks(clips: list[Talk], sounds: list[Talk], usual: Tensor, config: dict[str, float]) -> Teacher:
    """Fresh networks whose fixed numbers (mel statistics, shape basis) come from the train data."""
    encoder = AudioToLip(**config)
    mel = torch.cat([talk.mel for talk in sounds])
    encoder.mel_mean.copy_(mel.mean(0))
    encoder.mel_scale.copy_(mel.std(0))
    predictor = LandmarkPredictor(units=encoder.width)
    predictor.usual.copy_(usual)
    predictor.basis.copy_(shape_basis(clips, len(predictor.basis)))
    return Teacher(encoder, predictor)


def shape_basis(clips: list[Talk], shapes: int) -> Tensor:
    """Principal motions away from the closed mouth, (shapes, 37, 2), every person counting alike."""
    people: dict[str, list[Tensor]] = {}
    for clip in clips:
        people.setdefault(clip.person, []).append(clip.motion)
    weight = (chin_weights() + 0.01).sqrt().repeat_interleave(2)
    rows = [torch.cat(of_person).flatten(1) * weight / sum(map(len, of_person)) ** 0.5 for of_person in people.values()]
    _, size, axes = torch.linalg.svd(torch.cat(rows), full_matrices=False)
    spread = size[:shapes, None] / len(people) ** 0.5
    return (axes[:shapes] * spread / weight).view(shapes, len(MOVING), 2)


def motion_loss(predicted: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Distances of the moving points, as they are and with each crop's own mean removed, and of velocities.

    The second forgives what a sound cannot tell: whose lips they are.
    """
    weights, seen = chin_weights(), batch.seen[..., None]
    count = seen.sum(1, keepdim=True).clamp(min=1)
    error = predicted - batch.motion  # (B, L, 37, 2)
    mean = (error * seen[..., None]).sum(1, keepdim=True) / count[..., None]
    total = (seen.sum() * weights.sum()).clamp(min=1)

    def distance(difference: Tensor, known: Tensor) -> Tensor:
        return ((difference.square().sum(-1) + 1e-6).sqrt() * weights * known).sum() / total

    both = seen[:, 1:] * seen[:, :-1]
    lips = error[..., LIP_SLICE, :]
    gap = lips[..., 18, 1] - lips[..., 14, 1]  # inner lower less inner upper lip
    gap = gap - (gap * batch.seen).sum(1, keepdim=True) / count[..., 0]
    return {
        "motion": distance(error - mean, seen),
        "shape": distance(error, seen),
        "speed": distance(error[:, 1:] - error[:, :-1], both),
        "gap": (gap.abs() * batch.seen).sum() / batch.seen.sum().clamp(min=1),
    }


def losses(teacher: Teacher, batch: Batch, share: float, random: torch.Generator) -> dict[str, Tensor]:
    """All terms of one batch."""
    mel = augment(batch.mel, random)
    silent = (batch.mel.amax((1, 2)) < -8)[:, None, None]  # steady noise stays what it was made to be
    units, hidden = teacher.units(torch.where(silent, batch.mel, mel), share, random)
    terms = motion_loss(teacher.predictor(units).float(), batch)
    phones = teacher.phones(units).flatten(0, 1).float()
    terms["phones"] = F.cross_entropy(phones, batch.phones.flatten(), ignore_index=UNKNOWN)
    if hidden.any():
        clean = teacher.encoder.normalise(batch.clean).unflatten(1, (-1, STEP)).flatten(2)
        terms["sound"] = F.l1_loss(teacher.sound(units)[hidden].float(), clean[hidden])
    return terms


@torch.no_grad()
def guess_motion(teacher: Teacher, batch: Batch) -> None:
    """Let the averaged networks say, from clean sound, what lips without footage do: other voices, at half weight.

    The networks that learn must say the same of the augmented sound (mean teacher, Tarvainen and Valpola 2017).
    """
    batch.motion = teacher.predictor(teacher.encoder(teacher.encoder.normalise(batch.mel)))
    batch.seen = torch.full_like(batch.seen, 0.5)


def weigh(terms: dict[str, Tensor], pretraining: bool = False) -> Tensor:
    """The sum that is minimised."""
    factors = {"motion": 20.0, "shape": 5.0, "speed": 10.0, "gap": 5.0, "phones": 0.3, "sound": 0.3}
    if pretraining:
        factors |= {"phones": 1.0, "sound": 1.0}
    return sum(factors[name] * term for name, term in terms.items())


def gather(arguments: Namespace) -> tuple[list[Talk], list[Talk], list[Talk], Tensor]:
    """Clips, synthetic speech, plain speech, and people's usual closed mouth."""
    held = frozenset(arguments.hold_out)
    clips = [talk for talk in talking_clips(arguments.data, "train") if talk.person not in held]
    synthetic = synthetic_speech(arguments.synthetic, arguments.seed) if arguments.synthetic else []
    return clips, synthetic, plain_speech(arguments.data, held), usual_mouth(arguments.data, held)


def run(arguments: Namespace) -> None:
    """Train, and write audio_to_lip.safetensors into the output folder."""
    prepare(arguments)
    clips, synthetic, plain, usual = gather(arguments)
    even_out(clips)
    config = {"width": 96, "dropout": 0.2}
    teacher = prepare_networks(clips, clips + plain, usual, config)
    average = Average(teacher, 0.998)
    optimiser = torch.optim.AdamW(teacher.parameters(), arguments.rate, betas=(0.9, 0.98), weight_decay=0.05)
    parts = {"teacher": teacher, "average": average.network, "optimiser": optimiser}
    loop = Loop(arguments.output, parts, resume=arguments.resume, log_every=100)

    def take(step: int) -> dict[str, float]:
        noise, random = same_chance(arguments.seed, step), np.random.default_rng((arguments.seed, step))
        pretraining = step < PRETRAINING * arguments.steps
        sources = ((clips, FACES), (synthetic, PHONES), (plain, PLAIN))
        crops = [Sampler(talks, LENGTH, random)(count) for talks, count in sources if talks]
        if not pretraining:
            for crop in crops[1:]:
                guess_motion(average.network, crop)
        batch = join([*crops, silence_batch(SILENT, LENGTH, noise)])
        with torch.autocast("cpu", torch.bfloat16):
            terms = losses(teacher.train(), batch, 0.35 if pretraining else 0.1, noise)
        optimiser.param_groups[0]["lr"] = arguments.rate * cosine(step, arguments.steps)
        if loop.descend(optimiser, weigh(terms, pretraining), list(teacher.parameters()), 1.0).isfinite():
            average.update(teacher, step)
        return {name: term.item() for name, term in terms.items()}

    loop.run(arguments.steps, take)
    folders = [arguments.output, *([WEIGHTS_FOLDER] if arguments.install else [])]
    for folder in folders:
        save_network(average.network.encoder, folder / "audio_to_lip.safetensors", config, half=True)
    if arguments.install:
        pin_card("audio_to_lip", card(arguments, clips, plain))


def card(arguments: Namespace, clips: list[Talk], plain: list[Talk]) -> dict[str, object]:
    """The facts about these weights."""
    people = len({clip.person for clip in clips})
    return {
        "title": "Audio-to-lip encoder",
        "architecture": "AudioToLip",
        "description": "Log mel to contextual lip motion units, 25 a second, 1.24 s of context "
        "(CALS, our reconstruction without access to the authors' code)",
        "trained_on": f"{sum(map(len, clips)) / 25:.0f} s of {len(clips)} talking clips of {people} people, "
        f"{sum(map(len, plain)) / 25:.0f} s of speech without faces, {arguments.synthetic:.0f} s of espeak-ng speech "
        "with its phones; masked pretraining",
        "steps": arguments.steps,
        "licence": "research and demonstration; see README",
        "figures": "measured together with landmark_predictor; see there",
    }
