"""Footage of a person -> weights for that person. What trains is imported when it is used: few graphs train."""

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from ..models_hub.errors import InputError
from ..models_hub.media import read_picture
from ..models_hub.stages.inference import runtime
from . import types
from .host import host_progress, intermediate_device, io, models_folders, release_memory, weights_choices, weights_file
from .video import open_video

if TYPE_CHECKING:
    from ..models_hub.stages.fine_tune import FineTuned
    from ..models_hub.training.material import FootageClip
    from ..models_hub.training.objective import LossWeights

PARTS = {
    "generator and warper": ("generator", "warper"),
    "generator": ("generator",),
    "generator, warper and memory": ("generator", "warper", "memory"),
    "all, with the landmark predictor": ("generator", "warper", "memory", "predictor"),
}
LIVE = 40
"""How often a preview is shown during a tuning."""
SYNC_SHARE = 0.1
"""Weight of CALS's two distances for a sync critic's weight of one: 0.03 at the usual 0.3 (seed 04, section 6)."""


class ArticulateFineTune(io.ComfyNode):
    """Trains the networks on a minute of one person, so that this person's mouth looks like theirs."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ArticulateFineTune",
            display_name="Fine-tune",
            category=types.CATEGORY,
            description="Learns a person's mouth from footage of them talking and writes small weights files, which "
            "the nodes of every graph then offer. They act on this person's face alone.",
            search_aliases=["train", "finetune", "lora", "adapter", "personal", "person", "teeth"],
            inputs=[
                types.Face.Input("face", optional=True, tooltip="The portrait that will be animated, from Face; the "
                                 "weights are used for it and for faces like those of the footage."),
                io.Video.Input("footage", optional=True, tooltip="A video of one person talking; a minute is good, "
                               "four seconds are the least."),
                io.Image.Input("images", optional=True, tooltip="Frames of such a video, in place of it."),
                io.Audio.Input("audio", optional=True, tooltip="The sound of the frames; needed by the sync critic and "
                               "the landmark predictor alone."),
                types.Critics.Input("critics", optional=True, tooltip="Discriminators that judge what is learned; "
                                    "without them training is faster and frames are softer."),
                io.ClipVisionOutput.Input("clip_vision_output", optional=True, tooltip="What CLIP sees in the "
                                          "portrait; puts attention condensers into the generator."),
                io.String.Input("name", default="person", tooltip="Name of the weights files; files of that name are "
                                "replaced."),
                io.Combo.Input("parts", options=list(PARTS), default=next(iter(PARTS)), tooltip="What is trained."),
                io.Int.Input("steps", default=400, min=1, max=1_000_000, tooltip="Optimiser steps; 400 take some "
                             "minutes on a CPU. Training ends earlier when what is held back stops improving."),
                io.Float.Input("learning_rate", default=0.001, min=0.000001, max=0.1, step=0.0001, round=False,
                               tooltip="Size of the steps; lower it if the preview gets worse."),
                io.Int.Input("rank", default=8, min=0, max=128, tooltip="Rank of the low-rank adapters. 0 trains all "
                             "weights, and then for every face, not only for this one."),
                io.Int.Input("seed", default=0, min=0, max=0x7FFFFFFF, control_after_generate=True, tooltip=
                             "Decides everything that is random; "
                             "the same seed gives the same weights on the same machine."),
                io.Float.Input("fps", default=25.0, min=1.0, max=240.0, tooltip="Frames a second of the images; a "
                               "video knows its own."),
                io.Float.Input("hold_back", default=0.15, min=0.0, max=0.8, step=0.05, tooltip="Share of the footage, "
                               "from its end, that is not learned but watched."),
                io.Boolean.Input("resume", default=True, tooltip="Goes on where a cancelled tuning of this name and "
                                 "with these settings stopped."),
                io.Combo.Input("generator", options=weights_choices("generator"), default="embedded",
                               tooltip="The generator's weights to start from."),
                io.Combo.Input("warper", options=weights_choices("warper"), default="embedded",
                               tooltip="The warper's weights to start from."),
            ],
            outputs=[
                io.Combo.Output("generator_weights", tooltip="The tuned generator, for the weights of Frame "
                                "Generator; what it started from, if it was not tuned."),
                io.Combo.Output("warper_weights", tooltip="The tuned warper, for the weights of Memory-Compensated "
                                "Warper."),
                io.Combo.Output("predictor_weights", tooltip="The tuned predictor, for the weights of Landmark "
                                "Predictor."),
                io.Image.Output("loss_plot", tooltip="Every loss over the steps."),
                io.Image.Output("preview", tooltip="Held-back moments: the real frame, before and after."),
                io.String.Output("report", tooltip="What of the footage was used, what not and why, and the result."),
            ],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, name=None) -> bool | str:
        if name is not None and not re.fullmatch(r"[\w\- ]{1,80}", name):
            return f"The name {name!r} is no file name; use letters, digits, blanks, - and _."
        return True

    @classmethod
    def fingerprint_inputs(cls, generator=None, warper=None, **_) -> str:
        return ";".join(types.weights_state(s, c) for s, c in (("generator", generator), ("warper", warper)) if c)

    @classmethod
    def execute(
        cls,
        face=None,
        footage=None,
        images=None,
        audio=None,
        critics=None,
        clip_vision_output=None,
        name="person",
        parts="generator and warper",
        steps=400,
        learning_rate=0.001,
        rank=8,
        seed=0,
        fps=25.0,
        hold_back=0.15,
        resume=True,
        generator="embedded",
        warper="embedded",
    ) -> io.NodeOutput:
        from ..models_hub.stages.fine_tune import Base, fine_tune, tuned_stages
        from ..models_hub.training.settings import TuneSettings
        from ..models_hub.training.tuning import unfinished

        # The executor is in inference mode, whose tensors cannot learn.
        with torch.inference_mode(False), torch.enable_grad():
            embedding = embedding_of(clip_vision_output)
            settings = TuneSettings(
                steps=steps,
                parts=PARTS[parts],
                rank=rank,
                rate=learning_rate,
                hold_back=hold_back,
                seed=seed,
                devices="1",
                accelerator=runtime().device.type,
                condenser=embedding is not None,
            )
            outputs = {stage: models_folders(stage)[0] / f"{name}.safetensors" for stage in tuned_stages(PARTS[parts])}
            folder = models_folders("fine_tune")[0] / name
            weights = weights_of(critics, embedding is not None)
            try:
                result = fine_tune(
                    [clip_of(footage, images, audio, fps)],
                    outputs,
                    folder,
                    settings,
                    weights,
                    plain_face(face),
                    Base(weights_file("warper", warper), weights_file("generator", generator), vgg=vgg_file()),
                    {} if critics is None else critics.networks,
                    embedding,
                    resume and unfinished(folder, settings, weights),
                    progress=host_progress(1),
                    watch=live(steps),
                )
            finally:
                release_memory()
            (folder / "checkpoint.pt").unlink(missing_ok=True)
        return output_of(result, {"generator": generator, "warper": warper, "landmark_predictor": "embedded"})


def clip_of(footage: Any, images: Any, audio: Any, fps: float) -> "FootageClip":
    """The footage as the training reads it.

    Raises:
        InputError: neither a video nor frames are linked, or both.
    """
    from ..models_hub.training.material import FootageClip

    if (footage is None) == (images is None):
        raise InputError(
            f"{'Neither footage nor images are' if footage is None else 'Both footage and images are'} linked; link "
            "one of them: a video of the person, or its frames."
        )
    if footage is not None:
        video = open_video(footage)
        sound, frames, rate, length = audio or video.audio(), video.frames, float(video.fps), video.length
    else:
        frames, rate, sound, length = (lambda: iter(images[..., :3].split(8))), fps, audio, len(images)
    heard = None if sound is None else (sound["waveform"][0].clone(), int(sound["sample_rate"]))
    return FootageClip("footage" if footage is not None else "images", rate, frames, heard, length)


def weights_of(critics: Any, condensers: bool) -> "LossWeights":
    """The losses that the linked critics ask for, beside the reconstruction."""
    from ..models_hub.training.objective import LossWeights

    asked = {} if critics is None else dict(critics.weights)
    sync = asked.pop("sync", 0.0) * SYNC_SHARE
    return LossWeights(sync_audio=sync, sync_visual=sync, clip=0.1 if condensers else 0.0, **asked)


def embedding_of(clip_vision_output: Any) -> torch.Tensor | None:
    """The image embedding (1, E) of a CLIP vision output."""
    if clip_vision_output is None:
        return None
    return clip_vision_output["image_embeds"][:1].detach().float().cpu().clone()


def plain_face(face: Any) -> Any:
    """The face with tensors that may be used in training."""
    if face is None:
        return None
    return replace(face, crop=face.crop.clone(), points=face.points.clone(), matrix=face.matrix.clone())


def vgg_file() -> str:
    """VGG-19's weights, if the user has them in models/articulate/vgg19."""
    found = [file for folder in models_folders("vgg19") if folder.is_dir() for file in folder.glob("*.safetensors")]
    return str(min(found)) if found else ""


def live(steps: int) -> Any:
    """Progress with a preview now and then; it is also the place where a run is cancelled."""
    progress, every = host_progress(steps), math.ceil(steps / LIVE)

    def watch(done: int, in_all: int, preview: Any) -> None:
        if done % every == 0 or done == in_all:
            progress(done, in_all, preview())
        else:
            progress(done, in_all)

    return watch


def output_of(result: "FineTuned", before: dict[str, str]) -> io.NodeOutput:
    """Sockets of a result."""
    device = intermediate_device()
    names = {stage: result.files[stage].name if stage in result.files else choice for stage, choice in before.items()}
    plot = torch.ones(1, 64, 64, 3) if result.plot is None else read_picture(result.plot)
    plot = (plot if plot.ndim == 4 else plot[None])[..., :3]
    preview = result.preview if len(result.preview) else torch.zeros(1, 64, 192, 3)
    report = "\n".join([*result.report, *(f"Written: {path}" for path in result.files.values())])
    return io.NodeOutput(
        names["generator"], names["warper"], names["landmark_predictor"], plot.to(device), preview.to(device), report
    )
