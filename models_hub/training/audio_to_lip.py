"""Training of the audio encoder: `python -m articulate train audio_to_lip --data DIR --output DIR`.

Masked pretraining on all speech, then the same with few masks and the weight on lips (CALS, our
reconstruction). Three kinds of speech teach one encoder at once: clips teach the lips, synthetic speech
teaches its phones, and any speech teaches to fill in what was masked; later the averaged networks' own
answers teach lips on voices without a face. The heads are thrown away.

With `--teacher`, the encoder of a speech recogniser says of every recording what it hears, and lips that were
learned from that take the place of real ones and of own answers (see `speech_teacher`); real ones only teach the
predictor, later. The clips' lags are refined by it too, and written down for that.

`--start` goes on from weights instead of from nothing: heads learn first, and nothing is pretrained.
"""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..evaluation.speech import talk_figures
from ..loading import load_network
from ..networks.audio_to_lip import MARGIN, STEP, AudioToLip
from ..networks.landmark_predictor import LandmarkPredictor
from .devices import half, on_cpu, place
from .fit import Average, add_common_arguments, cosine, launch, settings_of, write_weights
from .loop import Kept, Loop
from .motion import motion_loss, shape_basis, weigh
from .other_sounds import other_sounds_batch
from .phones import CLASSES, UNKNOWN
from .speech_augmentation import augment, hide_bands, hide_spans
from .speech_data import (
    LENGTH,
    Batch,
    Sampler,
    Talk,
    even_out,
    join,
    listened,
    plain_speech,
    recording_mel,
    silence_batch,
    synthetic_speech,
    talking_clips,
    usual_mouth,
)
from .speech_teacher import SpeechTeacher, guess_lips, guess_unheard, learn_listeners, refine_lags, standardise
from .voices import other_voices

PRETRAINING = 0.4  # share of the steps with heavy masks
FACES, PHONES, PLAIN, SILENT, OTHER = 14, 4, 3, 1, 2  # crops of each kind in a batch
TAUGHT_COUNTS, TAUGHT_PRETRAINING = (4, 7, 13), 0.15  # the same with a teacher
HEADS_FIRST = 300  # steps in which a started encoder waits for its heads
GUESSED = 0.5  # trust in what lips are said to do where none were seen
VOICE = "voice-"  # what names of recordings by other synthesisers begin with


def add_arguments(parser: ArgumentParser) -> None:
    """Options of this training."""
    add_common_arguments(parser, steps=1500, output="out/training/audio_to_lip")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="highest learning rate")
    parser.add_argument("--synthetic", type=float, default=3000.0, help="seconds of espeak-ng speech; 0 for none")
    parser.add_argument(
        "--voices", type=float, default=0.0, help="seconds of speech by flite and festival, where installed"
    )
    parser.add_argument(
        "--teacher", type=Path, help="encoder_model.onnx or .ort of Moonshine tiny, whose hearing is learned"
    )
    parser.add_argument("--start", default="", help="audio_to_lip.safetensors to begin with, or 'embedded'")
    parser.add_argument("--width", type=int, default=96, help="channels of the encoder")
    parser.add_argument("--dropout", type=float, default=0.2, help="share of activations dropped while it learns")
    parser.add_argument("--hold-out", nargs="*", default=[], help="train people to leave out, for choosing settings")


