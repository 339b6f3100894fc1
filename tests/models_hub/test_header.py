"""Headers of safetensors files, damaged in every way: refused with a sentence, never a crash or a hang.

ARTICULATE_MUTATIONS sets how many random mutations are tried; the full run is
`ARTICULATE_MUTATIONS=20000 python -m pytest tests/models_hub/test_header.py`.
"""

import json
import os
import random
import struct
import time

import pytest
import torch
from articulate.models_hub import loading
from articulate.models_hub.errors import WeightsError
from articulate.models_hub.header import LARGEST_HEADER, read_header
from articulate.models_hub.networks.frame_critic import FrameCritic
from articulate.models_hub.networks.landmark_predictor import LandmarkPredictor

MUTATIONS = int(os.environ.get("ARTICULATE_MUTATIONS", "10000"))
LONGEST = 5.0  # seconds of computing for one file; the first error imports all networks


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Header table and tensors' bytes of two small files."""
    folder, found = tmp_path_factory.mktemp("good"), []
    for network, config in (
        (FrameCritic([4, 8]), {"widths": [4, 8]}),
        (LandmarkPredictor(4, 4, 2), {"units": 4, "hidden": 4, "shapes": 2}),
    ):
        path = folder / f"{type(network).__name__}.safetensors"
        loading.save_network(network, path, config)
        content = path.read_bytes()
        length = struct.unpack("<Q", content[:8])[0]
        found.append((json.loads(content[8 : 8 + length]), content[8 + length :]))
    return found


def packed(header: bytes, body: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + body


NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    7,
    255,
    2**31 - 1,
    2**31,
    2**32,
    2**53,
    2**63 - 1,
    2**63,
    2**64,
    10**30,
    -(2**63),
    0.5,
    1e308,
)
ODDITIES = (None, True, "", "F32", "F99", "I4", [], {}, [[]], [1, [2]], "x" * 5000, "\0", "../..", NUMBERS[8], "NaN")


def mutate(table: dict, body: bytes, chance: random.Random) -> bytes:
    """One to four changes of a header's table, or of its bytes."""
    table = json.loads(json.dumps(table))
    names = [name for name in table if name != "__metadata__"]
    for _ in range(chance.randint(1, 4)):
        name = chance.choice(names)
        entry = table.get(name, {})
        kind = chance.randrange(12)
        if kind == 0 and isinstance(entry, dict) and isinstance(entry.get("shape"), list) and entry["shape"]:
            entry["shape"][chance.randrange(len(entry["shape"]))] = chance.choice(NUMBERS)
        elif kind == 1 and isinstance(entry, dict) and isinstance(entry.get("data_offsets"), list):
            entry["data_offsets"] = [chance.choice(NUMBERS), chance.choice(NUMBERS)]
        elif kind == 2 and isinstance(entry, dict):
            entry[chance.choice(["shape", "dtype", "data_offsets"])] = chance.choice(ODDITIES)
        elif kind == 3:
            table[name] = chance.choice(ODDITIES)
        elif kind == 4:
            table.pop(name, None)
        elif kind == 5:
            table[chance.choice(["extra", "", "a" * 300, "\u202e", "__metadata__ ", name + "."])] = entry
        elif kind == 6:
            table["__metadata__"] = chance.choice(ODDITIES)
        elif kind == 7:
            metadata = table.get("__metadata__")
            if isinstance(metadata, dict):
                metadata[chance.choice(["config", "architecture"])] = chance.choice(
                    ["", "{}", "[]", "null", "{", '{"widths": [1000000000]}', '{"hidden": 1e400}', "[" * 900, "Warper",
                     '{"working": 1024, "widths": 3}', '{"shapes": "x"}', "MemoryWarper", '{"cells": -1}', 7]
                )  # fmt: skip
        elif kind == 8 and isinstance(entry, dict) and isinstance(entry.get("shape"), list):
            entry["shape"] = entry["shape"][::-1] if chance.random() < 0.5 else [*entry["shape"], 1]
        elif kind == 9 and isinstance(entry, dict):
            entry["dtype"] = chance.choice(["F64", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "C64"])
        elif kind == 10:
            other = chance.choice(names)
            table[name], table[other] = table.get(other), table.get(name)
        else:
            body = body[: chance.randrange(len(body) + 1)] if chance.random() < 0.5 else body + b"\0" * 8
    header = json.dumps(table).encode()
    if chance.random() < 0.3:  # bytes, not meaning
        header = bytearray(header)
        for _ in range(chance.randint(1, 6)):
            header[chance.randrange(len(header))] = chance.randrange(256)
        header = bytes(header)
    length = (
        None if chance.random() < 0.9 else chance.choice([0, 1, 7, len(header) - 1, len(header) + 1, 2**40, 2**64 - 1])
    )
    return packed(header, body, length)


