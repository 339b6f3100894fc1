"""The header of a safetensors file, read with suspicion: nothing in it is believed before it has been checked."""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import WeightsError

LARGEST_HEADER = 8 << 20
"""Bytes; the largest networks of ours and of the seeds need 50 kB."""

MOST_TENSORS = 20_000

ITEM_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
"""The kinds of numbers that weights may be stored as."""


@dataclass(frozen=True)
class Header:
    """What a file says about itself.

    Attributes:
        shapes: of every tensor, by name.
        types: how the numbers of each are stored (a key of ITEM_BYTES).
        metadata: texts that the writer added.
    """

    shapes: dict[str, tuple[int, ...]]
    types: dict[str, str]
    metadata: dict[str, str]


def read_header(path: Path) -> Header:
    """Read and check the header; the tensors are not touched.

    Raises:
        WeightsError: the file is cut short, or is no safetensors file that holds weights.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 10 or length < 2 or length > size - 8:
                raise ValueError(f"{size} bytes, of which the header says to take {length}")
            if length > LARGEST_HEADER:
                raise ValueError(f"a header of {length} bytes, more than {LARGEST_HEADER}")
            table = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_without_repeats)
        return _checked(table, size - 8 - length)
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"{path} cannot be read as safetensors ({str(error)[:300]}); it is cut short or not a weights file. Fetch "
            "it again; a .pth or .ckpt file is converted first (articulate models convert)."
        ) from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name occurs twice")
    return table


def _checked(table: Any, size: int) -> Header:
    """The header of `size` bytes of tensors.

    Raises:
        ValueError: something in it is wrong.
    """
    if not isinstance(table, dict):
        raise ValueError("its header is no table")
    metadata = table.pop("__metadata__", {})
    texts = metadata.items() if isinstance(metadata, dict) else [(0, 0)]
    if not all(isinstance(key, str) and isinstance(value, str) for key, value in texts):
        raise ValueError("its metadata are no texts")
    if not 0 < len(table) <= MOST_TENSORS:
        raise ValueError(f"{len(table)} tensors")
    places = []
    for name, entry in table.items():
        try:
            places.append((*_extent(entry), name))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"tensor {name[:80]!r}: {str(error)[:80]}") from error
    end = 0
    for start, stop, name in sorted(places):
        if start != end:
            raise ValueError(f"tensor {name[:80]!r} begins at byte {start}, but the one before it ends at {end}")
        end = stop
    if end != size:
        raise ValueError(f"its tensors take {end} bytes, but {size} are there")
    return Header(
        {name: tuple(entry["shape"]) for name, entry in table.items()},
        {name: entry["dtype"] for name, entry in table.items()},
        metadata,
    )


def _extent(entry: Any) -> tuple[int, int]:
    """First and last byte of a tensor."""
    kind, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if kind not in ITEM_BYTES:
        raise ValueError(f"numbers of kind {str(kind)[:40]!r} are not weights")
    if not all(type(number) is int and number >= 0 for number in (*shape, start, stop)) or len(shape) > 8:
        raise ValueError("its shape or place is no list of whole numbers")
    if 0 in shape:
        raise ValueError("it is empty")
    if stop - start != math.prod(shape) * ITEM_BYTES[kind]:
        raise ValueError(f"shape {shape} of {kind} does not take {stop - start} bytes")
    return start, stop
