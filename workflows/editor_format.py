"""A workflow as the graph editor saves it (UI format, 0.4) -> API format, as the editor's own Export (API) gives.

The editor keeps the values of widgets by position; their names come from the nodes' definitions. Frontend-only
nodes (notes, reroutes, primitives) disappear, muted nodes too, bypassed ones pass their inputs on, and subgraphs are
unfolded, their nodes numbered "outer:inner".
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..models_hub.errors import WorkflowError
from .definitions import Definitions, inputs_of, known_definitions
from .graph import nearest

WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COMFY_DYNAMICCOMBO_V3")
DYNAMIC = "COMFY_DYNAMICCOMBO_V3"
NOTES = ("Note", "MarkdownNote")
MUTED, BYPASSED = 2, 4
INPUT_SIDE, OUTPUT_SIDE = -10, -20
"""Ids that stand for a subgraph's own inputs and outputs."""

_UPLOADS = {"image_upload": 1, "video_upload": 1, "audio_upload": 2}  # widgets beside the choice: button, player
_CONTROLS = ("fixed", "increment", "decrement", "randomize", "increment-wrap")


def is_editor_format(data: Any) -> bool:
    """Whether this is a workflow as the graph editor saves it."""
    return isinstance(data, dict) and isinstance(data.get("nodes"), list)


def api_format(data: Mapping[str, Any], source: str, definitions: Definitions | None = None) -> dict[str, Any]:
    """The workflow as a prompt: {id: {"inputs", "class_type", "_meta"}}.

    Args:
        data: the content of a workflow file of the graph editor.
        source: where it comes from, for messages.
        definitions: of the nodes; None means ours and those of core nodes.

    Raises:
        WorkflowError: a node is unknown, a link leads nowhere, or the file has another form.
    """
    known = known_definitions() if definitions is None else definitions
    try:
        subgraphs = {entry["id"]: entry for entry in (data.get("definitions") or {}).get("subgraphs", [])}
        graph = _Graph(data, subgraphs, known, source)
        return dict(graph.prompt())
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError) as error:
        raise WorkflowError(
            f"{source} is not a complete workflow of the graph editor ({type(error).__name__}: {error}); open it in "
            "ComfyUI and save it again."
        ) from error


