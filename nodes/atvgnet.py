"""AUDIO -> ART_LANDMARKS -> ART_FRAMES by the published ATVGnet, and a look at what frames are made of."""

import torch

from ..models_hub.stages.atvgnet import landmark_frames, speech_landmarks
from ..models_hub.stages.preview import frame_range
from . import types
from .audio_encoder import sound
from .host import host_progress, intermediate_device, io, weights_file
from .weighted import WeightedNode

LANDMARKS, FRAMES = "atvgnet_landmarks", "atvgnet_frames"


class ArticulateATVGnetLandmarks(WeightedNode):
    """AT-net: landmarks from a voice."""

    STAGE = LANDMARKS

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ArticulateATVGnetLandmarks",
            display_name="ATVGnet Landmarks",
            category=types.CATEGORY,
            description="Predicts the landmarks of a speaking face by the published ATVGnet (AT-net), 25 a second.",
            search_aliases=["atvgnet", "at-net", "audio to landmarks", "lip sync"],
            inputs=[
                io.Audio.Input("audio", tooltip="The voice, at any sample rate; its level does not matter."),
                types.Face.Input("face", tooltip="The source face; it decides place, size and turn of the landmarks."),
                types.published_weights_input(cls.STAGE),
                types.repository_input(),
            ],
            outputs=[types.Landmarks.Output("landmarks", tooltip="The 68 points in every frame, 25 frames a second.")],
        )

    @classmethod
    @types.explains_missing_packages
    def execute(cls, audio, face, weights, repository="") -> io.NodeOutput:
        file = cls.chosen(weights, repository)
        return io.NodeOutput(speech_landmarks(*sound(audio), face, file, host_progress(1)))


class ArticulateATVGnetFrames(WeightedNode):
    """VG-net: frames from landmarks."""

    STAGE = FRAMES

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ArticulateATVGnetFrames",
            display_name="ATVGnet Frames",
            category=types.CATEGORY,
            description="Paints a face of 128 x 128 pixels for every frame of landmarks by the published ATVGnet "
            "(VG-net). Link them to Compose, or to MCNet Keypoints to drive a larger face.",
            search_aliases=["atvgnet", "vg-net", "landmarks to video", "talking face"],
            inputs=[
                types.Face.Input("face", tooltip="The source face; it is aligned as the network was trained."),
                types.Landmarks.Input("landmarks", tooltip="The points in every frame, from ATVGnet Landmarks."),
                types.published_weights_input(cls.STAGE),
                types.repository_input(),
                io.Combo.Input(
                    "landmark_weights",
                    options=types.published_weights_input(LANDMARKS).options,
                    default=LANDMARKS,
                    optional=True,
                    advanced=True,
                    tooltip="The converted AT-net, whose file holds the constants of the landmark space.",
                ),
            ],
            outputs=[
                types.Frames.Output(
                    "frames", tooltip="A stream of frames with the network's colour and attention, for Compose."
                )
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, weights=None, repository=None, landmark_weights=LANDMARKS, **_) -> str:
        space = types.weights_state(LANDMARKS, landmark_weights)
        return f"{super().fingerprint_inputs(weights, repository)} {space}"

    @classmethod
    def execute(cls, face, landmarks, weights, repository="", landmark_weights=LANDMARKS) -> io.NodeOutput:
        files = cls.chosen(weights, repository), weights_file(LANDMARKS, landmark_weights)
        return io.NodeOutput(landmark_frames(face, landmarks, *files))


class ArticulatePreviewFrames(io.ComfyNode):
    """Shows generated frames and the parts that they are blended of."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ArticulatePreviewFrames",
            display_name="Preview Frames",
            category=types.CATEGORY,
            description="Shows some generated frames, what the network painted in them, and where it is seen.",
            search_aliases=["show frames", "attention", "occlusion", "colour", "atvgnet", "mcnet"],
            inputs=[types.Frames.Input("frames", tooltip="The frames to show."), *types.range_inputs(8)],
            outputs=[
                io.Image.Output("images", tooltip="The blended frames at the network's size."),
                io.Image.Output("painted", tooltip="What the network painted before blending: its colour output."),
                io.Mask.Output("attention", tooltip="White where the painted picture is seen, black where the source."),
            ],
        )

    @classmethod
    def execute(cls, frames, start, count, step) -> io.NodeOutput:
        numbers = frame_range(len(frames), start, count, step)
        progress, shown = host_progress(len(numbers)), []
        for number in numbers:
            [chunk] = frames.chunks(number, number + 1)
            picture, painted = (maps[0].permute(1, 2, 0).clamp(0, 1) for maps in (chunk.frames, chunk.painted))
            shown.append((picture, painted, 1 - chunk.blend[0, 0]))
            progress(len(shown), len(numbers))
        device = intermediate_device()
        return io.NodeOutput(*(torch.stack(parts).to(device) for parts in zip(*shown, strict=True)))
