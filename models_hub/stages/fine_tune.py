"""Fine-tuning: footage of a person -> weights that make that person's mouth look like theirs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..loading import EMBEDDED, load_network, save_network
from ..networks.generator import FrameGenerator
from ..networks.low_rank import REFERENCES, SHUT, personal
from ..networks.warper import MemoryWarper
from ..training.batches import pictures, reference_frame, split_material
from ..training.looking import drive_frame, unadapted
from ..training.material import FootageClip, Material, Take, gather
from ..training.objective import LossWeights
from ..training.person_lips import tune_predictor
from ..training.settings import TuneSettings
from ..training.tuning import Fit, TuneState, Watch
from ..types import Face, Progress
from .personal import face_codes, for_face

STAGES = {"generator": "generator", "warper": "warper", "memory": "warper", "predictor": "landmark_predictor"}
"""In which stage's file each part ends."""

PREVIEWS = 4
"""Frames of the before and after preview."""


@dataclass(frozen=True)
class FineTuned:
    """What came out.

    Attributes:
        files: weights file of each tuned stage.
        report: sentences on the footage, the fit and its result.
        state: counters of the fit.
        plot: picture of all terms; None where only the predictor was tuned.
        preview: (n, 256, 768, 3): real frame, network before, network after.
    """

    files: dict[str, Path]
    report: list[str]
    state: TuneState
    plot: Path | None
    preview: Tensor


@dataclass(frozen=True)
class Base:
    """The weights that a tuning starts from, as the nodes choose them."""

    warper: str = EMBEDDED
    generator: str = EMBEDDED
    predictor: str = EMBEDDED
    encoder: str = EMBEDDED
    vgg: str = ""


def tuned_stages(parts: tuple[str, ...]) -> tuple[str, ...]:
    """The stages whose weights change, in a fixed order."""
    return tuple(
        dict.fromkeys(STAGES[part] for part in ("generator", "warper", "memory", "predictor") if part in parts)
    )


