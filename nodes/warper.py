"""ART_FACE, ART_DENSITY -> ART_WARP."""

from ..models_hub.stages.warper import warp_stream
from . import types
from .host import io
from .weighted import WeightedNode


class ArticulateWarper(WeightedNode):
    """Moves the features of the source face to the driving landmarks, and fills gaps from its facial memory."""

    STAGE = "warper"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ArticulateWarper",
            display_name="Memory-Compensated Warper",
            category=types.CATEGORY,
            description="Finds the flow from the source to every frame and warps the source's features along it. "
            "The work is done later, frame by frame, when the video is saved or previewed.",
            search_aliases=["mcnet", "dense motion", "flow", "occlusion", "facial memory", "animate face"],
            inputs=[
                types.Face.Input("face", tooltip="The source face, from the Face node."),
                io.MultiType.Input(
                    "density",
                    [types.Density, types.Keypoints],
                    tooltip="Where the landmarks are in every frame. With the weights mcnet_warper: the keypoints that "
                    "MCNet Keypoints found.",
                ),
                types.weights_input(cls.STAGE),
                types.repository_input(),
            ],
            outputs=[types.Warp.Output("warp", tooltip="A stream of flow, occlusion and warped features.")],
        )

    @classmethod
    def execute(cls, face, density, weights, repository="") -> io.NodeOutput:
        return io.NodeOutput(warp_stream(face, density, cls.chosen(weights, repository)))
