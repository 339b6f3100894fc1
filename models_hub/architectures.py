"""Which network a weights file holds, read off the names and shapes of its tensors.

In the manner of spandrel: an architecture registers `detect`, which looks at names and shapes alone and says the
sizes of the network, and `load`, which builds a network of those sizes. A file needs no side-car, and a file that
is none of ours is reported with the nearest known architecture and what differs.

Our own networks register in `architectures_own.py`, those of published checkpoints in `architectures_published.py`.
"""

import inspect
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from .errors import WeightsError

Shapes = Mapping[str, tuple[int, ...]]
"""Shape of every tensor of a file, by name."""

Sizes = dict[str, Any]
"""Keyword arguments that build a network."""

LARGEST_SETTING = 1024
"""Largest number that a file's header may set; sizes of tensors are not bound by it."""


@dataclass(frozen=True)
class Architecture:
    """What is known about one kind of network.

    Attributes:
        name: the class of the network; files name it in their header.
        stages: stages whose nodes can use such a file.
        detect: shapes -> sizes that the tensors tell, or None where it is another architecture. It may simply raise
            KeyError, IndexError, ValueError or TypeError on shapes that it does not expect.
        load: builds the network from sizes, as keyword arguments. What the tensors cannot tell (such as the size of
            a grid) has a default there, and may be given by the file's header ("config").
        half: whether the convolutions keep their quality in half precision (bfloat16 under autocast).
        smallest, multiple, unit: the least input, what its size must be a multiple of, and what is counted.
        source: where the mathematics comes from.
        optional: endings of tensor names that a file may lack (counters that no result depends on).
    """

    name: str
    stages: tuple[str, ...]
    detect: Callable[[Shapes], Sizes | None]
    load: Callable[..., nn.Module]
    half: bool
    smallest: int
    multiple: int
    unit: str
    source: str
    optional: tuple[str, ...] = ()

    def limits(self) -> str:
        """Half precision and sizes in words."""
        steps = f", in steps of {self.multiple}" if self.multiple > 1 else ""
        return f"{self.smallest} {self.unit} or more{steps}; {'half or' if self.half else 'only'} full precision"


MOST_NUMBERS = 1 << 30
"""Numbers that a network may hold where no file says less."""

IMPOSSIBLE = (ValueError, TypeError, RuntimeError, IndexError, OverflowError, AttributeError, MemoryError)
"""What building a network of sizes that cannot be may raise."""

_registered: dict[str, Architecture] = {}


def register(*architectures: Architecture) -> None:
    """Make architectures known, all or none of them.

    Raises:
        ValueError: a name is taken.
    """
    names = [architecture.name for architecture in architectures]
    taken = sorted({name for name in names if name in _registered or names.count(name) > 1})
    if taken:
        raise ValueError(f"The architectures {', '.join(taken)} are registered already; give each its own name.")
    _registered.update(zip(names, architectures, strict=True))


def known() -> dict[str, Architecture]:
    """All architectures by name."""
    from . import architectures_own, architectures_published  # noqa: F401 (they register themselves)

    return _registered


def architecture_of(network: nn.Module) -> Architecture | None:
    """What is known about a loaded network."""
    return known().get(type(network).__name__)


def recognise(shapes: Shapes, header: Mapping[str, str], stage: str | None, where: str) -> tuple[Architecture, Sizes]:
    """The architecture of a file, and its sizes.

    Args:
        shapes: shape of every tensor by name.
        header: the file's metadata; "architecture" decides between architectures of equal shapes, "config" (JSON)
            tells what no tensor does.
        stage: the stage that wants the file; it decides where the header is silent.
        where: the file, for messages.

    Raises:
        WeightsError: no known architecture fits; the message names the nearest and what differs.
    """
    named = header.get("architecture", "")
    if named and named not in known():
        raise WeightsError(
            f"{where} says that its architecture is {named[:80]!r}; known are {', '.join(sorted(known()))}. "
            f"{nearest(shapes)} Choose a weights file made for this stage, or update Articulate."
        )
    found = {}
    for architecture in known().values() if not named else [known()[named]]:
        sizes = _detected(architecture, shapes)
        if sizes is not None:
            found[architecture.name] = sizes
    fitting = [name for name in found if stage in known()[name].stages] or list(found)
    chosen = min(fitting, key=lambda name: _misfits(known()[name], found[name], shapes)) if fitting else None
    if chosen is None:
        claim = f"says that it is {named}, but its tensors are not" if named else "holds no known architecture"
        raise WeightsError(
            f"{where} {claim}: {nearest(shapes, named)} Choose a weights file made for this stage, or convert the "
            "original checkpoint (articulate models convert)."
        )
    architecture = known()[chosen]
    return architecture, {**_settings(architecture, header, where), **found[chosen]}


def _detected(architecture: Architecture, shapes: Shapes) -> Sizes | None:
    try:
        sizes = architecture.detect(shapes)
        return None if sizes is None or [] in sizes.values() else sizes
    except (KeyError, IndexError, ValueError, TypeError):
        return None


def _misfits(architecture: Architecture, sizes: Sizes, shapes: Shapes) -> int:
    """How many tensors keep a file from being of an architecture."""
    try:
        expected = expected_shapes(architecture, sizes, numbers_in(shapes))
        return len(differences(expected, shapes, architecture.optional))
    except IMPOSSIBLE:
        return len(shapes)


def _settings(architecture: Architecture, header: Mapping[str, str], where: str) -> Sizes:
    """What the header says about sizes, as far as the network takes it."""
    try:
        config = json.loads(header.get("config") or "{}")
        if not isinstance(config, dict):
            raise ValueError("it is no table")
        taken = inspect.signature(architecture.load).parameters
        any_name = any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values())
        settings = {name: value for name, value in config.items() if any_name or name in taken}
        wrong = [name for name, value in settings.items() if not _is_small(value)]
        if wrong:
            raise ValueError(f"{wrong[0][:80]!r} is no number between 0 and {LARGEST_SETTING}, or list of such")
        return settings
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{where}: its header's sizes cannot be used ({error}). Fetch the file again.") from error


