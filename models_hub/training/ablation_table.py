"""Rows of a comparison, written as Markdown, JSON and a plot."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """A variant and its figures, by name; the same names in every row of a table."""

    name: str
    figures: dict[str, float]


@dataclass(frozen=True)
class Table:
    """How rows are shown.

    Attributes:
        note: a sentence above the rows.
        formats: of each figure, such as "{:.4f}".
        plotted: the figure that the plot shows.
        better: what to say of it, such as "shorter is better".
    """

    note: str
    formats: dict[str, str]
    plotted: str
    better: str

    def markdown(self, rows: list[Row]) -> str:
        """The rows as a table in Markdown."""
        names = list(self.formats)
        lines = [self.note, "", f"| variant | {' | '.join(names)} |", "|" + "---|" * (len(names) + 1)]
        for row in rows:
            shown = [self.formats[name].format(row.figures[name]) for name in names]
            lines.append(f"| {row.name} | {' | '.join(shown)} |")
        return "\n".join(lines) + "\n"

    def write(self, rows: list[Row], folder: Path) -> None:
        """table.json, table.md and table.png in a folder, each whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        content = json.dumps([asdict(row) for row in rows], indent=1)
        for name, text in (("table.json", content), ("table.md", self.markdown(rows))):
            _replace(folder / name, lambda path, text=text: path.write_text(text, encoding="utf-8"))
        _replace(folder / "table.png", lambda path: self._draw(rows, path))

    def _draw(self, rows: list[Row], path: Path) -> None:
        from PIL import Image, ImageDraw

        height, left, width = 26, 280, 420
        image = Image.new("RGB", (left + width + 90, height * len(rows) + 40), "white")
        draw = ImageDraw.Draw(image)
        draw.text((10, 10), f"{self.plotted} ({self.better})", fill="black")
        values = [row.figures[self.plotted] for row in rows]
        most = max(max(values), 1e-9)
        for place, (row, value) in enumerate(zip(rows, values, strict=True)):
            top = 34 + place * height
            end = left + round(width * max(0.0, value) / most)
            draw.text((10, top + 3), row.name, fill="black")
            draw.rectangle((left, top, end, top + height - 8), fill="#999999" if place == 0 else "#1f5fa8")
            draw.text((end + 6, top + 3), self.formats[self.plotted].format(value), fill="black")
        image.save(path, format="PNG")


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    temporary = path.with_name(path.name + ".part")
    write(temporary)
    os.replace(temporary, path)
