"""A workflow in ComfyUI's API format: nodes by id, with values and links as inputs."""

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..models_hub.errors import WorkflowError

HOW_TO_EXPORT = "in ComfyUI open it and choose Workflow > Export (API), then run the file that this gives"

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent / "samples"


@dataclass(frozen=True)
class Node:
    """One node of a workflow.

    Attributes:
        id: its key in the file.
        class_type: which node it is.
        inputs: a value or a `Link` by input name.
        title: what the graph shows; may be given in the file.
    """

    id: str
    class_type: str
    inputs: dict[str, Any]
    title: str

    @property
    def links(self) -> dict[str, "Link"]:
        """The inputs that come from other nodes."""
        return {name: value for name, value in self.inputs.items() if isinstance(value, Link)}


@dataclass(frozen=True)
class Link:
    """Output number `slot` of node `node`."""

    node: str
    slot: int


@dataclass(frozen=True)
class Workflow:
    """A workflow that has the right form; whether it makes sense is for `validation.find_problems`.

    Attributes:
        nodes: by id, in the order of the file.
        source: where it comes from, for messages.
        folder: the folder of the file; relative file names inside it may mean files there.
        prompt: the JSON object itself, which output nodes keep in the files that they write.
    """

    nodes: dict[str, Node]
    source: str
    folder: Path | None
    prompt: dict[str, Any]

    def input_folders(self, first: str | os.PathLike) -> tuple[Path, ...]:
        """Where its input files are looked for: `first`, its own folder, the current one, and, for the workflows of
        this pack, the samples that they name."""
        ours = self.folder is not None and self.folder.resolve().is_relative_to(HERE)
        return tuple(dict.fromkeys((Path(first), *filter(None, [self.folder]), Path(), *([SAMPLES] if ours else []))))

    def find(self, name: str) -> Node:
        """The node with an id, or else the only one with that title or class.

        Raises:
            WorkflowError: there is none, or more than one.
        """
        if name in self.nodes:
            return self.nodes[name]
        found = [node for node in self.nodes.values() if name in (node.title, node.class_type)]
        if len(found) == 1:
            return found[0]
        known = ", ".join(f"{node.id} ({node.title})" for node in self.nodes.values())
        if found:
            raise WorkflowError(f"{name!r} means several nodes of {self.source}; name one by its id: {known}.")
        raise WorkflowError(f"{self.source} has no node {name!r}; it has {known}.")

    def with_input(self, node: str, name: str, value: Any) -> "Workflow":
        """The workflow with another value (or [node, slot] link) at one input."""
        changed = self.nodes[node]
        inputs = {**changed.inputs, name: _input(value)}
        entry = {**self.prompt[node], "inputs": {**self.prompt[node].get("inputs", {}), name: value}}
        return replace(
            self,
            nodes={**self.nodes, node: replace(changed, inputs=inputs)},
            prompt={**self.prompt, node: entry},
        )

    def needed_by(self, targets: list[str]) -> list[str]:
        """Ids of the nodes that `targets` need, themselves included, each after those it needs.

        Links to missing nodes are left out; a cycle is cut where it closes.
        """
        order: list[str] = []
        entered: set[str] = set()
        stack = [(target, False) for target in reversed(targets)]
        while stack:
            identifier, left = stack.pop()
            if left:
                order.append(identifier)
            elif identifier in self.nodes and identifier not in entered:
                entered.add(identifier)
                stack.append((identifier, True))
                stack += [(link.node, False) for link in reversed(self.nodes[identifier].links.values())]
        return order


def load_workflow(
    source: str | os.PathLike | Mapping[str, Any], definitions: Mapping[str, Any] | None = None
) -> Workflow:
    """Read a workflow file, or take a workflow as a dictionary.

    Args:
        source: in API format, or as the graph editor saves it, which is converted.
        definitions: of the nodes, for that conversion; see `editor_format.api_format`.

    Raises:
        WorkflowError: the file is missing, not JSON, has no nodes, or cannot be converted.
    """
    if isinstance(source, Mapping):
        return _workflow(dict(source), "The workflow", None, definitions)
    path = Path(source).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise WorkflowError(f"There is no workflow file at {path}; check the spelling.") from error
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WorkflowError(f"{path} cannot be read as a workflow ({reason}); give a JSON file.") from error
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise WorkflowError(f"{path} is not JSON ({error}); give a workflow in API format: {HOW_TO_EXPORT}.") from error
    return _workflow(data, str(path), path.resolve().parent, definitions)


def _workflow(data: Any, source: str, folder: Path | None, definitions: Mapping[str, Any] | None = None) -> Workflow:
    from .editor_format import api_format, is_editor_format

    if is_editor_format(data):
        data = api_format(data, source, definitions)
    if isinstance(data, dict) and isinstance(data.get("prompt"), dict) and "class_type" not in data["prompt"]:
        data = data["prompt"]  # what scripts send to a server
    if not isinstance(data, dict) or not data:
        raise WorkflowError(f"{source} holds no nodes; give a workflow in API format: {HOW_TO_EXPORT}.")
    nodes = {}
    for identifier, entry in data.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("class_type"), str):
            raise WorkflowError(f"Entry {identifier!r} of {source} is not a node with a class_type; {HOW_TO_EXPORT}.")
        inputs = entry.get("inputs", {})
        if not isinstance(inputs, dict):
            raise WorkflowError(f"The inputs of node {identifier} in {source} are not a JSON object; {HOW_TO_EXPORT}.")
        meta = entry.get("_meta")
        title = meta.get("title") if isinstance(meta, dict) else None
        nodes[identifier] = Node(
            id=identifier,
            class_type=entry["class_type"],
            inputs={name: _input(value) for name, value in inputs.items()},
            title=title if isinstance(title, str) and title else entry["class_type"],
        )
    return Workflow(nodes, source, folder, data)


def _input(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 2 and type(value[1]) is int and isinstance(value[0], str | int):
        return Link(str(value[0]), value[1])
    if isinstance(value, dict) and set(value) == {"__value__"}:
        return value["__value__"]  # how the editor writes a list that is no link
    return value


def nearest(name: str, known: list[str]) -> str:
    """A hint for a misspelt name: " Did you mean ...?", or nothing."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    lower = {candidate.lower(): candidate for candidate in known}
    close = close or [lower[match] for match in difflib.get_close_matches(name.lower(), list(lower), n=1, cutoff=0.5)]
    return f" Did you mean {close[0]!r}?" if close else ""
