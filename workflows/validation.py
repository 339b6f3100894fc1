"""What is wrong with a workflow, found before anything runs. ComfyUI's rules, one sentence for each problem."""

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..models_hub.errors import ArticulateError, WorkflowError
from ..nodes import host, standin
from .graph import Link, Node, Workflow, nearest

Nodes = Mapping[str, type]
"""Node classes by class_type."""

_NUMBERS = {"INT": int, "FLOAT": float}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. `input` is empty where the node itself is."""

    node: str
    title: str
    input: str
    message: str

    def __str__(self) -> str:
        place = f"node {self.node} ({self.title})" if self.node else "workflow"
        return f"{place}, input {self.input!r}: {self.message}" if self.input else f"{place}: {self.message}"


def output_nodes(workflow: Workflow, nodes: Nodes) -> list[str]:
    """Ids of the nodes that write or show something; these are what a workflow is run for."""
    known = {key: node for key, node in workflow.nodes.items() if node.class_type in nodes}
    return [key for key, node in known.items() if nodes[node.class_type].GET_SCHEMA().is_output_node]


def checked(workflow: Workflow, nodes: Nodes, targets: list[str] | None = None) -> Workflow:
    """The workflow with every value in the type that its input takes.

    Args:
        workflow: what to check.
        nodes: the known node classes.
        targets: ids of the nodes to run; None means all output nodes.

    Raises:
        WorkflowError: all problems at once, one line each.
    """
    problems, values = _find(workflow, nodes, targets)
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise WorkflowError(f"{workflow.source} cannot be run as it stands; {count}:\n{lines}")
    for (node, name), value in values.items():
        if type(value) is not type(workflow.nodes[node].inputs[name]):
            workflow = workflow.with_input(node, name, value)
    return workflow


def find_problems(workflow: Workflow, nodes: Nodes, targets: list[str] | None = None) -> list[Problem]:
    """Everything that is wrong with a workflow; empty if it can run.

    Nodes that no target needs may be unfinished; they are looked at once anything else is wrong.
    """
    return _find(workflow, nodes, targets)[0]


def _find(
    workflow: Workflow, nodes: Nodes, targets: list[str] | None
) -> tuple[list[Problem], dict[tuple[str, str], Any]]:
    problems: list[Problem] = []
    values: dict[tuple[str, str], Any] = {}
    for node in workflow.nodes.values():
        if node.class_type not in nodes:
            hint = nearest(node.class_type, list(nodes))
            message = f"no node of class {node.class_type!r} is known here.{hint} Remove it, or run this in ComfyUI."
            problems.append(Problem(node.id, node.title, "", message))
    if targets is None:
        targets = output_nodes(workflow, nodes)
        if not targets and not problems:
            message = "no node writes or shows anything; add an output node such as SaveVideo, SaveImage or SaveAudio."
            problems.append(Problem("", "", "", message))
    needed = workflow.needed_by(targets or list(workflow.nodes))
    for identifier in needed:
        node = workflow.nodes[identifier]
        if node.class_type in nodes:
            _check_node(workflow, node, nodes, problems, values)
    problems += _cycles(workflow)
    if problems:  # a wrong link may hide what should have been needed, so tell of everything at once
        for node in workflow.nodes.values():
            if node.id not in needed and node.class_type in nodes:
                _check_node(workflow, node, nodes, problems, {})
    return problems, values


def _check_node(
    workflow: Workflow,
    node: Node,
    nodes: Nodes,
    problems: list[Problem],
    values: dict[tuple[str, str], Any],
) -> None:
    cls = nodes[node.class_type]
    own_check = own_method(cls, "validate_inputs")
    parameters = inspect.signature(own_check).parameters if own_check else {}
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    given: dict[str, Any] = {}
    types: dict[str, str] = {}
    before = len(problems)

    def problem(name: str, message: str) -> None:
        problems.append(Problem(node.id, node.title, name, message))

    for socket in cls.GET_SCHEMA().inputs:
        name = socket.id
        if name not in node.inputs:
            if not socket.optional:
                problem(name, f"a {socket.get_io_type()} is required, but nothing is linked or given.")
            continue
        value = node.inputs[name]
        if isinstance(value, Link):
            message, received = _check_link(workflow, value, nodes, socket.get_io_type(), "input_types" in parameters)
            given[name] = None
            if received:
                types[name] = received
        else:
            try:
                value, message = _converted(value, socket), ""
            except ValueError as error:
                message = str(error)
            else:
                given[name] = values[node.id, name] = value
                if name not in parameters and not takes_all:
                    message = outside(value, socket)
        if message:
            problem(name, message)
    if own_check is not None and len(problems) == before:
        try:
            verdict = own_check(**accepted(own_check, given | {"input_types": types}))
        except ArticulateError as error:
            verdict = str(error)
        if verdict is not True:
            named = [name for name in parameters if name in given]
            problem(
                named[0] if len(named) == 1 else "",
                verdict if isinstance(verdict, str) else "its inputs do not fit together.",
            )


def _check_link(workflow: Workflow, link: Link, nodes: Nodes, wanted: str, any_type: bool) -> tuple[str, str]:
    source = workflow.nodes.get(link.node)
    if source is None:
        return f"it is linked to node {link.node}, which is not in the workflow.", ""
    if source.class_type not in nodes:
        return "", ""
    outputs = nodes[source.class_type].GET_SCHEMA().outputs
    if not 0 <= link.slot < len(outputs):
        have = f"{len(outputs)} output{'s' if len(outputs) != 1 else ''}, counted from 0"
        return f"it is linked to output {link.slot} of node {link.node} ({source.title}), which has {have}.", ""
    received = outputs[link.slot].get_io_type()
    fits = any_type or "*" in (received, wanted) or set(received.split(",")) & set(wanted.split(","))
    if fits:
        return "", received
    return f"it takes {wanted}, but output {link.slot} of node {link.node} ({source.title}) gives {received}.", received


def _converted(value: Any, socket: Any) -> Any:
    """The value in the type of a widget; ValueError says why that cannot be."""
    kind = socket.get_io_type()
    if kind in _NUMBERS:
        return _number(value, kind)
    if kind == "STRING":
        if isinstance(value, list | dict):
            raise ValueError(f"it takes text, not {value!r}.")
        return str(value)
    if kind == "BOOLEAN":
        if not isinstance(value, bool | int) or value not in (0, 1):
            raise ValueError(f"it takes true or false, not {value!r}.")
        return bool(value)
    override = getattr(socket, "input_override", None)
    if override is not None:
        return _converted(value, override)
    if kind == "COMBO" and (value is None or isinstance(value, list | dict)):
        raise ValueError(f"it takes one of its choices, not {value!r}.")
    if hasattr(socket, "default"):  # every widget has one
        return value
    raise ValueError(f"it takes {kind} from another node, but {value!r} is given.")


def _number(value: Any, kind: str) -> int | float:
    article = "a whole number" if kind == "INT" else "a number"
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
        if not math.isfinite(number) or (kind == "INT" and number != int(number)):
            raise ValueError
        return int(value) if kind == "INT" else number
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"it takes {article}, not {value!r}.") from error


def outside(value: Any, socket: Any) -> str:
    """Why a value is not in the range of an input, or none of its choices; empty if it is."""
    lowest, highest = getattr(socket, "min", None), getattr(socket, "max", None)
    if lowest is not None and value < lowest:
        return f"{value} is below the least value, {lowest}."
    if highest is not None and value > highest:
        return f"{value} is above the greatest value, {highest}."
    options = getattr(socket, "options", None)
    if socket.get_io_type() == "COMBO" and options is not None and value not in options:
        shown = ", ".join(map(repr, options[:20])) + (", ..." if len(options) > 20 else "")
        return f"{value!r} is not one of {shown}.{nearest(str(value), [str(option) for option in options])}"
    return ""


def _cycles(workflow: Workflow) -> list[Problem]:
    """One problem for each cycle that a walk along the links closes."""
    problems: list[Problem] = []
    done: set[str] = set()
    for start in workflow.nodes:
        path: list[str] = []
        walks = [iter((start,))]
        while walks:
            following = next(walks[-1], None)
            if following is None:
                walks.pop()
                if path:
                    done.add(path.pop())
            elif following in path:
                ring = [*path[path.index(following) :], following]
                chain = " <- ".join(f"{key} ({workflow.nodes[key].title})" for key in ring)
                problems.append(Problem(following, workflow.nodes[following].title, "", f"it needs itself: {chain}."))
            elif following in workflow.nodes and following not in done:
                path.append(following)
                walks.append(iter([link.node for link in workflow.nodes[following].links.values()]))
    return problems


def own_method(cls: type, name: str) -> Any:
    """A class method that the node itself defines, or None if it has only the base's."""
    method = getattr(cls, name)
    inherited = [getattr(base, name).__func__ for base in (host.io.ComfyNode, standin.io.ComfyNode)]
    return None if method.__func__ in inherited else method


def accepted(method: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Those of the arguments that a method names; all but "input_types" if it takes any."""
    parameters = inspect.signature(method).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return {
        name: value for name, value in arguments.items() if name in parameters or (takes_all and name != "input_types")
    }
