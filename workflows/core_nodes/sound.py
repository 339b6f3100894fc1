"""Loading, saving, showing and trimming sound, as ComfyUI's core does it."""

from typing import Any

from ...models_hub.errors import InputError
from ...models_hub.media import read_audio
from ...nodes.standin import io, ui
from ...nodes.standin.execution import find_input
from .images import file_digest, file_exists


class LoadAudio(io.ComfyNode):
    """A sound or video file -> AUDIO."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoadAudio",
            display_name="Load Audio",
            category="audio",
            inputs=[io.Combo.Input("audio", upload=io.UploadType.audio)],
            outputs=[io.Audio.Output()],
        )

    @classmethod
    def execute(cls, audio: str) -> io.NodeOutput:
        waveform, rate = read_audio(find_input(audio))
        return io.NodeOutput({"waveform": waveform[None], "sample_rate": rate})

    @classmethod
    def validate_inputs(cls, audio: str | None) -> bool | str:
        return file_exists(audio)

    @classmethod
    def fingerprint_inputs(cls, audio: str) -> str:
        return file_digest(audio)


def _present(audio: dict[str, Any] | None, node: str) -> dict[str, Any]:
    if audio is None:
        raise InputError(f"{node} was given no sound; the video it comes from may have no sound track.")
    return audio


class SaveAudio(io.ComfyNode):
    """AUDIO -> a numbered FLAC file in the output folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SaveAudio",
            display_name="Save Audio (FLAC)",
            category="audio",
            inputs=[io.Audio.Input("audio"), io.String.Input("filename_prefix", default="audio/ComfyUI")],
            outputs=[io.Audio.Output("audio")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, audio: dict[str, Any] | None, filename_prefix: str) -> io.NodeOutput:
        saved = ui.save_audio(_present(audio, "Save Audio"), filename_prefix, io.FolderType.output, cls)
        return io.NodeOutput(audio, ui=ui.SavedAudios(saved))


class PreviewAudio(io.ComfyNode):
    """AUDIO -> a FLAC file in the folder of previews."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PreviewAudio",
            display_name="Preview Audio",
            category="audio",
            inputs=[io.Audio.Input("audio")],
            outputs=[io.Audio.Output("audio")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, audio: dict[str, Any] | None) -> io.NodeOutput:
        return io.NodeOutput(audio, ui=ui.PreviewAudio(_present(audio, "Preview Audio"), cls=cls))


class TrimAudioDuration(io.ComfyNode):
    """AUDIO -> a part of it, in seconds; a negative start counts from the end."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TrimAudioDuration",
            display_name="Trim Audio Duration",
            category="audio",
            inputs=[
                io.Audio.Input("audio"),
                io.Float.Input("start_index", default=0.0, step=0.01),
                io.Float.Input("duration", default=60.0, min=0.0, step=0.01),
            ],
            outputs=[io.Audio.Output()],
        )

    @classmethod
    def execute(cls, audio: dict[str, Any] | None, start_index: float, duration: float) -> io.NodeOutput:
        waveform, rate = _present(audio, "Trim Audio Duration")["waveform"], audio["sample_rate"]
        length = waveform.shape[-1]
        start = max(0, min(length, round(start_index * rate) + (length if start_index < 0 else 0)))
        stop = min(length, start + round(duration * rate))
        if start >= stop:
            raise InputError(
                f"Nothing is left of {length / rate:.2f} s of sound from {start_index} s for {duration} s; "
                "start earlier or take longer."
            )
        return io.NodeOutput({"waveform": waveform[..., start:stop], "sample_rate": rate})
