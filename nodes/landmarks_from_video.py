"""VIDEO, ART_FACE -> ART_LANDMARKS."""

from collections.abc import Iterator

import torch

from ..models_hub.stages.video_landmarks import landmarks_from_video
from . import types
from .host import host_progress, io
from .video import open_video


class ArticulateLandmarksFromVideo(io.ComfyNode):
    """Carries the motion of a face in a video over to another face."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ArticulateLandmarksFromVideo",
            display_name="Landmarks from Video",
            category=types.CATEGORY,
            description="Follows a face through a driving video and carries its motion over to the source face.",
            search_aliases=["reenactment", "driving video", "motion transfer", "face tracking", "puppet"],
            inputs=[
                io.MultiType.Input(
                    "video",
                    [io.Video, io.Image],
                    tooltip="The driving video with one face; it is read frame by frame, so it may be long. "
                    "The result has its frame rate and length. Frames without a face are interpolated. A batch of "
                    "images, such as Video Helper Suite loads, is taken too; set its fps below.",
                ),
                types.Face.Input("face", tooltip="The face that is to move like the one in the video."),
                io.Combo.Input(
                    "mode",
                    options=["relative", "absolute"],
                    default="relative",
                    tooltip="'relative' adds the motion since the first frame to the source's own expression; start "
                    "with a neutral face. 'absolute' takes over the driver's landmarks and face shape.",
                ),
                io.Combo.Input(
                    "detector",
                    options=["embedded", "insightface"],
                    default="embedded",
                    tooltip="What finds the driver's face. 'embedded' comes with the pack; 'insightface' needs its "
                    "package and its models, which are for non-commercial research.",
                ),
                types.images_rate_input(),
            ],
            outputs=[
                types.Landmarks.Output("landmarks", tooltip="The 68 points of the source face in every frame."),
                io.Audio.Output("audio", tooltip="The video's sound, unchanged; nothing if it has none."),
            ],
        )

    @classmethod
    def validate_inputs(cls, detector=None) -> bool | str:
        return types.detector_problem(detector) or True

    @classmethod
    @types.explains_missing_packages
    def execute(cls, video, face, mode, detector, fps=25.0) -> io.NodeOutput:
        opened = open_video(video, fps)
        report = host_progress(opened.length)
        seen: list[torch.Tensor] = []

        def frames() -> Iterator[torch.Tensor]:
            for chunk in opened.frames():
                for frame in chunk:
                    seen[:] = [frame]
                    yield frame

        def progress(done: int, _in_all: int) -> None:
            report(done, max(done, opened.length), seen[0])

        with torch.inference_mode():
            landmarks = landmarks_from_video(frames(), float(opened.fps), face, mode, detector, progress)
        return io.NodeOutput(landmarks, opened.audio())
