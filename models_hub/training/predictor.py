"""Training of the landmark predictor: `python -m articulate train predictor --data DIR --output DIR`.

It learns on the units of a finished audio encoder (the embedded one unless `--encoder` names another),
which stays frozen; sound is augmented as it was for the encoder. The encoder's training taught a predictor
beside it; `--start` takes that one from its checkpoint and refines it, `--steps 0` only writes it down.
`--lags` takes the clips, and how late their mouths are, as the encoder's training with a teacher found them.
"""

import copy
import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch

from ..errors import InputError
from ..evaluation.speech import talk_figures
from ..loading import EMBEDDED, load_network
from ..networks.landmark_predictor import LandmarkPredictor
from .devices import on_cpu, place
from .fit import Average, add_common_arguments, cosine, launch, load_checkpoint, settings_of, write_weights
from .loop import Kept, Loop
from .motion import motion_loss, shape_basis, weigh
from .other_sounds import other_sounds_batch
from .speech_augmentation import augment, hide_bands
from .speech_data import (
    LENGTH,
    Sampler,
    even_out,
    join,
    shifted,
    silence_batch,
    talking_clips,
    usual_mouth,
)

FACES, SILENT, OTHER = 22, 1, 3  # crops of each kind in a batch
JUDGED = 50  # steps between looks at the val split


def add_arguments(parser: ArgumentParser) -> None:
    """Options of this training."""
    add_common_arguments(parser, steps=300, output="out/training/predictor")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--start", type=Path, help="the encoder's checkpoint.pt, to begin with its predictor")
    parser.add_argument("--encoder", default=EMBEDDED, help="audio_to_lip.safetensors to learn on")
    parser.add_argument("--lags", type=Path, help="lags.json of the encoder's training with a teacher")
    parser.add_argument("--hold-out", nargs="*", default=[], help="train people to leave out, for choosing settings")


def run(arguments: Namespace) -> None:
    """Train, and write landmark_predictor.safetensors into the output folder."""
    fabric = launch(arguments)
    held = frozenset(arguments.hold_out)
    lags = json.loads(arguments.lags.read_text(encoding="utf-8")) if arguments.lags else {}
    clips = talking_clips(arguments.data, "train", ("ok", "weak") if lags else ("ok",))
    clips = [shifted(talk, lags.get(talk.name, 0)) for talk in clips if talk.person not in held]
    if lags:
        clips = [talk for talk in clips if talk.name in lags]
    even_out(clips)
    heard_by = load_network("audio_to_lip", arguments.encoder)
    encoder = place(copy.deepcopy(heard_by), fabric.device)  # loaded networks are shared
    config = {"units": encoder.width}
    predictor = LandmarkPredictor(**config)
    predictor.usual.copy_(usual_mouth(arguments.data, held))
    predictor.basis.copy_(shape_basis(clips, len(predictor.basis)))
    if arguments.start:
        begin_with(predictor, arguments.start)
    held_out, kept = talking_clips(arguments.data, "val"), Kept()
    place(predictor, fabric.device)
    average = Average(predictor, 0.995)
    optimiser = torch.optim.AdamW(predictor.parameters(), arguments.rate, weight_decay=0.05)
    parts = {"predictor": predictor, "average": average.network, "optimiser": optimiser, "kept": kept}
    settings = settings_of(arguments, "rate", "hold_out")
    loop = Loop.of(arguments, fabric, parts, FACES + SILENT + OTHER, settings, save_every=JUDGED, log_every=JUDGED)

    def take(step: int) -> dict[str, float]:
        noise, random = loop.chance(arguments.seed, step)
        heard = Sampler(clips, LENGTH, random)(FACES)
        heard.mel = augment(heard.mel, noise)
        others = [make(count, LENGTH, noise) for make, count in ((silence_batch, SILENT), (other_sounds_batch, OTHER))]
        batch = join([heard, *others]).to(fabric.device)
        with torch.no_grad():
            units = encoder(hide_bands(encoder.normalise(batch.mel), noise))
        terms = motion_loss(predictor.train()(units), batch)
        optimiser.param_groups[0]["lr"] = arguments.rate * cosine(step, arguments.steps, warmup=50)
        if loop.descend(optimiser, weigh(terms), list(predictor.parameters()), 1.0).isfinite():
            average.update(predictor, step)
        return {name: term.item() for name, term in terms.items()}

    def judge(step: int) -> None:
        if loop.writes and (step % JUDGED == 0 or step == arguments.steps):
            seen = talk_figures(heard_by, on_cpu(average.network), held_out)
            loop.tell(**{name: seen[name] for name in ("mouth_opening_correlation", "lip_error_reduction")})
            loop.offer(seen["lip_error_reduction"], average.network, kept)

    loop.run(arguments.steps, take, judge)
    if not loop.writes:
        return
    best = kept.put_into(average.network)
    figures = talk_figures(heard_by, best, held_out)
    print({name: round(value, 4) for name, value in figures.items()})
    facts = card(arguments, figures, len({clip.person for clip in clips}))
    write_weights(arguments, "landmark_predictor", best, config, facts)


def begin_with(predictor: LandmarkPredictor, start: Path) -> None:
    """Take up the predictor that was trained beside an encoder.

    Raises:
        InputError: there is no checkpoint, or it is of another training or of an encoder of another width.
    """
    content, prefix = load_checkpoint(start, "--start"), "predictor."
    try:
        joint = content.get("kept") or content["average"]
        predictor.load_state_dict({key.removeprefix(prefix): joint[key] for key in joint if key.startswith(prefix)})
    except (KeyError, RuntimeError) as error:
        raise InputError(
            f"{start} holds no predictor for these lip motion units; give --start the checkpoint.pt of train "
            "audio_to_lip, and --encoder the weights of the same run."
        ) from error


def card(arguments: Namespace, figures: dict[str, float], people: int) -> dict[str, object]:
    """The facts about these weights."""
    return {
        "title": "Landmark predictor",
        "architecture": "LandmarkPredictor",
        "description": "Lip motion units to jaw and lip motion away from the closed mouth (our reconstruction)",
        "trained_on": f"talking clips of {people} people whose lips and sound are in sync; points of MediaPipe Face "
        "Mesh as the teacher",
        "steps": arguments.steps,
        "licence": "research and demonstration; see README",
        "figures": f"unseen people: correlation of mouth opening {figures['mouth_opening_correlation']:.3f} "
        f"({figures['mouth_opening_correlation_best_lag']:.3f} at the best lag within 4 frames), lip landmark error "
        f"{100 * figures['lip_error_reduction']:.1f} % below the best constant mouth",
    }
