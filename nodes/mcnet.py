"""ART_FACE and a driving VIDEO or ART_FRAMES -> ART_KEYPOINTS, by the published MCNet."""

from collections.abc import Iterator

import torch

from ..models_hub.errors import InputError
from ..models_hub.stages.motion_keypoints import FRAMINGS, MOTIONS, motion_keypoints, stream_frames
from ..models_hub.stages.motion_keypoints import STAGE as KEYPOINTS
from . import types
from .host import host_progress, io
from .video import open_video
from .weighted import WeightedNode


class ArticulateMCNetKeypoints(WeightedNode):
    """Finds MCNet's learned keypoints in the source and in every driving frame."""

    STAGE = KEYPOINTS

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ArticulateMCNetKeypoints",
            display_name="MCNet Keypoints",
            category=types.CATEGORY,
            description="Finds the learned keypoints of the published MCNet in a driving video. They drive the "
            "Memory-Compensated Warper with the weights mcnet_warper, and its Frame Generator with mcnet_generator.",
            search_aliases=["mcnet", "reenactment", "motion transfer", "driving video", "first order motion"],
            inputs=[
                types.Face.Input("face", tooltip="The source face, from the Face node."),
                io.MultiType.Input(
                    "driving",
                    [io.Video, io.Image, types.Frames],
                    tooltip="The video whose motion is carried over, a batch of images, or frames of another node such "
                    "as ATVGnet Frames. It is read frame by frame.",
                ),
                io.Combo.Input(
                    "motion",
                    options=list(MOTIONS),
                    default="relative",
                    tooltip="'relative' adds the motion since the reference frame to the source's own pose. 'absolute' "
                    "takes over the driver's keypoints, and with them the driver's face shape.",
                ),
                io.Boolean.Input(
                    "adapt_scale",
                    default=True,
                    tooltip="Scales relative motion by the size of the source's face over the driver's. No effect on "
                    "absolute motion.",
                ),
                io.Boolean.Input(
                    "best_frame",
                    default=False,
                    tooltip="Takes as reference the driving frame whose landmarks are most like the source's, in place "
                    "of the first frame. Every frame is then searched for landmarks.",
                ),
                io.Combo.Input(
                    "framing",
                    options=list(FRAMINGS),
                    default="face",
                    tooltip="'face' cuts a square that stays where the driver's face is in the first frame. 'whole' "
                    "takes frames that show a cropped face already.",
                ),
                types.published_weights_input(cls.STAGE),
                types.repository_input(),
                types.images_rate_input(),
            ],
            outputs=[
                types.Keypoints.Output("keypoints", tooltip="Keypoints of the source and of every driving frame."),
                io.Audio.Output("audio", tooltip="The driving video's sound; nothing if it has none."),
            ],
        )

    @classmethod
    @types.explains_missing_packages
    def execute(
        cls, face, driving, motion, adapt_scale, best_frame, framing, weights, repository="", fps=25.0
    ) -> io.NodeOutput:
        file = cls.chosen(weights, repository)
        settings = (face, motion, adapt_scale, best_frame, framing, file)
        if hasattr(driving, "chunks"):  # ART_FRAMES
            frames, rate, audio, length = stream_frames(driving), driving.fps, None, len(driving)
        else:
            opened = open_video(driving, fps)
            frames, rate, audio, length = opened.frames(), float(opened.fps), opened.audio(), opened.length
        report = host_progress(length)

        def progress(done: int, _in_all: int) -> None:
            report(done, max(done, length))

        return io.NodeOutput(motion_keypoints(_single(frames), rate, *settings, progress), audio)


def _single(chunks: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
    for chunk in chunks:
        if chunk.ndim != 4:
            raise InputError(
                f"A chunk of frames has the shape {tuple(chunk.shape)}; expected is (n, height, width, 3)."
            )
        yield from chunk
