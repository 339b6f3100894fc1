"""The graph nodes, one file per stage."""

from .atvgnet import ArticulateATVGnetFrames, ArticulateATVGnetLandmarks, ArticulatePreviewFrames
from .audio_encoder import ArticulateAudioEncoder
from .compose import ArticulateCompose
from .conversation import ArticulateConversation
from .critics import ArticulateCritics
from .density_map_builder import ArticulateDensityMapBuilder
from .face import ArticulateFace
from .fine_tune import ArticulateFineTune
from .frame_generator import ArticulateFrameGenerator
from .host import INSIDE_COMFYUI, ComfyExtension, io
from .landmark_editor import ArticulateEditLandmarks
from .landmark_predictor import ArticulateLandmarkPredictor
from .landmarks_from_video import ArticulateLandmarksFromVideo
from .mcnet import ArticulateMCNetKeypoints
from .previews import ArticulatePreviewDensity, ArticulatePreviewLandmarks, ArticulatePreviewWarp
from .warper import ArticulateWarper

NODES = (
    ArticulateFace,
    ArticulateAudioEncoder,
    ArticulateLandmarkPredictor,
    ArticulateLandmarksFromVideo,
    ArticulateDensityMapBuilder,
    ArticulateWarper,
    ArticulateFrameGenerator,
    ArticulateCompose,
    ArticulateCritics,
    ArticulateFineTune,
    ArticulatePreviewLandmarks,
    ArticulatePreviewDensity,
    ArticulatePreviewWarp,
    ArticulateEditLandmarks,
    ArticulateConversation,
    ArticulateMCNetKeypoints,
    ArticulateATVGnetLandmarks,
    ArticulateATVGnetFrames,
    ArticulatePreviewFrames,
)

RENAMED: tuple[dict, ...] = ()
"""Nodes of earlier versions that have another id or other inputs now, as arguments of ComfyUI's NodeReplace:
{"new_node_id", "old_node_id", "old_widget_ids", "input_mapping", "output_mapping"}. Old workflows then open."""


class ArticulateExtension(ComfyExtension):
    """The pack, as its host asks for it."""

    async def on_load(self) -> None:
        """Tell the host which nodes have been renamed."""
        if INSIDE_COMFYUI and RENAMED:
            from comfy_api.latest import ComfyAPI

            for renamed in RENAMED:
                await ComfyAPI().node_replacement.register(io.NodeReplace(**renamed))

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All nodes."""
        return list(NODES)
