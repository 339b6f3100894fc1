"""What a fit writes down: JSON lines, a plot of every term, and TensorBoard's format where that is installed."""

import json
import math
import os
from pathlib import Path
from typing import Any

from ..errors import InputError


class Records:
    """One JSON line for each step or note.

    Args:
        folder: where log.jsonl, losses.png and tensorboard/ are written.
        resume: the step from which a resumed fit goes on; later lines are of a run that was lost, and go. None
            starts anew.
    """

    def __init__(self, folder: Path, resume: int | None = None) -> None:
        self.path = folder / "log.jsonl"
        lines = [] if resume is None else [line for line in read_records(self.path) if line.get("step", 0) <= resume]
        temporary = self.path.with_name(self.path.name + ".part")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        os.replace(temporary, self.path)
        self._board = _tensorboard(folder / "tensorboard")

    def add(self, step: int, **facts: Any) -> None:
        """Write one line; numbers that are not finite become null."""
        line = {"step": step} | {name: _plain(value) for name, value in facts.items()}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._board is not None:
            for name, value in line.items():
                if name != "step" and isinstance(value, float):
                    self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Finish TensorBoard's file."""
        if self._board is not None:
            self._board.close()


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # it is an extra
        return None
    return SummaryWriter(str(folder))


def read_records(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; a line that a killed process left half is left out."""
    if not path.is_file():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines


def plot_records(log: Path, picture: Path) -> Path:
    """Draw every term of a log over the steps, one small plot each.

    Raises:
        InputError: the log holds no steps.
    """
    lines = read_records(log)
    names = [name for name in dict.fromkeys(name for line in lines for name in line) if name not in ("step", "note")]
    series = {name: [(line["step"], line[name]) for line in lines if _is_number(line.get(name))] for name in names}
    series = {name: points for name, points in series.items() if points}
    if not series:
        raise InputError(f"{log} holds no steps, so there is nothing to plot; let the fit take at least one step.")
    columns = min(3, len(series))
    rows = -(-len(series) // columns)
    from PIL import Image, ImageDraw

    width, height, margin = 320, 180, 34
    image = Image.new("RGB", (columns * width, rows * height), "white")
    draw = ImageDraw.Draw(image)
    for place, (name, points) in enumerate(series.items()):
        left, top = place % columns * width + margin, place // columns * height + 22
        right, bottom = left + width - margin - 12, top + height - 44
        steps, values = zip(*points, strict=True)
        low, high = min(values), max(values)
        span, length = (high - low) or 1.0, max(1, steps[-1] - steps[0])
        draw.rectangle((left, top, right, bottom), outline="#bbbbbb")
        where = [
            (left + (right - left) * (step - steps[0]) / length, bottom - (bottom - top) * (value - low) / span)
            for step, value in points
        ]
        if len(where) > 60:
            draw.line(where, fill="#c9d8ee")
            count = len(where) // 40
            where = [_middle(where[first : first + count]) for first in range(0, len(where), count)]
        draw.line(where, fill="#1f5fa8", width=2)
        if len(where) == 1:
            draw.ellipse((where[0][0] - 2, where[0][1] - 2, where[0][0] + 2, where[0][1] + 2), fill="#1f5fa8")
        draw.text((left, top - 16), f"{name.replace('_', ' ')}   {values[0]:.4g} to {values[-1]:.4g}", fill="black")
        draw.text((left, bottom + 4), f"step {steps[0]}", fill="#666666")
        draw.text((right - 48, bottom + 4), f"{steps[-1]}", fill="#666666")
        draw.text((left + 3, top + 2), f"{high:.3g}", fill="#666666")
        draw.text((left + 3, bottom - 13), f"{low:.3g}", fill="#666666")
    temporary = picture.with_name(picture.stem + ".part.png")
    image.save(temporary)
    os.replace(temporary, picture)
    return picture


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _middle(points: list[tuple[float, float]]) -> tuple[float, float]:
    return sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)
