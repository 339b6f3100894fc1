"""The nodes of ComfyUI's core that talking-head workflows use, for runs without ComfyUI.

Ids, inputs, defaults and meaning are ComfyUI's. One thing is wider: a file input may also be a path,
absolute or relative to the input folder, the workflow's folder or the current directory.
"""

from ...nodes.standin import io
from .images import ImageFromBatch, ImageScale, ImageScaleBy, LoadImage, PreviewImage, RepeatImageBatch, SaveImage
from .sound import LoadAudio, PreviewAudio, SaveAudio, TrimAudioDuration
from .texts import PreviewAny
from .video import CreateVideo, GetVideoComponents, LoadVideo, SaveVideo, TrimVideo

CORE_NODES: tuple[type[io.ComfyNode], ...] = (
    CreateVideo,
    GetVideoComponents,
    ImageFromBatch,
    ImageScale,
    ImageScaleBy,
    LoadAudio,
    LoadImage,
    LoadVideo,
    PreviewAny,
    PreviewAudio,
    PreviewImage,
    RepeatImageBatch,
    SaveAudio,
    SaveImage,
    SaveVideo,
    TrimAudioDuration,
    TrimVideo,
)
