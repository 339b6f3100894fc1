"""The graph nodes, one file per stage."""

from .audio_encoder import ArticulateAudioEncoder
from .compose import ArticulateCompose
from .critics import ArticulateCritics
from .density_map_builder import ArticulateDensityMapBuilder
from .face import ArticulateFace
from .frame_generator import ArticulateFrameGenerator
from .host import ComfyExtension, io
from .landmark_predictor import ArticulateLandmarkPredictor
from .landmarks_from_video import ArticulateLandmarksFromVideo
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
    ArticulatePreviewLandmarks,
    ArticulatePreviewDensity,
    ArticulatePreviewWarp,
)


class ArticulateExtension(ComfyExtension):
    """The pack, as its host asks for it."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All nodes."""
        return list(NODES)
