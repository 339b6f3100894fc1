"""Loading, taking apart, making and saving videos, as ComfyUI's core does it."""

import os
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import torch

from ...models_hub.errors import InputError
from ...nodes import host
from ...nodes.standin import InputImpl, Types, VideoInput, io, ui
from ...nodes.standin.execution import execution, find_input, numbered_path
from ...nodes.standin.video_impl import refuse_other_than_mp4
from ..validation import outside
from .images import file_exists


class LoadVideo(io.ComfyNode):
    """A video file -> VIDEO."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoadVideo",
            display_name="Load Video",
            category="video",
            inputs=[io.Combo.Input("file", upload=io.UploadType.video)],
            outputs=[io.Video.Output()],
        )

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        return io.NodeOutput(InputImpl.VideoFromFile(str(find_input(file))))

    @classmethod
    def validate_inputs(cls, file: str | None) -> bool | str:
        return file_exists(file)

    @classmethod
    def fingerprint_inputs(cls, file: str) -> float:
        return os.path.getmtime(find_input(file))


class GetVideoComponents(io.ComfyNode):
    """VIDEO -> its frames, sound and frame rate. Holds all frames in memory."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GetVideoComponents",
            display_name="Get Video Components",
            category="video",
            inputs=[io.Video.Input("video")],
            outputs=[
                io.Image.Output(display_name="images"),
                io.Audio.Output(display_name="audio"),
                io.Float.Output(display_name="fps"),
                io.Int.Output(display_name="bit_depth"),
                io.Combo.Output(display_name="color_space"),
            ],
        )

    @classmethod
    def execute(cls, video: VideoInput) -> io.NodeOutput:
        parts = video.get_components()
        rate = float(parts.frame_rate)
        return io.NodeOutput(parts.images, parts.audio, rate, video.get_bit_depth(), video.get_color_space())


class CreateVideo(io.ComfyNode):
    """IMAGE and AUDIO -> VIDEO."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CreateVideo",
            display_name="Create Video",
            category="video",
            inputs=[
                io.Image.Input("images"),
                io.Float.Input("fps", default=30.0, min=1.0, max=120.0, step=1.0),
                io.Audio.Input("audio", optional=True),
                io.Int.Input("bit_depth", default=8, min=8, max=10, step=2, optional=True),
            ],
            outputs=[io.Video.Output()],
        )

    @classmethod
    def execute(
        cls, images: torch.Tensor, fps: float, audio: dict[str, Any] | None = None, bit_depth: int = 8
    ) -> io.NodeOutput:
        parts = Types.VideoComponents(images=images, frame_rate=Fraction(fps), audio=audio)
        return io.NodeOutput(InputImpl.VideoFromComponents(parts, bit_depth))


class SaveVideo(io.ComfyNode):
    """VIDEO -> a numbered file in the output folder; the video renders while it is written."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        codecs = ["auto", "h264", "av1"]
        return io.Schema(
            node_id="SaveVideo",
            display_name="Save Video",
            category="video",
            inputs=[
                io.Video.Input("video"),
                io.String.Input("filename_prefix", default="video/ComfyUI"),
                io.Combo.Input("format", options=["auto", "mp4", "mkv", "webm"]),
                io.Combo.Input("codec", options=codecs, optional=True),
                # Newer hosts nest the codec and its options below the format.
                io.Combo.Input("format.codec", options=codecs, optional=True),
                io.Combo.Input("format.codec.encoding", options=["auto", "re-encode"], optional=True),
                io.Float.Input("format.codec.encoding.crf", min=0.0, max=63.0, optional=True),
                io.Combo.Input(
                    "format.codec.encoding.color_space", options=["auto", "sRGB", "HDR", "HDR PQ"], optional=True
                ),
            ],
            outputs=[io.Video.Output("video")],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, **given: Any) -> bool | str:
        """Said before anything runs: values out of range, and what only ComfyUI can encode. Links come as None."""
        for socket in cls.GET_SCHEMA().inputs:
            value = given.get(socket.id)
            message = "" if value is None else outside(value, socket)
            if message:
                return f"{socket.id}: {message}"
        refuse_other_than_mp4(given.get("format") or "auto", _codec(given) or "auto")
        return True

    @classmethod
    def execute(
        cls, video: VideoInput, filename_prefix: str, format: str, codec: str = "auto", **nested: Any
    ) -> io.NodeOutput:
        container = host.Types.VideoContainer(format)
        folder = execution().output_folder
        ending = "_." + host.Types.VideoContainer.get_extension(container)
        path, subfolder = numbered_path(folder, filename_prefix, ending, video.get_dimensions())
        metadata = {**(cls.hidden.extra_pnginfo or {}), "prompt": cls.hidden.prompt}
        video.save_to(
            str(path),
            format=container,
            codec=host.Types.VideoCodec(_codec({"codec": codec} | nested)),
            metadata=metadata,
            crf=nested.get("format.codec.encoding.crf"),
        )
        saved = ui.SavedResult(path.name, subfolder, io.FolderType.output)
        return io.NodeOutput(video, ui=ui.PreviewVideo([saved]))


def _codec(given: Mapping[str, Any]) -> str | None:
    """The codec by its newer name, or else by its older one."""
    return given.get("format.codec", given.get("codec"))


class TrimVideo(io.ComfyNode):
    """VIDEO -> a part of it, in seconds."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Video Slice",
            display_name="Trim Video",
            category="video",
            inputs=[
                io.Video.Input("video"),
                io.Float.Input("start_time", default=0.0, min=-1e5, max=1e5, step=0.001),
                io.Float.Input("duration", default=0.0, min=0.0, step=0.001),
                io.Boolean.Input("strict_duration", default=False),
            ],
            outputs=[io.Video.Output()],
        )

    @classmethod
    def execute(cls, video: VideoInput, start_time: float, duration: float, strict_duration: bool) -> io.NodeOutput:
        trimmed = video.as_trimmed(start_time, duration, strict_duration=strict_duration)
        if trimmed is None:
            raise InputError(
                f"A video of {video.get_duration():.2f} s cannot be cut from {start_time} s for {duration} s; "
                "start earlier or take less."
            )
        return io.NodeOutput(trimmed)
