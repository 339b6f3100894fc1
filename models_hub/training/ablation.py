"""What each loss and part buys: the same footage, seed and steps with one thing added at a time; a table and a plot."""

import copy
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..loading import load_network
from ..networks.ibug68 import LIPS
from .ablation_table import Row, Table
from .batches import reference_frame, split_material
from .looking import drive_frame, mouth_error, watched_frames
from .material import Material, Take
from .objective import LossWeights
from .settings import TuneSettings
from .tuning import Fit

PLAIN = "reconstruction alone"


@dataclass(frozen=True)
class Variant:
    """One row: losses and settings that differ from the plain fit.

    Attributes:
        weights: of losses.
        parts: of the networks; None leaves them.
        sound: whether it makes no sense without sound.
        without: "memory" or "identity": what of the facial memory the networks lose before the fit.
    """

    weights: dict[str, float]
    parts: tuple[str, ...] | None = None
    sound: bool = False
    without: str = ""


PRESETS: dict[str, dict[str, Variant]] = {
    "fine-tune": {
        PLAIN: Variant({}),
        "+ memory trained": Variant({}, ("generator", "warper", "memory")),
        "- memory (MCNet)": Variant({}, without="memory"),
        "- implicit identity query (MCNet)": Variant({}, without="identity"),
        "generator alone": Variant({"warped": 0.0}, ("generator",)),
        "+ dynamic pixel loss (ATVGnet)": Variant({"dynamic_pixel": 10.0}),
        "+ density supervision (CPNet)": Variant({"density": 1.0}),
        "+ feature consistency (MCNet)": Variant({"feature_consistency": 1.0}, ("generator", "warper", "memory")),
        "+ frame critic (MCNet)": Variant({"frame": 1.0}),
        "+ difference critic (clothes transfer)": Variant({"difference": 0.5}),
        "+ regression critic (ATVGnet)": Variant({"regression": 1.0}),
        "+ visual sync loss (CALS)": Variant({"sync_visual": 0.3}),
        "+ both sync losses (CALS)": Variant({"sync_visual": 0.3, "sync_audio": 0.3}, sound=True),
    }
}
"""Variants of the fit by preset."""
SOUND_PRESETS = ("audio-to-lip", "sync-critic")
"""Presets about sound, which are in ablation_sound.py."""

TABLE = Table(
    "",
    {"mouth L1": "{:.5f}", "less than untuned": "{:+.1%}", "lip distance": "{:.4f}", "CPU s a step": "{:.2f}"},
    "mouth L1",
    "on held-back footage; shorter is better",
)


@torch.no_grad()
def without(networks: dict[str, nn.Module], what: str) -> dict[str, nn.Module]:
    """Copies of warper and generator without a part of the facial memory.

    Args:
        networks: "warper" and "generator".
        what: "memory": what is found in it is nothing; "identity": it is the same for every source.
    """
    if not what:
        return networks
    changed = networks | {"warper": copy.deepcopy(networks["warper"])}
    memory = changed["warper"].memory
    width = memory.bank.shape[1]
    layer = memory.key_value[-1] if what == "memory" else memory.style[-1]
    rows = slice(width, 2 * width) if what == "memory" else slice(None)  # keys may stay
    layer.weight[rows] = 0
    layer.bias[rows] = 0
    return changed


@torch.no_grad()
def lip_distance(networks: nn.ModuleDict | dict, learned: list[Take], held: list[Take]) -> float:
    """Mean distance of the lips seen in made frames from the driving ones, in eye distances."""
    estimator = load_network("landmark_estimator")
    take, index = reference_frame(learned)
    found: list[Tensor] = []
    for other, target in watched_frames(held):
        wanted = other.points[target]
        seen = estimator.points(estimator(drive_frame(networks, take, index, wanted)[None]))[0]
        eyes = (wanted[36:42].mean(0) - wanted[42:48].mean(0)).norm()
        found.append((seen - wanted)[list(LIPS)].norm(dim=-1).mean() / eyes)
    return float(torch.stack(found).mean())


def ablate(
    material: Material, preset: str, settings: TuneSettings, folder: Path, only: tuple[str, ...] = ()
) -> tuple[list[Row], Table]:
    """Run the variants of a preset.

    Args:
        material: footage; its last third is held back and decides nothing.
        preset: of `PRESETS`.
        settings: steps and seed, the same for all; parts as the variant wants.
        folder: one folder for each variant, table.json, table.md and table.png.
        only: names of variants, beside the plain one.

    Returns:
        A row for the untuned networks and one for each variant that the footage allows, and how they are shown.

    Raises:
        InputError: the preset is not known.
    """
    if preset not in PRESETS:
        raise InputError(f"There is no preset {preset!r}; there are {', '.join((*PRESETS, *SOUND_PRESETS))}.")
    learned, held = split_material(material, 1 / 3)
    base = {stage: load_network(stage) for stage in ("warper", "generator")}
    first = mouth_error(base, learned, held)

    def row(name: str, networks: nn.ModuleDict | dict[str, nn.Module], seconds: float) -> Row:
        error = mouth_error(networks, learned, held)
        figures = (error, 1 - error / first, lip_distance(networks, learned, held), seconds)
        return Row(name, dict(zip(TABLE.formats, figures, strict=True)))

    rows = [row("not tuned", base, 0.0)]
    note = f"{settings.steps} steps, rank {settings.rank}, seed {settings.seed}; errors on the held-back last third."
    shown = replace(TABLE, note=note)
    for place, (name, variant) in enumerate(PRESETS[preset].items()):
        if (variant.sound and not material.has_sound) or (only and name not in (PLAIN, *only)):
            continue
        used = replace(settings, parts=variant.parts or settings.parts, patience=0, hold_back=0.0)
        weights = LossWeights(**{**asdict(LossWeights()), **variant.weights})
        started = time.process_time()
        fit = Fit(without(base, variant.without), learned, [], used, weights, folder / f"{place:02d}")
        fit.run()
        seconds = (time.process_time() - started) / used.steps
        rows.append(row(name, fit.tuned(), seconds))
        shown.write(rows, folder)
    return rows, shown
