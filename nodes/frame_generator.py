"""ART_WARP -> ART_FRAMES."""

from ..models_hub.stages.generator import generate_stream
from . import types
from .host import io
from .weighted import WeightedNode


class ArticulateFrameGenerator(WeightedNode):
    """Paints what no warp of the source can show, such as the inside of the mouth."""

    STAGE = "generator"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ArticulateFrameGenerator",
            display_name="Frame Generator",
            category=types.CATEGORY,
            description="Paints what the warped source cannot show and blends both into frames. "
            "The work is done later, frame by frame, when the video is saved or previewed.",
            search_aliases=["mcnet", "decoder", "render face", "teeth", "talking head"],
            inputs=[
                types.Warp.Input("warp", tooltip="The warped source, from the Memory-Compensated Warper."),
                types.weights_input(cls.STAGE),
                types.repository_input(),
            ],
            outputs=[types.Frames.Output("frames", tooltip="A stream of frames, still in parts for Compose.")],
        )

    @classmethod
    def execute(cls, warp, weights, repository="") -> io.NodeOutput:
        return io.NodeOutput(generate_stream(warp, cls.chosen(weights, repository)))
