"""AUDIO, AUDIO -> a track for each voice, and both together."""

import torch

from ..models_hub.stages.conversation import take_turns
from . import types
from .audio_encoder import sound
from .host import io


class ArticulateConversation(io.ComfyNode):
    """Lets two voices speak one after the other, each on a track of its own."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ArticulateConversation",
            display_name="Conversation",
            category=types.CATEGORY,
            description="Puts two voices one after the other on tracks of equal length, so that two faces of one "
            "picture can take turns.",
            search_aliases=["dialogue", "two people", "take turns", "two speakers", "podcast"],
            inputs=[
                io.Audio.Input("first", tooltip="The voice that speaks first; it keeps its sample rate."),
                io.Audio.Input("second", tooltip="The voice that answers; it is resampled to the first one's rate."),
                io.Float.Input(
                    "pause", default=0.4, min=0.0, max=60.0, step=0.05, tooltip="Seconds of silence between the two."
                ),
            ],
            outputs=[
                io.Audio.Output("first_track", tooltip="The first voice, then silence; for the first face."),
                io.Audio.Output("second_track", tooltip="Silence, then the second voice; for the second face."),
                io.Audio.Output("both", tooltip="The whole conversation, for the video."),
            ],
        )

    @classmethod
    @types.explains_missing_packages
    def execute(cls, first, second, pause) -> io.NodeOutput:
        with torch.inference_mode():
            tracks = take_turns(sound(first), sound(second), pause)
        return io.NodeOutput(*({"waveform": waveform[None], "sample_rate": rate} for waveform, rate in tracks))
