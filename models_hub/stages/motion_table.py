"""Numbers of how talking people blink and move brows and head, from head_motion.toml beside this file.

`articulate train head_motion` measures them anew.
"""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

STORED = Path(__file__).with_name("head_motion.toml")


@dataclass(frozen=True)
class Blinks:
    """Of one person.

    Attributes:
        rate: blinks a minute.
        regularity: shape of the gamma distribution of the times between blinks; 1 is pure chance, more is evener.
        depth, depth_spread: how far the lids come together, 0..1 of the way, and its standard deviation.
        closing, hold, opening: seconds on the way down, at the lowest and on the way up.
        duration_spread: standard deviation of the logarithm of a blink's length.
    """

    rate: float
    regularity: float
    depth: float
    depth_spread: float
    closing: float
    hold: float
    opening: float
    duration_spread: float

    @property
    def seconds(self) -> float:
        """Length of a typical blink."""
        return self.closing + self.hold + self.opening


@dataclass(frozen=True)
class Wander:
    """A smooth random motion about a mean, alike after t seconds by (1 + t / time) * exp(-t / time).

    Attributes:
        amplitude: standard deviation, in the unit of the motion.
        time: seconds; the shorter, the faster the motion.
    """

    amplitude: float
    time: float


@dataclass(frozen=True)
class MotionTable:
    """Everything that is measured.

    Attributes:
        blink: the eyes.
        roll: degrees in the picture's plane.
        x, y: shift of the head's rigid points in face units (eye distances of a face seen from the front).
        size: per cent.
        brow: height of both brows over the eyes in face units.
        brow_profile: how far each of a brow's five points follows, outer end first; 1 on average.
    """

    blink: Blinks
    roll: Wander
    x: Wander
    y: Wander
    size: Wander
    brow: Wander
    brow_profile: tuple[float, ...]


def read_table(path: Path) -> MotionTable:
    """The table that `table_text` wrote to a file."""
    stored = tomllib.loads(path.read_text(encoding="utf-8"))
    profile = tuple(stored["brow"].pop("profile"))
    wanders = {name: Wander(**stored[name]) for name in ("roll", "x", "y", "size", "brow")}
    return MotionTable(Blinks(**stored["blink"]), **wanders, brow_profile=profile)


@lru_cache(maxsize=1)
def motion_table() -> MotionTable:
    """The table of the package."""
    return read_table(STORED)
