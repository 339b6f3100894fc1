"""Articulate: a portrait and a voice recording go in, a talking video comes out.

ComfyUI loads this folder by path and calls `comfy_entrypoint`; scripts import it as `articulate`.
Nothing is loaded before it is used.
"""

import sys

__version__ = "0.1.0"

WEB_DIRECTORY = "./web"
"""Where ComfyUI finds the help pages of the nodes."""

OLDEST_COMFYUI = "0.20.0"
"""The same as `requires-comfyui` in pyproject.toml, which nothing checks when the pack is cloned by hand."""


async def comfy_entrypoint():
    """The door that ComfyUI knocks on: the extension with all nodes.

    Raises:
        RuntimeError: this ComfyUI is too old; it shows the message in its log.
    """
    _check_host()
    from .nodes import ArticulateExtension

    return ArticulateExtension()


def _check_host() -> None:
    if "comfy_api" not in sys.modules:
        return  # a script
    from comfyui_version import __version__ as present

    def parts(version: str) -> list[int]:
        return [int(part) for part in version.split("+")[0].split(".")[:3] if part.isdigit()]

    if parts(present) < parts(OLDEST_COMFYUI):
        raise RuntimeError(
            f"Articulate needs ComfyUI {OLDEST_COMFYUI} or newer, but this is {present}; update ComfyUI and start it "
            "again."
        )


def run(workflow, settings=None, **options):
    """Run a workflow without ComfyUI, or on a running one.

    Args:
        workflow: a file in API format or of the graph editor, or its content.
        settings: values by "NODE.INPUT" that replace those of the workflow.
        options: `output_dir`, `input_dir`, `targets`, `quiet`, `precision`; see `workflows.runner.Runner.run`. With
            `server="http://host:8188"` that ComfyUI runs it; see `workflows.remote.run.run_on_server`.

    Returns:
        A `RunResult`: outputs and written files by node id, and the seconds that each node took.

    Raises:
        ArticulateError: the workflow, an input or a file cannot be used; the message says why.
    """
    from .workflows.runner import run as execute

    return execute(workflow, settings, **options)
