"""What nodes take and give, in the form of ComfyUI's /object_info: ours by their schemas, core nodes from a file.

The file `core_nodes/definitions.json` was taken from ComfyUI 0.33, without tooltips and without choices that
depend on the user's files. It knows more nodes than can run here, so that graphs with them can be converted.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

Definitions = Mapping[str, Mapping[str, Any]]
"""{"input": {"required": {name: [type, facts]}, "optional": {...}}, "output": [...], ...} by class_type."""

FILE = Path(__file__).parent / "core_nodes" / "definitions.json"


@lru_cache(maxsize=1)
def known_definitions() -> Definitions:
    """Definitions of our nodes and of core nodes."""
    from ..nodes import NODES

    core = json.loads(FILE.read_text(encoding="utf-8"))
    return core | {node.GET_SCHEMA().node_id: definition_of(node.GET_SCHEMA()) for node in NODES}


def definition_of(schema: Any) -> dict[str, Any]:
    """The definition that ComfyUI would publish for a schema, as far as it matters for workflows."""
    inputs: dict[str, dict[str, list]] = {"required": {}, "optional": {}}
    for socket in schema.inputs:
        facts = {name: value for name, value in socket.as_dict().items() if name not in ("optional", "tooltip")}
        inputs["optional" if socket.optional else "required"][socket.id] = [socket.get_io_type(), facts]
    return {
        "input": inputs,
        "output": [socket.io_type for socket in schema.outputs],
        "output_name": [socket.display_name for socket in schema.outputs],
        "display_name": schema.display_name,
        "output_node": schema.is_output_node,
    }


def inputs_of(definition: Mapping[str, Any]) -> dict[str, tuple[Any, dict[str, Any]]]:
    """(type, facts) of each input by name, the required ones first, as the editor orders them."""
    found = {}
    for part in ("required", "optional"):
        for name, entry in (definition["input"].get(part) or {}).items():
            kind, facts = entry[0], entry[1] if len(entry) > 1 else {}
            if isinstance(kind, list):  # how older nodes write a choice
                kind, facts = "COMBO", {"options": kind, **facts}
            found[name] = (kind, facts)
    return found


def stand_ins(definitions: Definitions) -> dict[str, type]:
    """Node classes that can be checked but not run, by class_type."""
    return {name: _stand_in(name, definition) for name, definition in definitions.items()}


def _stand_in(name: str, definition: Mapping[str, Any]) -> type:
    from ..nodes.standin import io

    optional = definition["input"].get("optional") or {}
    sockets = [_socket(key, kind, facts, key in optional) for key, (kind, facts) in inputs_of(definition).items()]
    outputs = ["COMBO" if isinstance(kind, list) else kind for kind in definition["output"]]
    schema = io.Schema(
        node_id=name,
        display_name=definition.get("display_name"),
        inputs=sockets,
        outputs=[io.Custom(kind).Output() for kind in outputs],
        is_output_node=bool(definition.get("output_node")),
    )

    class Defined(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            return schema

        @classmethod
        def execute(cls, **_: Any) -> io.NodeOutput:
            raise NotImplementedError(f"{name} runs in ComfyUI only.")

    return Defined


def _socket(name: str, kind: str, facts: Mapping[str, Any], optional: bool) -> Any:
    from ..nodes.standin import io

    options = facts.get("options")
    if kind == "INT":
        return io.Int.Input(name, optional=optional, default=0, min=facts.get("min"), max=facts.get("max"))
    if kind == "FLOAT":
        return io.Float.Input(name, optional=optional, default=0.0, min=facts.get("min"), max=facts.get("max"))
    if kind == "STRING":
        return io.String.Input(name, optional=optional, default="")
    if kind == "BOOLEAN":
        return io.Boolean.Input(name, optional=optional, default=False)
    if kind == "COMFY_DYNAMICCOMBO_V3":
        return io.Combo.Input(name, [option["key"] for option in options or []], optional=optional)
    if kind == "COMBO":
        return io.Combo.Input(name, options or None, optional=optional)
    return io.Custom(kind).Input(name, optional=optional)
