"""What saved workflows rely on: the ids of the nodes, and their inputs and outputs in order.

`contract.json` holds what was ever released or committed. A node may gain inputs and outputs at the end; nothing in
the file may change. A node that has to be renamed stays in the file and gets an entry in `nodes.RENAMED`.
`python -m articulate.nodes.contract` adds what is new to the file.
"""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("contract.json")

Promise = dict[str, list[list[str]]]
"""{"inputs": [[id, type], ...], "outputs": [[id, type], ...]}"""


def promises() -> dict[str, Promise]:
    """The recorded promises by node id."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def promise_of(schema: Any) -> Promise:
    """What a node's schema would have to be recorded as."""
    return {
        "inputs": [[socket.id, socket.get_io_type()] for socket in schema.inputs],
        "outputs": [[socket.id, socket.get_io_type()] for socket in schema.outputs],
    }


def broken(promise: Promise, schema: Any) -> list[str]:
    """How a schema breaks its promise, one sentence each; an input may come to take more types, but not fewer."""
    now, problems = promise_of(schema), []
    for side in ("inputs", "outputs"):
        for place, (name, kind) in enumerate(promise[side]):
            here = now[side][place] if place < len(now[side]) else None
            if here is None or here[0] != name:
                problems.append(f"{side}[{place}] was {name}, now it is {here[0] if here else 'gone'}.")
            elif not set(kind.split(",")) <= set(here[1].split(",")) or (side == "outputs" and kind != here[1]):
                problems.append(f"{side}[{place}], {name}, was of type {kind}, now it is {here[1]}.")
    recorded = {name for name, _ in promise["inputs"]}
    for socket in schema.inputs:
        needed = not socket.optional and getattr(socket, "default", None) is None
        if socket.id not in recorded and needed:
            problems.append(f"the new input {socket.id} has no default, so saved workflows lack it.")
    return problems


def record() -> list[str]:
    """Add new nodes, and new inputs and outputs of kept promises, to the file; returns the ids of changed entries."""
    from . import NODES

    table, changed = promises() if FILE.exists() else {}, []
    for node in NODES:
        schema = node.GET_SCHEMA()
        if broken(table.get(schema.node_id, {"inputs": [], "outputs": []}), schema) and schema.node_id in table:
            continue
        if table.get(schema.node_id) != promise_of(schema):
            table[schema.node_id] = promise_of(schema)
            changed.append(schema.node_id)
    text = "{\n" + ",\n".join(f" {json.dumps(name)}: {_entry(entry)}" for name, entry in table.items()) + "\n}\n"
    FILE.write_text(text, encoding="utf-8")
    return changed


def _entry(entry: Promise) -> str:
    sides = (f"  {json.dumps(side)}: {json.dumps(entry[side])}" for side in ("inputs", "outputs"))
    return "{\n" + ",\n".join(sides) + "\n }"


if __name__ == "__main__":
    print("Recorded anew:", ", ".join(record()) or "nothing")
