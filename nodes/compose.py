"""ART_FRAMES, AUDIO -> VIDEO."""

from ..models_hub.stages.compose import MODES
from ..models_hub.stages.region import DEFAULT_FEATHER
from . import types
from .audio_encoder import sound
from .host import io
from .video import StreamedVideo, check_below


class ArticulateCompose(io.ComfyNode):
    """Pastes the moving face back into the full picture; the video renders while it is saved."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ArticulateCompose",
            display_name="Compose",
            category=types.CATEGORY,
            description="Pastes the moving face back into its picture at the picture's own resolution and adds the "
            "sound. The video renders while it is saved, so its length does not matter.",
            search_aliases=["paste back", "talking head", "combine video", "lip sync video", "blend face"],
            inputs=[
                types.Frames.Input("frames", tooltip="The frames, from the Frame Generator."),
                io.Audio.Input(
                    "audio",
                    optional=True,
                    tooltip="The sound of the video. It starts with the first frame and is never stretched or cut.",
                ),
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    default="picture",
                    tooltip="'picture' gives the full picture with the face moving in it; 'crop' gives the network's "
                    "own square frames of 256 pixels.",
                ),
                io.Float.Input(
                    "feather",
                    default=DEFAULT_FEATHER,
                    min=0.01,
                    max=0.5,
                    step=0.01,
                    tooltip="Width of the fade around the head as a share of the crop's side. Larger is softer but "
                    "touches more of the picture. Used in mode 'picture'.",
                    advanced=True,
                ),
                io.Float.Input(
                    "colour_match",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How far painted pixels take on the light of the photo around them: 0 leaves them as they "
                    "are, 1 matches fully. Used in mode 'picture'.",
                    advanced=True,
                ),
                io.Video.Input(
                    "video",
                    optional=True,
                    tooltip="A video of the same picture to paste the face into, such as another Compose makes: so "
                    "several faces of one picture can speak. It needs the same frame rate; its sound is not used, and "
                    "when it ends its last frame stays.",
                ),
            ],
            outputs=[io.Video.Output("video", tooltip="The talking video; link it to Save Video.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @types.explains_missing_packages
    def execute(cls, frames, mode, feather, colour_match, audio=None, video=None) -> io.NodeOutput:
        voice = sound(audio) if audio is not None else None
        if video is not None:
            check_below(video, frames.fps)
        settings = (frames, voice, mode, feather, colour_match)
        return io.NodeOutput(StreamedVideo(*settings, below=video, maker=cls.hidden.unique_id))