def fine_tune(
    clips: list[FootageClip] | Material,
    outputs: dict[str, Path],
    folder: Path,
    settings: TuneSettings | None = None,
    weights: LossWeights | None = None,
    portrait: Face | None = None,
    base: Base | None = None,
    critics: dict[str, nn.Module] | None = None,
    embedding: Tensor | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    watch: Watch | None = None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> FineTuned:
    """Tune the networks to the person in some footage.

    Args:
        clips: of one person, see `training.material.open_footage`; or what was gathered of them.
        outputs: the file to write for each of `tuned_stages`; written whole, at the end.
        folder: for the checkpoint, the log and the plot.
        settings, weights: how, and by what; the defaults are reconstruction alone.
        portrait: the face that will be animated; its weights are used for it and for faces like those of the footage.
        base: what to start from.
        critics: by the names of their losses; embedded or new ones are used for those that are not given.
        embedding: (1, E) of CLIP for the person's picture; puts attention condensers into the generator.
        resume: go on from the checkpoint in `folder`.
        progress: told while the footage is read.
        watch: told after every step; may raise to cancel, the checkpoint is kept.
        tell: given every sentence of the report as soon as it is known.

    Raises:
        InputError, FaceNotFoundError: the footage cannot be used; said before any training.
        WeightsError: from loading.
    """
    settings, weights, base = settings or TuneSettings(), weights or LossWeights(), base or Base()
    missing = [stage for stage in tuned_stages(settings.parts) if stage not in outputs]
    if missing:
        raise InputError(f"No file was named for the tuned weights of {', '.join(missing)}; name one for each.")
    need_sound = "predictor" in settings.parts or weights.needs_sound
    material = clips if isinstance(clips, Material) else gather(clips, need_sound, progress)
    learned, held = split_material(material, settings.hold_back)
    report: list[str] = []

    def say(sentence: str) -> None:
        report.append(sentence)
        tell(sentence)

    for sentence in material.report:
        say(sentence)
    say(f"{_seconds(learned):.1f} s are learned from, the last {_seconds(held):.1f} s are held back and watched.")
    references = likeness_references(learned, portrait, say)
    files: dict[str, Path] = {}
    state, plot, preview = TuneState(), None, torch.zeros(0, 256, 768, 3)
    if {"generator", "warper", "memory"} & set(settings.parts):
        networks = base_networks(base, learned, embedding)
        fit = Fit(networks, learned, held, settings, weights, folder, critics, base.vgg, embedding, resume)
        try:
            state = fit.run(watch)
        finally:
            fit.loop.close()
        if fit.fabric.is_global_zero:
            plot = fit.loop.plot()
            tuned = fit.tuned()
            preview = before_and_after(tuned, learned, held)
            for stage in ("generator", "warper"):
                if stage in tuned_stages(settings.parts):
                    write(networks[stage], tuned[stage], outputs[stage], references, settings, state)
                    files[stage] = Path(outputs[stage])
        for note in [*state.notes, *result_sentences(state)]:
            say(note)
    if "predictor" in settings.parts:
        lips = tune_predictor(
            load_network("landmark_predictor", base.predictor),
            load_network("audio_to_lip", base.encoder),
            learned,
            held,
            settings.seed,
        )
        units = lips.network.layers[1].in_features
        save_network(lips.network, outputs["landmark_predictor"], {"units": units}, half=True, **_header(state))
        files["landmark_predictor"] = Path(outputs["landmark_predictor"])
        say(f"Lips from sound: error on the held-back seconds {lips.before:.4f} before, {lips.after:.4f} after.")
    return FineTuned(files, report, state, plot, preview)


def _seconds(takes: list[Take]) -> float:
    return sum(map(len, takes)) / 25


def base_networks(base: Base, learned: list[Take], embedding: Tensor | None) -> dict[str, nn.Module]:
    """Warper and generator to start from; personal ones as they are for this person.

    Raises:
        InputError: a file is of another network.
    """
    take, index = reference_frame(learned)
    crop = pictures(take, [index])
    face = Face(crop, take.points[index], torch.eye(2, 3), crop[0].movedim(0, -1), (0.0, 0.0, 0.0, 0.0))
    networks = {}
    for stage, kind in (("warper", MemoryWarper), ("generator", FrameGenerator)):
        choice = getattr(base, stage)
        network = load_network(stage, choice)
        if not isinstance(network, kind):
            raise InputError(
                f"{choice} holds a {type(network).__name__}, which cannot be tuned; choose {stage} weights of the "
                f"{kind.__name__} kind."
            )
        networks[stage] = for_face(network, face)
    if embedding is not None:
        networks["generator"] = with_condensers(networks["generator"], embedding.shape[-1])
    return networks


def with_condensers(generator: FrameGenerator, length: int) -> FrameGenerator:
    """The same generator with attention condensers for CLIP embeddings of a length; it paints what it painted."""
    made = FrameGenerator(generator.channels, generator.paint.in_channels, condenser=length)
    state = made.state_dict() | {
        name: value for name, value in generator.state_dict().items() if name in made.state_dict()
        and made.state_dict()[name].shape == value.shape
    }  # fmt: skip
    made.load_state_dict(state)
    return made.eval().requires_grad_(False)


def likeness_references(learned: list[Take], portrait: Face | None, say: Callable[[str], None]) -> Tensor:
    """Codes (n, 32) of the face that the weights are for: the portrait's, and those of frames that differ most."""
    spread = [(take, index) for take in learned for index in range(0, len(take), 5)]
    frames = torch.cat([pictures(take, [index]) for take, index in spread])
    codes = face_codes(frames, torch.stack([take.points[index] for take, index in spread]))
    take, index = reference_frame(learned)
    chosen = list(face_codes(pictures(take, [index]), take.points[index : index + 1]))
    if portrait is not None:
        chosen.append(face_codes(portrait.crop, portrait.points[None])[0])
        alike = float((codes @ chosen[-1]).max())
        if alike < SHUT:
            say(
                f"The portrait does not look like the person in the footage (likeness {alike:.2f}; {SHUT} and more is "
                "usual for one person); the weights are used for both faces."
            )
    while len(chosen) < min(REFERENCES, len(codes)):
        nearest = (codes @ torch.stack(chosen).T).amax(1)
        chosen.append(codes[int(nearest.argmin())])
    return torch.stack(chosen)


def before_and_after(tuned: nn.ModuleDict, learned: list[Take], held: list[Take]) -> Tensor:
    """Real frame, network before, network after: (n, 256, 768, 3), for the widest mouths that were held back."""
    take, index = reference_frame(learned)
    plain, rows = unadapted(tuned), []
    every = [(other, at) for other in held or learned for at in range(len(other))]
    places = torch.linspace(0, len(every) - 1, PREVIEWS).round().long().tolist()
    for other, at in (every[place] for place in places):
        made = [drive_frame(networks, take, index, other.points[at]) for networks in (plain, tuned)]
        rows.append(torch.cat([pictures(other, [at])[0], *made], dim=-1).movedim(0, -1))
    return torch.stack(rows)


def write(
    network: nn.Module, tuned: nn.Module, path: Path, references: Tensor, settings: TuneSettings, state: TuneState
) -> None:
    """Write a tuned network: personal where it was adapted, plain where all weights were trained."""
    sizes = network.sizes if isinstance(network, FrameGenerator) else {"channels": list(network.channels)}
    if not settings.rank:
        save_network(tuned, path, sizes, half=True, **_header(state))
        return
    made = personal(network, tuned, references, sizes, settings.rank)
    save_network(made, path, {**sizes, "rank": settings.rank}, half=True, **_header(state))


def _header(state: TuneState) -> dict[str, str]:
    return {"title": "tuned to a person", "steps": str(state.step), "licence": "as the footage allows"}


def result_sentences(state: TuneState) -> list[str]:
    """How a fit went."""
    sentences = []
    if state.ended:
        sentences.append(f"Ended at step {state.step}: {state.ended}.")
    if state.skipped:
        sentences.append(f"{state.skipped} of {state.step} steps were not finite and were skipped.")
    if state.before is not None:
        change = 1 - state.best / state.before
        sentences.append(
            f"Mouth error on the held-back seconds (L1): {state.before:.4f} before, {state.best:.4f} after "
            f"{state.best_step} steps, {100 * change:.1f} % less."
        )
    return sentences


__all__ = ["Base", "FineTuned", "FootageClip", "Material", "fine_tune", "tuned_stages"]
