"""Articulate: a portrait and a voice recording go in, a talking video comes out.

ComfyUI loads this folder by path and calls `comfy_entrypoint`; scripts import it as `articulate`.
Nothing is loaded before it is used.
"""

__version__ = "0.1.0"


async def comfy_entrypoint():
    """The door that ComfyUI knocks on: the extension with all nodes."""
    from .nodes import ArticulateExtension

    return ArticulateExtension()
