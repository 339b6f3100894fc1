"""Runs workflows without ComfyUI: check, then execute every node that an output node needs, once."""

import asyncio
import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ..models_hub.errors import ArticulateError, WorkflowError
from ..models_hub.stages.inference import runtime_on, using_runtime
from ..nodes.standin import io
from ..nodes.standin.execution import Execution, at_node, executing, execution, temp_folder
from .core_nodes import CORE_NODES
from .definitions import inputs_of
from .graph import Link, Node, Workflow, load_workflow, nearest
from .validation import Nodes, accepted, checked, output_nodes, own_method

Settings = Mapping[str, Any]
"""Values by "NODE.INPUT"; NODE is an id, a title or a class."""

NO_NETWORK = (
    "A server cannot be asked from this copy: the one of ComfyUI's registry holds no network code. Clone the "
    "repository and run it from there."
)


@lru_cache(maxsize=1)
def known_nodes() -> dict[str, type]:
    """All node classes that can run here, by class_type: ours and the core nodes."""
    from ..nodes import ArticulateExtension

    with ThreadPoolExecutor(1) as thread:  # a thread of its own, as a notebook has an event loop in this one
        ours = thread.submit(asyncio.run, ArticulateExtension().get_node_list()).result()
    return {cls.GET_SCHEMA().node_id: cls for cls in (*CORE_NODES, *ours)}


@dataclass
class RunResult:
    """What a run gave.

    Attributes:
        outputs: the outputs of the nodes that the run was for, by node id.
        files: paths of the files that each node wrote, by node id.
        texts: what nodes have to say, by node id.
        seconds: time that each executed node took; nodes whose result was kept from before are not in it.
        reused: ids of the nodes whose result was kept.
    """

    outputs: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    files: dict[str, list[Path]] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    reused: list[str] = field(default_factory=list)


class Runner:
    """Executes workflows one after the other and keeps the results of nodes whose inputs did not change.

    A run on another device or in another precision starts anew.

    Args:
        nodes: node classes by class_type; None means all that are known.
    """

    def __init__(self, nodes: Nodes | None = None):
        self.nodes = nodes
        self._kept: dict[str, io.NodeOutput] = {}
        self._kept_of: tuple[torch.device, torch.dtype] | None = None  # where and in what precision they were made

    def run(
        self,
        workflow: str | os.PathLike | Mapping[str, Any] | Workflow,
        settings: Settings | None = None,
        *,
        output_dir: str | os.PathLike = "output",
        input_dir: str | os.PathLike = "input",
        targets: list[str] | None = None,
        quiet: bool = True,
        precision: str = "auto",
        device: str = "auto",
    ) -> RunResult:
        """Check a workflow and execute it.

        Args:
            workflow: path of a file in API format, its content, or a loaded workflow.
            settings: values that replace those of the workflow.
            output_dir: where output nodes write.
            input_dir: where input files are looked for first; then come the workflow's folder, the current one
                and, for the workflows of this pack, its samples.
            targets: ids of the nodes to run; None means all output nodes.
            quiet: no progress on stderr.
            precision: "float32" computes as ComfyUI does on a CPU, so that frames are equal bit by bit; "auto" uses
                bfloat16 where the processor has it, which is faster.
            device: where the networks run, as `runtime_on` takes it.

        Raises:
            WorkflowError: the workflow cannot be run as it stands; nothing was executed.
            ArticulateError: a node could not do its work; the message names the node.
        """
        nodes = known_nodes() if self.nodes is None else self.nodes
        if not isinstance(workflow, Workflow):
            workflow = load_workflow(workflow)
        folders = workflow.input_folders(input_dir)
        place = runtime_on(device, precision)
        if self._kept_of != (made_on := (place.device, place.dtype(place.device))):
            self._kept, self._kept_of = {}, made_on
        with executing(Execution(folders, Path(output_dir), quiet)), using_runtime(place), torch.inference_mode():
            workflow = checked(with_settings(workflow, settings or {}, nodes), nodes, targets)
            targets = output_nodes(workflow, nodes) if targets is None else targets
            return self._execute(workflow, nodes, targets, quiet)

    def _execute(self, workflow: Workflow, nodes: Nodes, targets: list[str], quiet: bool) -> RunResult:
        result = RunResult()
        done: dict[str, io.NodeOutput] = {}
        keys: dict[str, str] = {}
        wanted: dict[str, set[str]] = {}  # lazy inputs that turned out to be needed
        kept: dict[str, io.NodeOutput] = {}
        stack = list(reversed(targets))
        while stack:
            node = workflow.nodes[stack[-1]]
            cls = nodes[node.class_type]
            waiting = _waiting_for(node, cls, done, wanted)
            if node.id in done or waiting:
                stack = stack[:-1] if node.id in done else stack + waiting[::-1]
                continue
            keys[node.id] = key = _key(node, cls, keys)
            if key in self._kept or key in kept:
                done[node.id] = self._kept.get(key) or kept[key]
                result.reused.append(node.id)
            else:
                started = time.perf_counter()
                done[node.id] = _run_node(workflow, node, cls, done)
                result.seconds[node.id] = time.perf_counter() - started
                if not quiet:
                    print(f"{result.seconds[node.id]:8.2f} s  {_label(node, cls)}", file=sys.stderr, flush=True)
            kept[key] = done[node.id]
            _collect(result, node.id, done[node.id])
        self._kept = kept
        result.outputs = {target: done[target].result or () for target in targets}
        return result