def test_random_mutations_end_with_a_network_or_a_sentence(good, tmp_path):
    chance, slowest, refused = random.Random(20261121), 0.0, 0
    for number in range(MUTATIONS):
        table, body = good[number % len(good)]
        path = tmp_path / f"{number % 50}.safetensors"
        path.write_bytes(mutate(table, body, chance))
        start = time.process_time()
        try:
            loading.inspect_weights(path)
            if number % 10 == 0:
                loading.load_network("frame_critic" if number % 2 == 0 else "landmark_predictor", str(path))
        except WeightsError as error:
            refused += 1
            assert str(path) in str(error) and len(str(error)) < 3000
        slowest = max(slowest, time.process_time() - start)
    assert slowest < LONGEST
    assert refused > 0.8 * MUTATIONS  # the mutations do something


def deep(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


def entry(**changes) -> dict:
    return {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]} | changes


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "0 bytes"),
        (b"\x08", "1 bytes"),
        (struct.pack("<Q", 2**63) + b"{}", "header"),
        (struct.pack("<Q", 0) + b"{}", "header"),
        (packed(b"[]", b""), "no table"),
        (packed(b"{}", b""), "0 tensors"),
        (packed(b"\xff\xfe{}", b""), "utf-8"),
        (packed(deep(100_000), b""), "safetensors"),
        (packed(b'{"a":' + b"9" * 100_000 + b"}", b""), "safetensors"),
        (packed(json.dumps({"a": entry()}).encode(), bytes(15)), "15 are there"),
        (packed(json.dumps({"a": entry(shape=[2**62, 4])}).encode(), bytes(16)), "does not take"),
        (packed(json.dumps({"a": entry(shape=[0, 2**62], data_offsets=[0, 0])}).encode(), b""), "empty"),
        (packed(json.dumps({"a": entry(shape=[True, 4])}).encode(), bytes(16)), "whole numbers"),
        (packed(json.dumps({"a": entry(shape=[1] * 9 + [4])}).encode(), bytes(16)), "whole numbers"),
        (packed(json.dumps({"a": entry(), "b": entry()}).encode(), bytes(16)), "begins at byte 0"),
        (packed(json.dumps({"a": entry(data_offsets=[16, 32])}).encode(), bytes(32)), "begins at byte 16"),
        (packed(b"{\"a\": %b, \"a\": %b}" % ((json.dumps(entry()).encode(),) * 2), bytes(16)), "twice"),
        (packed(json.dumps({"__metadata__": {"a": 1}, "b": entry()}).encode(), bytes(16)), "no texts"),
        (packed(json.dumps({f"t{n}": 0 for n in range(30_000)}).encode(), b""), "30000 tensors"),
        (packed(b" " * (LARGEST_HEADER + 1), b""), "more than"),
        (b"PK\x03\x04" + bytes(200), "safetensors"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2" + bytes(50), "convert"),
        (b"<html>404 Not Found</html>" + bytes(50), "safetensors"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64, "safetensors"),
    ],
)  # fmt: skip
def test_adversarial_headers(content, said, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    start = time.process_time()
    with pytest.raises(WeightsError, match=said) as caught:
        loading.load_network("warper", str(path))
    assert time.process_time() - start < LONGEST
    assert str(path) in str(caught.value) and len(str(caught.value)) < 1000


def test_a_good_header_is_read(good, tmp_path):
    path = tmp_path / "w.safetensors"
    network = FrameCritic([4, 8])
    loading.save_network(network, path, {"widths": [4, 8]}, note="mine")
    header = read_header(path)
    assert header.shapes == {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert set(header.types.values()) == {"F32"} and header.metadata["note"] == "mine"


def test_sizes_that_no_memory_holds_cost_nothing(tmp_path):
    """A small file whose tensors ask for a network of terabytes is refused before anything is allocated."""
    path = tmp_path / "w.safetensors"
    network = LandmarkPredictor(4, 4, 2)
    state = network.state_dict() | {"layers.1.weight": torch.zeros(1_000_000, 1), "basis": torch.zeros(1_000_000, 1, 1)}
    from safetensors.torch import save_file

    save_file(state, path)
    start = time.process_time()
    with pytest.raises(WeightsError, match=r"larger than the file|layers"):
        loading.load_network("landmark_predictor", str(path))
    assert time.process_time() - start < LONGEST
