"""What fine-tuning brings on people never trained on: learned from the first two thirds, measured on the last.

The tuning holds back a part of its own two thirds to choose where it ends, so the last third decides nothing.
Errors are mouth-region L1 in 0..1 at 256x256, driven from the frame with the most closed mouth among those that were
learned from, which stands for the portrait that the weights are for. Other people
are driven by the personal weights from their own frames; where their face code shuts the adapters, nothing can change.
"""

import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from ..loading import load_network
from ..media.sound import read_audio
from ..networks.low_rank import SHUT, Personal
from ..stages.fine_tune import Base, base_networks, fine_tune, tuned_stages
from ..stages.personal import face_codes
from ..training.batches import pictures, reference_frame, split_material
from ..training.footage import read_clip, read_manifest
from ..training.looking import mouth_error
from ..training.material import FootageClip, Material, Take, gather, open_footage
from ..training.objective import LossWeights
from ..training.parts import sound_file
from ..training.settings import TuneSettings
from ..types import Progress

LEAST_SECONDS = 9.0  # of footage of one person: six to learn from, three to measure on
LOOKS = 8  # source frames of every other person that are tried


def people(data: Path, split: str) -> dict[str, list[str]]:
    """Clips of the people of a split with enough footage, by name."""
    clips: dict[str, list[str]] = {}
    seconds: dict[str, float] = {}
    for row in read_manifest(data):
        if row["kind"] == "clip" and row["split"] == split:
            clips.setdefault(row["person"], []).append(row["id"])
            seconds[row["person"]] = seconds.get(row["person"], 0.0) + float(row["seconds"])
    return {person: names for person, names in clips.items() if seconds[person] >= LEAST_SECONDS}


def read_clips(data: Path, names: list[str]) -> list[FootageClip]:
    """Clips of the footage with their sound, which lies beside them."""
    clips = []
    for name in names:
        [clip] = open_footage([data / "clips" / f"{name}.mp4"])
        sound = sound_file(data / "clips", name)
        clips.append(FootageClip(clip.name, clip.fps, clip.frames, read_audio(sound) if sound.is_file() else None))
    return clips


def other_faces(data: Path, split: str, person: str) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Frames and shipped points of the other people of a split, `LOOKS` of each."""
    found = {}
    for row in read_manifest(data):
        if row["kind"] != "clip" or row["split"] != split or row["person"] in (person, *found):
            continue
        frames, points, _ = read_clip(data, row["id"])
        places = torch.linspace(0, len(frames) - 1, LOOKS).round().long()
        crops = torch.from_numpy(frames)[places].permute(0, 3, 1, 2).float() / 255
        found[row["person"]] = (crops, torch.from_numpy(points)[places])
    return found


def opened(files: dict[str, Path], takes: list[Take]) -> tuple[dict[str, nn.Module], float]:
    """Warper and generator, the tuned ones as they are for the face in some takes, and how alike that face is.

    Networks whose every weight was tuned are for all faces: then that is 1.
    """
    paths = {stage: str(path) for stage, path in files.items() if stage in ("warper", "generator")}
    take, index = reference_frame(takes)
    code = face_codes(pictures(take, [index]), take.points[index : index + 1])[0]
    tuned = [load_network(stage, path) for stage, path in paths.items()]
    alike = (network.likeness(code) if isinstance(network, Personal) else 1.0 for network in tuned)
    return base_networks(Base(**paths), takes, None), max(alike, default=1.0)


def change_for_others(
    files: dict[str, Path], base: dict[str, nn.Module], others: dict[str, tuple[torch.Tensor, torch.Tensor]]
) -> dict[str, float]:
    """By which share each other person's mouth error grows with the personal weights; 0 where adapters are shut."""
    changes = {}
    for name, (crops, points) in others.items():
        take = Take(name, (crops * 255).round().byte().permute(0, 2, 3, 1), points)
        used, likeness = opened(files, [take])
        changes[name] = 0.0
        if likeness > SHUT:
            changes[name] = mouth_error(used, [take], [take]) / mouth_error(base, [take], [take]) - 1
    return changes


def evaluate_fine_tune(
    data: Path,
    split: str,
    output: Path,
    settings: TuneSettings | None = None,
    weights: LossWeights | None = None,
    only: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Tune to every person with enough footage, and measure.

    Args:
        data: folder of manifest.csv and clips/.
        split: of the people.
        output: folder for weights, logs and plots, one folder for each person.
        settings, weights: of the tuning.
        only: names of people; all by default.
        progress: told after every person.

    Returns:
        For each person `fine_tune_PERSON`: share by which the held-back third's mouth error fell, and the errors,
        driven from a frame that was learned from and (`_new_frame`) from one of that third itself; CPU seconds, and
        the largest share by which another person's error grew.

    Raises:
        InputError: a name is unknown.
    """
    settings = settings or TuneSettings()
    known = people(data, split)
    if unknown := sorted(set(only) - set(known)):
        raise InputError(
            f"{unknown[0]!r} is nobody with {LEAST_SECONDS:g} seconds of {split} footage; there are {', '.join(known)}."
        )
    chosen = {name: clips for name, clips in known.items() if not only or name in only}
    figures: dict[str, Any] = {}
    for done, (person, names) in enumerate(chosen.items()):
        material = gather(read_clips(data, names))
        learned, measured = split_material(material, 1 / 3)
        folder = output / person
        files = {stage: folder / f"{stage}.safetensors" for stage in tuned_stages(settings.parts)}
        started = time.process_time()
        result = fine_tune(Material(learned), files, folder, settings, weights)
        seconds = time.process_time() - started
        base = base_networks(Base(), learned, None)
        errors: dict[str, float] = {}
        for name, sources in (
            ("", split_material(Material(learned), settings.hold_back)[0]),
            ("_new_frame", measured),
        ):
            used, likeness = opened(result.files, sources)
            before, after = (mouth_error(networks, sources, measured) for networks in (base, used))
            errors |= {
                f"mouth_l1_reduction{name}": round(1 - after / before, 4),
                f"mouth_l1_before{name}": round(before, 5),
                f"mouth_l1_after{name}": round(after, 5),
                f"likeness{name}": round(likeness, 3),
            }
        changes = change_for_others(result.files, base, other_faces(data, split, person))
        worst = max(changes, key=changes.get)
        figures[f"fine_tune_{person}"] = errors | {
            "learned_seconds": round(sum(map(len, learned)) / 25, 1),
            "cpu_seconds": round(seconds, 1),
            "steps": result.state.step,
            "best_step": result.state.best_step,
            "held_back_reduction": round(1 - result.state.best / result.state.before, 4)
            if result.state.before
            else None,
            "worst_other": f"{worst} {changes[worst]:+.4f}",
        }
        if progress is not None:
            progress(done + 1, len(chosen))
    return figures
