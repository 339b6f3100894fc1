"""ART_SPEECH, ART_FACE -> ART_LANDMARKS."""

import torch

from ..models_hub.stages.landmark_predictor import predict_landmarks
from . import types
from .host import host_progress, io
from .weighted import WeightedNode


class ArticulateLandmarkPredictor(WeightedNode):
    """Moves the landmarks of a face as its voice asks for."""

    STAGE = "landmark_predictor"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ArticulateLandmarkPredictor",
            display_name="Landmark Predictor",
            category=types.CATEGORY,
            description="Predicts where the 68 landmarks of this face are in every frame while it says these words.",
            search_aliases=["lip sync", "audio to landmarks", "talking head", "mouth", "blink", "brows", "head motion"],
            inputs=[
                types.Speech.Input("speech", tooltip="The voice, from the Audio Encoder."),
                types.Face.Input("face", tooltip="The face that speaks. Its own proportions are kept."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=3.0,
                    step=0.05,
                    tooltip="How far the mouth moves: 1 is natural, 0 keeps it at rest, above 1 exaggerates.",
                ),
                io.Float.Input(
                    "smoothing",
                    default=0.6,
                    min=0.0,
                    max=10.0,
                    step=0.1,
                    tooltip="Smooths the motion over this many frames (standard deviation). "
                    "0 follows every sound; above 2 the lips miss fast speech.",
                ),
                io.Float.Input(
                    "blink",
                    default=15.0,
                    min=0.0,
                    max=60.0,
                    step=1.0,
                    tooltip="Blinks a minute, at moments that the seed decides; 0 keeps the eyes open.",
                ),
                io.Float.Input(
                    "head_motion",
                    default=1.0,
                    min=0.0,
                    max=5.0,
                    step=0.1,
                    tooltip="How much the head moves while it speaks: 0 keeps it still, 1 is typical of people who "
                    "talk, about 0.8 degrees and 6 % of the eye distance. "
                    "Large motion changes more of the picture around the face.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFF_FFFF_FFFF_FFFF,
                    control_after_generate=True,
                    tooltip="Decides when the eyes blink and how head and brows move. The mouth does not depend on it.",
                ),
                types.weights_input(cls.STAGE),
                types.repository_input(),
                io.Float.Input(
                    "brows",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=5.0,
                    step=0.1,
                    tooltip="How much the brows move: 0 keeps them still, 1 is typical of calm speakers, about 0.5 % "
                    "of the eye distance and hardly seen, 5 is a lively face.",
                ),
            ],
            outputs=[types.Landmarks.Output("landmarks", tooltip="The 68 points in every frame.")],
        )

    @classmethod
    @types.explains_missing_packages
    def execute(
        cls, speech, face, strength, smoothing, blink, head_motion, seed, weights, repository="", brows=0.0
    ) -> io.NodeOutput:
        with torch.inference_mode():
            landmarks = predict_landmarks(
                speech,
                face,
                strength=strength,
                smoothing=smoothing,
                blink=blink,
                head_motion=head_motion,
                seed=seed,
                brows=brows,
                weights=cls.chosen(weights, repository),
                progress=host_progress(len(speech)),
            )
        return io.NodeOutput(landmarks)