def run(
    workflow: str | os.PathLike | Mapping[str, Any] | Workflow,
    settings: Settings | None = None,
    server: str | None = None,
    **options: Any,
) -> RunResult:
    """Run a workflow once; see `Runner.run` for the options.

    Args:
        workflow, settings: as there.
        server: address of a ComfyUI that runs it instead; see `remote.run.run_on_server` for the options.
    """
    if server is None:
        return Runner().run(workflow, settings, **options)
    try:
        from .remote.run import run_on_server
    except ModuleNotFoundError as error:
        raise WorkflowError(NO_NETWORK) from error
    return run_on_server(workflow, server, settings, **options)


def with_settings(
    workflow: Workflow,
    settings: Settings,
    nodes: Nodes | None = None,
    definitions: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """The workflow with other values at some inputs.

    Texts for inputs that are not texts are read as JSON, so that "0.5", "true" and '["4", 0]' mean what they say.

    Args:
        workflow: the workflow.
        settings: values by "NODE.INPUT".
        nodes: the node classes that can run here; or else
        definitions: of the nodes that a server has.

    Raises:
        WorkflowError: a setting names no node, or an input that the node does not have.
    """
    for place, value in settings.items():
        node, name = _place(workflow, place)
        types = _input_types(node.class_type, nodes, definitions or {})
        if types is None:
            continue  # reported by the check
        if name not in types and name.split(".")[0] not in types:
            raise WorkflowError(
                f"{place!r}: node {node.id} ({node.title}) has no input {name!r}; it has {', '.join(types)}."
                + nearest(name, list(types))
            )
        if isinstance(value, str) and types.get(name) not in ("STRING", "COMBO", None):
            with suppress(json.JSONDecodeError):  # if it is no JSON, the check says what the input takes
                value = json.loads(value)
        workflow = workflow.with_input(node.id, name, value)
    return workflow


def _input_types(
    class_type: str, nodes: Nodes | None, definitions: Mapping[str, Mapping[str, Any]]
) -> dict[str, str] | None:
    """The type of each input of a class, or None if the class is not known."""
    if nodes is not None:
        cls = nodes.get(class_type)
        return None if cls is None else {socket.id: socket.get_io_type() for socket in cls.GET_SCHEMA().inputs}
    if class_type not in definitions:
        return None
    return {name: kind for name, (kind, _) in inputs_of(definitions[class_type]).items()}


def _place(workflow: Workflow, place: str) -> tuple[Node, str]:
    parts = place.split(".")
    for end in range(1, len(parts)):
        node, name = ".".join(parts[:end]), ".".join(parts[end:])
        if node in workflow.nodes or any(node in (one.title, one.class_type) for one in workflow.nodes.values()):
            return workflow.find(node), name
    if len(parts) < 2:
        raise WorkflowError(f"{place!r} does not name an input; write NODE.INPUT, such as 3.seed.")
    return workflow.find(parts[0]), ".".join(parts[1:])


def _waiting_for(node: Node, cls: type, done: dict[str, io.NodeOutput], wanted: dict[str, set[str]]) -> list[str]:
    """Ids of nodes that must run before this one. Lazy inputs count only once the node has asked for them."""
    sockets = {socket.id: socket for socket in cls.GET_SCHEMA().inputs}
    lazy = {name for name, socket in sockets.items() if socket.lazy and name in node.links}
    links = {name: link for name, link in node.links.items() if name in sockets}
    missing = [link.node for name, link in links.items() if name not in lazy and link.node not in done]
    if missing or not lazy:
        return missing
    inputs = {name: None if name in lazy else value for name, value in _inputs(node, cls, done).items()}
    inputs |= {name: done[links[name].node].args[links[name].slot] for name in lazy if links[name].node in done}
    wanted.setdefault(node.id, set()).update(set(cls.check_lazy_status(**inputs)) & lazy)
    return [links[name].node for name in sorted(wanted[node.id]) if links[name].node not in done]


def _inputs(node: Node, cls: type, done: dict[str, io.NodeOutput]) -> dict[str, Any]:
    values = {}
    for socket in cls.GET_SCHEMA().inputs:
        value = node.inputs.get(socket.id)
        if isinstance(value, Link):
            values[socket.id] = done[value.node].args[value.slot] if value.node in done else None
        elif socket.id in node.inputs:
            values[socket.id] = value
    return values


def _key(node: Node, cls: type, keys: dict[str, str]) -> str:
    """A text that is the same for two executions that must give the same."""
    schema = cls.GET_SCHEMA()
    own = node.id if schema.not_idempotent or io.Hidden.unique_id in schema.hidden else ""
    parts: list[Any] = [node.class_type, own]
    for socket in schema.inputs:
        value = node.inputs.get(socket.id)
        parts.append((socket.id, (keys.get(value.node), value.slot) if isinstance(value, Link) else repr(value)))
    fingerprint = own_method(cls, "fingerprint_inputs")
    if fingerprint is not None:
        constants = {name: None if isinstance(value, Link) else value for name, value in node.inputs.items()}
        value = fingerprint(**accepted(fingerprint, constants))
        parts.append(repr(value) if value == value else time.monotonic_ns())  # NaN: always run again
    if schema.is_output_node:
        parts.append(str(execution().output_folder.resolve()))
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _run_node(workflow: Workflow, node: Node, cls: type, done: dict[str, io.NodeOutput]) -> io.NodeOutput:
    hidden = {io.Hidden.unique_id: node.id, io.Hidden.prompt: workflow.prompt, io.Hidden.extra_pnginfo: None}
    wanted = [fact.value for fact in cls.GET_SCHEMA().hidden]
    clone = cls.PREPARE_CLASS_CLONE({"hidden_inputs": {fact: hidden[fact] for fact in hidden if fact.value in wanted}})
    label = _label(node, cls)
    try:
        with executing(at_node(label)):
            output = clone.execute(**_inputs(node, cls, done))
    except ArticulateError as error:
        raise type(error)(f"{label}: {error}") from error
    except Exception as error:
        error.add_note(f"This happened in {label}.")
        raise
    return output if hasattr(output, "args") else io.NodeOutput(*(output or ()))


def _label(node: Node, cls: type) -> str:
    schema = cls.GET_SCHEMA()
    name = schema.display_name or schema.node_id
    return f"{name} (node {node.id})"


def _collect(result: RunResult, identifier: str, output: io.NodeOutput) -> None:
    shown = output.ui.as_dict() if hasattr(output.ui, "as_dict") else output.ui or {}
    for entries in shown.values():
        for entry in entries:
            if isinstance(entry, Mapping) and "filename" in entry:
                folder = temp_folder() if entry["type"] == "temp" else execution().output_folder
                path = (folder / entry["subfolder"] / entry["filename"]).resolve()
                result.files.setdefault(identifier, []).append(path)
            elif isinstance(entry, str):
                result.texts.setdefault(identifier, []).append(entry)
