"""AUDIO -> ART_SPEECH."""

import torch

from ..models_hub.errors import InputError
from ..models_hub.stages.audio_encoder import encode_speech
from . import types
from .host import host_progress, io
from .weighted import WeightedNode


class ArticulateAudioEncoder(WeightedNode):
    """Listens to a voice: what the sound says about the lips, frame by frame."""

    STAGE = "audio_to_lip"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ArticulateAudioEncoder",
            display_name="Audio Encoder",
            category=types.CATEGORY,
            description="Turns a voice into contextual lip motion units, one for each frame of the video.",
            search_aliases=["speech", "voice", "lip sync", "audio to lip", "talking head"],
            inputs=[
                io.Audio.Input(
                    "audio",
                    tooltip="The voice, at any sample rate and channel count. Its length decides the video's: "
                    "frames = round(fps x seconds). Music or noise beneath it makes the lips less exact.",
                ),
                io.Float.Input(
                    "fps",
                    default=25.0,
                    min=1.0,
                    max=120.0,
                    step=0.001,
                    tooltip="Frames a second of the video. The weights have learned 25; others are interpolated.",
                ),
                types.weights_input(cls.STAGE),
                types.repository_input(),
            ],
            outputs=[types.Speech.Output("speech", tooltip="Lip motion units at the video's frame rate.")],
        )

    @classmethod
    @types.explains_missing_packages
    def execute(cls, audio, fps, weights, repository="") -> io.NodeOutput:
        waveform, rate = sound(audio)
        with torch.inference_mode():
            speech = encode_speech(waveform, rate, fps, cls.chosen(weights, repository), host_progress(1))
        return io.NodeOutput(speech)


def sound(audio) -> tuple[torch.Tensor, int]:
    """The first recording of an AUDIO batch as ((channels, samples), samples a second)."""
    if not isinstance(audio, dict) and not hasattr(audio, "keys"):
        raise InputError(f"Audio of type {type(audio).__name__} was given; link the output of a node that loads sound.")
    waveform = audio["waveform"]
    if waveform.ndim != 3 or not len(waveform):
        raise InputError(
            f"Audio of shape {tuple(waveform.shape)} was given; expected is (batch, channels, samples), one or more."
        )
    return waveform[0].cpu(), int(audio["sample_rate"])
