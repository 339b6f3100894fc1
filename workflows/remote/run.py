"""Runs a workflow on a running ComfyUI: the same file, the same settings, the same result."""

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...models_hub.errors import ArticulateError, ServerError
from ...nodes.standin.execution import Execution, executing, find_input
from ..definitions import inputs_of
from ..graph import Link, Workflow, load_workflow
from ..runner import RunResult, Settings, with_settings
from .server import Server
from .websocket import WebSocket

UPLOADS = ("image_upload", "audio_upload", "video_upload", "file_upload")
_SILENCE = 5.0  # seconds without a message after which the history is looked at


def run_on_server(
    workflow: str | os.PathLike | Mapping[str, Any],
    server: str,
    settings: Settings | None = None,
    *,
    output_dir: str | os.PathLike = "output",
    input_dir: str | os.PathLike = "input",
    quiet: bool = True,
) -> RunResult:
    """Queue a workflow on a ComfyUI, follow it, and fetch what it wrote.

    Files that input nodes name are looked for here as a headless run does, and uploaded; those that are not here
    must already lie in the server's input folder. Ctrl-C stops the prompt on the server.

    Args:
        workflow: path of a file in API format or of the graph editor, or its content.
        server: the address, such as http://127.0.0.1:8188.
        settings, output_dir, input_dir, quiet: as for `Runner.run`.

    Returns:
        Files by node id, texts and seconds; `outputs` holds only ids, as the values stay on the server.

    Raises:
        WorkflowError: the server refuses the workflow, with all reasons.
        ServerError: the server cannot be reached, or a node failed there.
    """
    host = Server(server)
    definitions = host.definitions()
    loaded = load_workflow(workflow, definitions)
    loaded = with_settings(loaded, settings or {}, definitions=definitions)
    folders = loaded.input_folders(input_dir)
    with executing(Execution(folders, Path(output_dir), quiet)):
        loaded = _uploaded(loaded, host, definitions)
    connection = host.listen()
    prompt_id = host.queue(loaded.prompt)
    try:
        seconds, reused = _follow(host, connection, prompt_id, loaded, quiet)
        result = RunResult(seconds=seconds, reused=reused)
        _collect(host, _outcome(host, prompt_id, loaded), result, Path(output_dir))
        return result
    except KeyboardInterrupt:
        host.interrupt(prompt_id)
        raise
    finally:
        connection.close()


def _uploaded(workflow: Workflow, host: Server, definitions: Mapping[str, Any]) -> Workflow:
    sent: dict[Path, str] = {}
    for node in list(workflow.nodes.values()):
        known = inputs_of(definitions[node.class_type]) if node.class_type in definitions else {}
        for name, (_, facts) in known.items():
            value = node.inputs.get(name)
            if not any(facts.get(upload) for upload in UPLOADS) or isinstance(value, Link | None):
                continue
            try:
                path = find_input(value).resolve()
            except ArticulateError:
                continue  # the server may have it; if not, it says so
            sent[path] = sent.get(path) or host.upload(path)
            workflow = workflow.with_input(node.id, name, sent[path])
    return workflow


def _follow(
    host: Server, connection: WebSocket, prompt_id: str, workflow: Workflow, quiet: bool
) -> tuple[dict[str, float], list[str]]:
    """Wait for the end of a prompt; returns the seconds of each node and the ids of those that were not run."""
    seconds: dict[str, float] = {}
    reused: list[str] = []
    current, since = None, time.perf_counter()
    while True:
        message = connection.receive(_SILENCE)
        if message is None:
            if host.history(prompt_id) is not None:
                return seconds, reused
            continue
        is_text, content = message
        if not is_text:
            continue  # a preview picture
        event = json.loads(content)
        kind, data = event.get("type"), event.get("data") or {}
        if data.get("prompt_id") != prompt_id:
            continue
        if kind == "execution_cached":
            reused = list(data.get("nodes") or [])
        elif kind == "executing":
            now = time.perf_counter()
            if current is not None:
                seconds[current] = seconds.get(current, 0.0) + now - since
                if not quiet:
                    print(f"\r{now - since:8.2f} s  {_title(workflow, current)}   ", file=sys.stderr, flush=True)
            current, since = data.get("node"), now
            if current is None:
                return seconds, reused
        elif kind == "progress" and not quiet:
            place = f"{data.get('value')}/{data.get('max')}"
            print(f"\r  {_title(workflow, data.get('node'))} {place} ", end="", file=sys.stderr, flush=True)
        elif kind in ("execution_success", "execution_error", "execution_interrupted"):
            if current is not None:
                seconds[current] = seconds.get(current, 0.0) + time.perf_counter() - since
            return seconds, reused


def _title(workflow: Workflow, node: str | None) -> str:
    return f"{workflow.nodes[node].title} (node {node})" if node in workflow.nodes else f"node {node}"


def _outcome(host: Server, prompt_id: str, workflow: Workflow) -> dict[str, Any]:
    """The outputs of a finished prompt; they appear a moment after its end."""
    for _ in range(100):
        entry = host.history(prompt_id)
        if entry is not None:
            break
        time.sleep(0.1)
    else:
        raise ServerError(f"{host.base} finished the prompt {prompt_id}, but its history does not show it; try again.")
    for kind, data in entry["status"].get("messages", []):
        if kind == "execution_error":
            place = _title(workflow, str(data.get("node_id")))
            raise ServerError(f"{place} failed on {host.base}: {str(data.get('exception_message')).strip()}")
        if kind == "execution_interrupted":
            raise ServerError(f"The prompt was interrupted on {host.base}, by another user or at its page.")
    return entry.get("outputs") or {}


def _collect(host: Server, outputs: dict[str, Any], result: RunResult, folder: Path) -> None:
    for node, shown in outputs.items():
        result.outputs[node] = ()
        for entries in shown.values():
            for entry in entries if isinstance(entries, list | tuple) else []:
                if isinstance(entry, Mapping) and "filename" in entry:
                    below = "previews" if entry.get("type") == "temp" else ""
                    path = _free(folder / below / (entry.get("subfolder") or "") / entry["filename"], folder)
                    host.fetch(dict(entry), path)
                    result.files.setdefault(node, []).append(path.resolve())
                elif isinstance(entry, str):
                    result.texts.setdefault(node, []).append(entry)


def _free(path: Path, folder: Path) -> Path:
    """The path, or with a number in its name if there is a file already; never outside of the folder."""
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ServerError(f"The server names an output {path} that leads out of {folder}; it was not fetched.")
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem} ({number}){path.suffix}")
    return free