@dataclass
class _Graph:
    """One level: the workflow, or the inside of a subgraph."""

    data: Mapping[str, Any]
    subgraphs: Mapping[str, Mapping[str, Any]]
    known: Definitions
    source: str
    prefix: str = ""
    outer: "_Graph | None" = None
    shell: Mapping[str, Any] = field(default_factory=dict)  # the node of the outer graph that this is the inside of

    def __post_init__(self) -> None:
        self.nodes = {node["id"]: node for node in self.data["nodes"]}
        self.links = {}
        for link in self.data.get("links") or []:
            if isinstance(link, Mapping):
                link = [link[key] for key in ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")]
            self.links[link[0]] = link
        self.inside = {
            number: _Graph(self.subgraphs[node["type"]], self.subgraphs, self.known, self.source,
                           f"{self.prefix}{number}:", self, node)
            for number, node in self.nodes.items()
            if node["type"] in self.subgraphs
        }  # fmt: skip

    def prompt(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(id, entry) of every node that runs."""
        for number, node in sorted(self.nodes.items(), key=lambda item: item[1].get("order", 0)):
            if node.get("mode", 0) in (MUTED, BYPASSED) or node["type"] in (*NOTES, "Reroute", "PrimitiveNode"):
                continue
            if number in self.inside:
                yield from self.inside[number].prompt()
                continue
            definition = self.definition(node)
            title = node.get("title") or definition.get("display_name") or node["type"]
            yield (
                f"{self.prefix}{number}",
                {
                    "inputs": self.inputs(node),
                    "class_type": node["type"],
                    "_meta": {"title": title},
                },
            )

    def definition(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a node takes and gives."""
        if node["type"] not in self.known:
            raise WorkflowError(
                f"{self.source}: node {self.prefix}{node['id']} is a {node['type']!r}, which is not known here, so its "
                f"widgets have no names.{nearest(node['type'], list(self.known))} Use Export (API) in ComfyUI, or give "
                "--server with one that has this node."
            )
        return self.known[node["type"]]

    def inputs(self, node: Mapping[str, Any]) -> dict[str, Any]:
        """Values of the widgets, then links."""
        values = self.widgets(node)
        values = {name: {"__value__": value} if isinstance(value, list) else value for name, value in values.items()}
        for socket in node.get("inputs") or []:
            if socket.get("link") is not None:
                found = self.origin(socket["link"])
                values.pop(socket["name"], None) if found is None else values.update({socket["name"]: found})
        return values

    def widgets(self, node: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a node's widgets by name."""
        inputs = inputs_of(self.definition(node))
        given = node.get("widgets_values")
        if isinstance(given, Mapping):  # some nodes keep them by name
            return {name: given[name] for name, (kind, _) in inputs.items() if name in given and _is_widget(kind, {})}
        values = list(given or [])
        found: dict[str, Any] = {}
        for name, (kind, facts) in inputs.items():
            if _is_widget(kind, facts):
                found |= _take(name, kind, facts, values)
        return found

    def origin(self, link: int) -> list | Any | None:
        """Where a link comes from: [node, slot], a primitive's value, or None if it leads nowhere."""
        if link not in self.links:
            raise WorkflowError(f"{self.source}: link {link} is used but not listed; open and save it in ComfyUI.")
        _, number, slot, *_ = self.links[link]
        if number == INPUT_SIDE:
            return self.from_outside(slot)
        node = self.nodes[number]
        if number in self.inside and node.get("mode", 0) == 0:
            return self.inside[number].to_outside(slot)
        if node["type"] == "PrimitiveNode":
            return node["widgets_values"][0]
        if node["type"] == "Reroute":
            return self.followed(node["inputs"][0])
        if node.get("mode", 0) == MUTED:
            return None
        if node.get("mode", 0) == BYPASSED:
            return self.passed_on(node, slot)
        return [f"{self.prefix}{number}", slot]

    def followed(self, socket: Mapping[str, Any]) -> list | Any | None:
        """Where an input's value comes from."""
        return None if socket.get("link") is None else self.origin(socket["link"])

    def passed_on(self, node: Mapping[str, Any], slot: int) -> list | Any | None:
        """What a bypassed node gives: its input of the same type, first the one at the same place."""
        kind = node["outputs"][slot]["type"]
        sockets = node.get("inputs") or []
        for socket in [*sockets[slot : slot + 1], *sockets]:
            if socket["type"] == kind and socket.get("link") is not None:
                return self.origin(socket["link"])
        return None

    def from_outside(self, slot: int) -> list | Any | None:
        """What comes in through a subgraph's own input."""
        name = self.data["inputs"][slot]["name"]
        socket = next(entry for entry in self.shell["inputs"] if entry["name"] == name)
        if socket.get("link") is not None:
            return self.outer.origin(socket["link"])
        return self.promoted().get(name)

    def promoted(self) -> dict[str, Any]:
        """Values of the widgets that the subgraph's node shows, by the name of its input."""
        shown = [entry["name"] for entry in self.shell["inputs"] if entry.get("widget")]
        return dict(zip(shown, self.shell.get("widgets_values") or [], strict=False))

    def to_outside(self, slot: int) -> list | Any | None:
        """What goes out through a subgraph's own output."""
        for number, link in self.links.items():
            if link[3] == OUTPUT_SIDE and link[4] == slot:
                return self.origin(number)
        return None


def _is_widget(kind: str, facts: Mapping[str, Any]) -> bool:
    return kind in WIDGETS and not facts.get("forceInput")


def _take(name: str, kind: str, facts: Mapping[str, Any], values: list) -> dict[str, Any]:
    """Take a widget's value, and those that belong to it, off the front of `values`."""
    options = facts.get("options") or []
    if kind == DYNAMIC:
        chosen = values.pop(0) if values else (options[0]["key"] if options else None)
        found = {name: chosen}
        inner = next((option["inputs"] for option in options if option["key"] == chosen), {})
        for part, (inner_kind, inner_facts) in inputs_of({"input": inner}).items():
            if _is_widget(inner_kind, inner_facts):
                found |= _take(f"{name}.{part}", inner_kind, inner_facts, values)
        return found
    default = facts.get("default", options[0] if options else "" if kind == "STRING" else None)
    found = {name: values.pop(0) if values else default}
    if kind == "INT" and facts.get("control_after_generate") and values and values[0] in _CONTROLS:
        values.pop(0)
    for upload, count in _UPLOADS.items():
        if facts.get(upload):
            del values[:count]
    return found


def dumped(prompt: Mapping[str, Any]) -> str:
    """A prompt as the text of a file."""
    return json.dumps(prompt, indent=2, ensure_ascii=False) + "\n"
