"""Showing a value as text, as ComfyUI's core does it."""

from typing import Any

from ...nodes.standin import io, ui


class PreviewAny(io.ComfyNode):
    """Anything -> its text, shown and handed on."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PreviewAny",
            display_name="Preview as Text",
            category="utilities",
            inputs=[io.AnyType.Input("source")],
            outputs=[io.String.Output()],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, source: Any = None) -> io.NodeOutput:
        text = str(source)
        return io.NodeOutput(text, ui=ui.PreviewText(text))