class Learner(nn.Module):
    """The encoder with the heads through which it learns: lips, phones, masked sound, what a recogniser hears."""

    def __init__(self, encoder: AudioToLip, predictor: LandmarkPredictor, features: int = 0) -> None:
        super().__init__()
        self.encoder, self.predictor = encoder, predictor
        self.phones = nn.Linear(encoder.width, len(CLASSES))
        self.sound = nn.Linear(encoder.width, STEP * encoder.mels)
        self.heard = nn.Linear(encoder.width, features) if features else None

    def units(self, mel: Tensor, share: float, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Units of augmented log mel with spans of it masked, and which frames (B, L) were."""
        mel = hide_bands(self.encoder.normalise(mel), random)
        count, frames = len(mel), mel.shape[1] // STEP
        hidden = hide_spans(count, frames, share, 5, random).to(mel.device)
        masked = hidden.repeat_interleave(STEP, 1)[..., None]
        mel = torch.where(masked, self.encoder.mask.to(mel.dtype), mel)
        edge = MARGIN // STEP
        return self.encoder(mel), hidden[:, edge : frames - edge]


def prepare_networks(
    clips: list[Talk], sounds: list[Talk], usual: Tensor, config: dict[str, float], start: str = ""
) -> Learner:
    """Fresh networks whose fixed numbers (mel statistics, shape basis) come from the train data; or a given encoder.

    Raises:
        InputError: the weights to start with are of another width.
    """
    encoder = AudioToLip(**config)
    if start:
        given = load_network("audio_to_lip", start)
        if given.width != encoder.width:
            raise InputError(f"{start} has {given.width} channels; give --width {given.width} to start with it.")
        encoder.load_state_dict(given.state_dict())
    else:
        mel = torch.cat([talk.mel for talk in sounds])
        encoder.mel_mean.copy_(mel.mean(0))
        encoder.mel_scale.copy_(mel.std(0))
    predictor = LandmarkPredictor(units=encoder.width)
    predictor.usual.copy_(usual)
    predictor.basis.copy_(shape_basis(clips, len(predictor.basis)))
    return Learner(encoder, predictor, 0 if clips[0].heard is None else clips[0].heard.shape[-1])


def disturbed(mel: Tensor, random: torch.Generator) -> Tensor:
    """Augmented log mel; steady noise stays what it was made to be."""
    silent = (mel.amax((1, 2)) < -8)[:, None, None]
    return torch.where(silent, mel, augment(mel, random))


def losses(learner: Learner, batch: Batch, share: float, random: torch.Generator) -> dict[str, Tensor]:
    """All terms of one batch, on the learner's device."""
    units, hidden = learner.units(batch.mel, share, random)
    terms = motion_loss(learner.predictor(units).float(), batch)
    phones = learner.phones(units).flatten(0, 1).float()
    terms["phones"] = F.cross_entropy(phones, batch.phones.flatten(), ignore_index=UNKNOWN)
    if hidden.any():
        clean = learner.encoder.normalise(batch.clean).unflatten(1, (-1, STEP)).flatten(2)
        terms["sound"] = F.l1_loss(learner.sound(units)[hidden].float(), clean[hidden])
    if learner.heard is not None:
        known = batch.heard.any(-1)
        terms["heard"] = F.l1_loss(learner.heard(units)[known].float(), batch.heard[known])
    return terms


@torch.no_grad()
def guess_motion(learner: Learner, batch: Batch, device: torch.device) -> None:
    """Let the averaged networks say, from clean sound, what lips without footage do: other voices, at half weight.

    The networks that learn must say the same of the augmented sound (mean teacher, Tarvainen and Valpola 2017).
    """
    units = learner.encoder(learner.encoder.normalise(batch.mel.to(device)))
    batch.motion = learner.predictor(units).cpu()
    batch.seen = torch.full_like(batch.seen, 0.5)


def gather(arguments: Namespace) -> tuple[list[Talk], list[Talk], list[Talk], Tensor]:
    """Clips, synthetic speech, plain speech, and people's usual closed mouth."""
    held = frozenset(arguments.hold_out)
    hear = SpeechTeacher(arguments.teacher) if arguments.teacher else None
    sync = ("ok", "weak") if hear else ("ok",)
    clips = [talk for talk in talking_clips(arguments.data, "train", sync, hear) if talk.person not in held]
    even_out(clips)
    synthetic = synthetic_speech(arguments.synthetic, arguments.seed, hear) if arguments.synthetic else []
    plain = plain_speech(arguments.data, held, hear)
    if arguments.voices:
        for index, sound in enumerate(other_voices(arguments.voices, arguments.seed)):
            mel = recording_mel(*sound)
            heard = listened(*sound, len(mel) // STEP, hear)
            plain.append(Talk(f"{VOICE}{index}", f"{VOICE}{index}", mel, heard=heard))
    return clips, synthetic, plain, usual_mouth(arguments.data, held)


def take_lessons(
    clips: list[Talk], synthetic: list[Talk], plain: list[Talk], arguments: Namespace
) -> tuple[list[Talk], list[Talk], list[Talk], list[Talk]]:
    """Learn lips from the teacher's features and answer for every recording.

    Returns:
        Clips with real lips at refined lags; the same with guessed ones; synthetic and plain speech with guessed ones.
    """
    standardise([*clips, *plain], [*clips, *plain, *synthetic])
    clips, lags = refine_lags(clips, arguments.seed)
    (arguments.output / "lags.json").write_text(json.dumps(lags, indent=1), encoding="utf-8")
    guessed = guess_unheard(clips, arguments.seed)
    listeners = learn_listeners(clips, arguments.seed)
    return clips, guessed, guess_lips(listeners, synthetic, GUESSED), guess_lips(listeners, plain, GUESSED)


def run(arguments: Namespace) -> None:
    """Train, and write audio_to_lip.safetensors into the output folder."""
    fabric = launch(arguments)
    clips, synthetic, plain, usual = gather(arguments)
    config = {"width": arguments.width, "dropout": arguments.dropout}
    learner = prepare_networks(clips, clips + plain, usual, config, arguments.start)
    counts, pretraining_steps, guessed = (FACES, PHONES, PLAIN), PRETRAINING * arguments.steps, clips
    if arguments.teacher:
        counts, pretraining_steps = TAUGHT_COUNTS, TAUGHT_PRETRAINING * arguments.steps
        clips, guessed, synthetic, plain = take_lessons(clips, synthetic, plain, arguments)
    if arguments.start:
        pretraining_steps = 0
    held_out, kept = talking_clips(arguments.data, "val"), Kept()
    place(learner, fabric.device)
    average = Average(learner, 0.998)
    optimiser = torch.optim.AdamW(learner.parameters(), arguments.rate, betas=(0.9, 0.98), weight_decay=0.05)
    parts = {"learner": learner, "average": average.network, "optimiser": optimiser, "kept": kept}
    settings = settings_of(arguments, "rate", "synthetic", "voices", "start", "width", "dropout", "hold_out")
    settings["teacher"] = bool(arguments.teacher)
    loop = Loop.of(arguments, fabric, parts, sum(counts) + SILENT + OTHER, settings, log_every=100)

    def take(step: int) -> dict[str, float]:
        noise, random = loop.chance(arguments.seed, step)
        pretraining = step < pretraining_steps
        sources = zip((guessed, synthetic, plain), counts, strict=True)
        crops = [Sampler(talks, LENGTH, random)(count) for talks, count in sources if talks]
        if not pretraining and not arguments.teacher:
            for crop in crops[1:]:
                guess_motion(average.network, crop, fabric.device)
        for make, count in ((silence_batch, SILENT), (other_sounds_batch, OTHER)):
            crops.append(make(count, LENGTH, noise, crops[0].heard.shape[-1]))
        batch = join(crops)
        batch.mel = disturbed(batch.mel, noise)
        learner.encoder.requires_grad_(not arguments.start or step >= HEADS_FIRST)
        with half(fabric.device):
            terms = losses(learner.train(), batch.to(fabric.device), 0.35 if pretraining else 0.1, noise)
        optimiser.param_groups[0]["lr"] = arguments.rate * cosine(step, arguments.steps)
        if loop.descend(optimiser, weigh(terms, pretraining), list(learner.parameters()), 1.0).isfinite():
            average.update(learner, step)
        return {name: term.item() for name, term in terms.items()}

    def judge(step: int) -> None:
        if loop.writes and (step % loop.save_every == 0 or step == arguments.steps):
            now = on_cpu(average.network)
            seen = talk_figures(now.encoder, now.predictor, held_out)
            loop.tell(**{name: seen[name] for name in ("mouth_opening_correlation", "lip_error_reduction")})
            loop.offer(seen["lip_error_reduction"], average.network, kept)

    loop.run(arguments.steps, take, judge)
    if loop.writes:
        encoder = kept.put_into(average.network).encoder
        write_weights(arguments, "audio_to_lip", encoder, config, card(arguments, clips, plain))


def card(arguments: Namespace, clips: list[Talk], plain: list[Talk]) -> dict[str, object]:
    """The facts about these weights."""
    people = len({clip.person for clip in clips})
    taught = "; taught by the encoder of the recogniser Moonshine tiny (MIT licence), which is not in it"
    spoken = sum(len(talk) for talk in plain if talk.name.startswith(VOICE)) / 25
    voices = f"{spoken:.0f} s by the voices of flite and festival, "
    return {
        "title": "Audio-to-lip encoder",
        "architecture": "AudioToLip",
        "description": "Log mel to contextual lip motion units, 25 a second, 1.24 s of context "
        "(CALS, our reconstruction without access to the authors' code)",
        "trained_on": f"{sum(map(len, clips)) / 25:.0f} s of {len(clips)} talking clips of {people} people, "
        f"{sum(map(len, plain)) / 25 - spoken:.0f} s of speech without faces, "
        f"{voices if spoken else ''}{arguments.synthetic:.0f} s of espeak-ng speech with its phones; "
        f"masked pretraining{taught if arguments.teacher else ''}",
        "steps": arguments.steps,
        "licence": "research and demonstration; see README",
        "figures": "measured together with landmark_predictor; see there",
    }
