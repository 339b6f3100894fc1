"""What each loss and part buys: the same footage, seed and steps with one thing added at a time; a table and a plot."""

import json
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..loading import load_network
from ..networks.ibug68 import LIPS
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
        sound: whether it makes sense without sound.
    """

    weights: dict[str, float]
    parts: tuple[str, ...] | None = None
    sound: bool = False


PRESETS: dict[str, dict[str, Variant]] = {
    "fine-tune": {
        PLAIN: Variant({}),
        "+ memory trained": Variant({}, ("generator", "warper", "memory")),
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
"""Variants by preset."""


@dataclass(frozen=True)
class Row:
    """Figures of a variant on the held-back footage.

    Attributes:
        mouth_l1: mouth-region L1 in 0..1.
        lip_distance: mean distance of the lips' landmarks seen in the made frame from those it was driven to, in eye
            distances.
        seconds_per_step: CPU seconds.
    """

    name: str
    mouth_l1: float
    lip_distance: float
    seconds_per_step: float


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
) -> list[Row]:
    """Run the variants of a preset.

    Args:
        material: footage; its last third is held back and decides nothing.
        preset: of `PRESETS`.
        settings: steps and seed, the same for all; parts as the variant wants.
        folder: one folder for each variant, table.json and table.md.
        only: names of variants, beside the plain one.

    Returns:
        A row for the untuned networks, and one for each variant that the footage allows.

    Raises:
        InputError: the preset is not known.
    """
    if preset not in PRESETS:
        raise InputError(f"There is no preset {preset!r}; there are {', '.join(PRESETS)}.")
    learned, held = split_material(material, 1 / 3)
    base = {stage: load_network(stage) for stage in ("warper", "generator")}
    rows = [Row("not tuned", mouth_error(base, learned, held), lip_distance(base, learned, held), 0.0)]
    for place, (name, variant) in enumerate(PRESETS[preset].items()):
        if (variant.sound and not material.has_sound) or (only and name not in (PLAIN, *only)):
            continue
        used = replace(settings, parts=variant.parts or settings.parts, patience=0, hold_back=0.0)
        weights = LossWeights(**{**asdict(LossWeights()), **variant.weights})
        started = time.process_time()
        fit = Fit(base, learned, [], used, weights, folder / f"{place:02d}")
        fit.run()
        seconds = (time.process_time() - started) / used.steps
        tuned = fit.tuned()
        rows.append(Row(name, mouth_error(tuned, learned, held), lip_distance(tuned, learned, held), seconds))
        write_table(rows, folder, settings)
    return rows


def table(rows: list[Row], settings: TuneSettings) -> str:
    """The rows as Markdown."""
    first = rows[0]
    lines = [
        f"{settings.steps} steps, rank {settings.rank}, seed {settings.seed}; errors on the held-back last third.",
        "",
        "| variant | mouth L1 | less than untuned | lip distance | CPU s a step |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        change = 100 * (1 - row.mouth_l1 / first.mouth_l1)
        figures = (f"{row.mouth_l1:.5f}", f"{change:+.1f} %", f"{row.lip_distance:.4f}", f"{row.seconds_per_step:.2f}")
        lines.append(f"| {row.name} | {' | '.join(figures)} |")
    return "\n".join(lines) + "\n"


def write_table(rows: list[Row], folder: Path, settings: TuneSettings) -> None:
    """table.json, table.md and table.png, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"table.json": json.dumps([asdict(row) for row in rows], indent=1), "table.md": table(rows, settings)}
    for name, text in content.items():
        temporary = folder / f"{name}.part"
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, folder / name)
    draw_table(rows, folder / "table.png")


def draw_table(rows: list[Row], path: Path) -> None:
    """Bars of the mouth error, one for each row."""
    from PIL import Image, ImageDraw

    height, left, width = 26, 260, 420
    image = Image.new("RGB", (left + width + 90, height * len(rows) + 40), "white")
    draw = ImageDraw.Draw(image)
    draw.text((10, 10), "mouth-region L1 on held-back footage (shorter is better)", fill="black")
    most = max(row.mouth_l1 for row in rows)
    for place, row in enumerate(rows):
        top = 34 + place * height
        end = left + round(width * row.mouth_l1 / most)
        draw.text((10, top + 3), row.name, fill="black")
        draw.rectangle((left, top, end, top + height - 8), fill="#999999" if place == 0 else "#1f5fa8")
        draw.text((end + 6, top + 3), f"{row.mouth_l1:.5f}", fill="black")
    temporary = path.with_name(path.stem + ".part.png")
    image.save(temporary)
    os.replace(temporary, path)