def _is_small(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= 16 and all(isinstance(item, int | float) and _is_small(item) for item in value)
    return isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= LARGEST_SETTING


def build(architecture: Architecture, sizes: Sizes, numbers: int = MOST_NUMBERS) -> nn.Module:
    """A network of these sizes whose weights hold whatever the memory held; cheap, whatever the sizes.

    Args:
        architecture, sizes: from `recognise`.
        numbers: how many numbers it may hold; more is refused before memory is asked for.

    Raises:
        one of IMPOSSIBLE: there is no such network.
    """
    with torch.inference_mode(False), torch.no_grad(), Skeleton(numbers):
        return architecture.load(**sizes)


def expected_shapes(
    architecture: Architecture, sizes: Sizes, numbers: int = MOST_NUMBERS
) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of a network of these sizes; arguments and errors as for `build`."""
    return {name: tuple(value.shape) for name, value in build(architecture, sizes, numbers).state_dict().items()}


def numbers_in(shapes: Shapes) -> int:
    """How many numbers a network may hold that fits a file: twice the file's, and some for what is not stored."""
    return 2 * sum(map(math.prod, shapes.values())) + (1 << 25)


def differences(expected: Shapes, shapes: Shapes, optional: tuple[str, ...] = ()) -> list[str]:
    """What keeps a file from fitting, one phrase for each tensor, missing ones first; empty if it fits."""
    missing = [name for name in expected if name not in shapes and not name.endswith(optional or ("\0",))]
    misshapen = [name for name in expected if name in shapes and shapes[name] != expected[name]]
    surplus = [name for name in shapes if name not in expected]
    return [
        *(f"{name} {list(expected[name])} is missing" for name in missing),
        *(f"{name} is {list(shapes[name])} where {list(expected[name])} belongs" for name in misshapen),
        *(f"{name[:120]} {list(shapes[name])} is unknown" for name in surplus),
    ]


def nearest(shapes: Shapes, only: str = "") -> str:
    """A sentence: the known architecture whose tensors are most like these, and what differs."""
    best, score, best_expected = "", 0.0, {}
    for name in [only] if only else known():
        expected = _closest_shapes(name, shapes)
        shared = [tensor for tensor in expected if tensor in shapes]
        equal = sum(shapes[tensor] == expected[tensor] for tensor in shared)
        likeness = (len(shared) + equal) / (len(expected) + len(shapes))  # 1 where names and shapes agree
        if likeness > score:
            best, score, best_expected = name, likeness, expected
    if not best:
        sample = ", ".join(f"{tensor[:60]} {list(shape)}" for tensor, shape in list(shapes.items())[:3])
        return f"not one of its {len(shapes)} tensors ({sample or 'none'}) has a name that is known here."
    found = differences(best_expected, shapes, known()[best].optional)
    if not found:
        return f"its tensors are those of {best}."
    return f"the nearest is {best} ({score:.0%} alike): {listed(found)}."


def _closest_shapes(name: str, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """What an architecture expects in the sizes that the file seems to have, or else in its usual ones."""
    sizes = _detected(known()[name], shapes)
    if sizes is not None:
        try:
            return expected_shapes(known()[name], sizes, numbers_in(shapes))
        except IMPOSSIBLE:
            pass  # sizes that no network can have
    return _usual_shapes(name)


class Skeleton(TorchFunctionMode):
    """Builds networks whose numbers come from elsewhere: nothing is drawn at random, no norm is measured, and nobody
    is given more memory than was agreed.

    (The device without memory, "meta", would do too, but its arithmetic takes five seconds to import.)
    """

    _kept = frozenset({torch.Tensor.uniform_, torch.Tensor.normal_})
    _sized = frozenset({torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn})
    _scaled = frozenset({torch.Tensor.mul, torch.Tensor.__mul__, torch.Tensor.__rmul__, torch.Tensor.__truediv__})
    _counted = frozenset({torch.arange, torch.eye, torch.linspace})

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.left = numbers

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        if function in self._kept or getattr(function, "__module__", "") == "torch.nn.init":
            return args[0] if args else options["tensor"]
        if function in self._sized or function is torch.full:
            shape = args[0] if args and not isinstance(args[0], int) else options.get("size", args)
            self._take(math.prod(shape))
            if function in (torch.rand, torch.randn):
                unwritten = torch.empty(*args, **options)
                unwritten.unwritten = True
                return unwritten
        elif function in self._scaled and getattr(args[0], "unwritten", False):
            return args[0]
        elif function in self._counted:
            self._take(math.prod(max(1, int(number)) for number in args[:3]) ** (2 if function is torch.eye else 1))
        elif function is nn.functional.normalize:  # spectral norm measures weights that are not there yet
            return args[0] if options.get("out") is None else options["out"]
        elif function is torch.mv and args[0].ndim == 2:
            return args[0].new_empty(args[0].shape[0])
        return function(*args, **options)

    def _take(self, numbers: int) -> None:
        self.left -= numbers
        if self.left < 0:
            raise ValueError("it would be larger than the file")


@lru_cache(maxsize=64)
def _usual_shapes(name: str) -> dict[str, tuple[int, ...]]:
    return expected_shapes(known()[name], {})


def listed(phrases: list[str], limit: int = 4) -> str:
    """The first phrases, and how many more there are."""
    more = f"; and {len(phrases) - limit} more" if len(phrases) > limit else ""
    return "; ".join(phrases[:limit]) + more
