"""Articulate: a portrait and a voice recording go in, a talking video comes out.

ComfyUI loads this folder by path and calls `comfy_entrypoint`; scripts import it as `articulate`.
Nothing is loaded before it is used.
"""

__version__ = "0.1.0"


async def comfy_entrypoint():
    """The door that ComfyUI knocks on: the extension with all nodes."""
    from .nodes import ArticulateExtension

    return ArticulateExtension()


def run(workflow, settings=None, **options):
    """Run a workflow (a file in API format, or its content) without ComfyUI.

    Args:
        workflow: path or dictionary.
        settings: values by "NODE.INPUT" that replace those of the workflow.
        options: `output_dir`, `input_dir`, `targets`, `quiet`; see `workflows.runner.Runner.run`.

    Returns:
        A `RunResult`: outputs and written files by node id, and the seconds that each node took.

    Raises:
        ArticulateError: the workflow, an input or a file cannot be used; the message says why.
    """
    from .workflows.runner import run as execute

    return execute(workflow, settings, **options)
