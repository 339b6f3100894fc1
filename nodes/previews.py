"""Pictures of what travels between the nodes: landmarks, density maps, flow and occlusion."""

import torch
from torch.nn import functional as F

from ..models_hub.stages.density import density_preview
from ..models_hub.stages.preview import frame_range, landmark_frames, warp_frames
from . import types
from .host import host_progress, intermediate_device, io

PICTURE = 512
"""Pixels along each side of a landmark picture: enough to tell neighbouring points apart."""


class ArticulatePreviewLandmarks(io.ComfyNode):
    """Draws landmarks over the face or over frames."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ArticulatePreviewLandmarks",
            display_name="Preview Landmarks",
            category=types.CATEGORY,
            description="Draws the 68 landmarks of some frames as dots and contours.",
            search_aliases=["draw landmarks", "show points", "face mesh"],
            inputs=[
                types.Landmarks.Input("landmarks", tooltip="The points to draw; interpolated frames are drawn grey."),
                *types.range_inputs(8),
                types.Face.Input("face", optional=True, tooltip="Draws over the crop of this face; black without."),
                io.Image.Input(
                    "images",
                    optional=True,
                    tooltip="Draws over these pictures instead: one for all frames, or one for each drawn frame. "
                    "They must show the crop, as Compose's mode 'crop' does.",
                ),
            ],
            outputs=[io.Image.Output("images", tooltip="One picture for each drawn frame.")],
        )

    @classmethod
    @types.explains_missing_packages
    def execute(cls, landmarks, start, count, step, face=None, images=None) -> io.NodeOutput:
        numbers = frame_range(len(landmarks), start, count, step)
        if images is None:
            crop = torch.zeros(1, 3, PICTURE, PICTURE) if face is None else face.crop
            images = F.interpolate(crop, size=(PICTURE, PICTURE), mode="bicubic").clamp(0, 1).movedim(1, -1)
        pictures = landmark_frames(landmarks.points, numbers, images.cpu(), landmarks.visible)
        return io.NodeOutput(_batch(pictures, len(numbers)))


class ArticulatePreviewDensity(io.ComfyNode):
    """Shows density maps as pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ArticulatePreviewDensity",
            display_name="Preview Density Maps",
            category=types.CATEGORY,
            description="Shows the density maps of some frames, each map in a colour of its own.",
            search_aliases=["heat map", "show density", "probability map"],
            inputs=[types.Density.Input("density", tooltip="The maps to show."), *types.range_inputs(8)],
            outputs=[io.Image.Output("images", tooltip="One picture for each shown frame.")],
        )

    @classmethod
    @types.explains_missing_packages
    def execute(cls, density, start, count, step) -> io.NodeOutput:
        numbers = frame_range(len(density), start, count, step)
        return io.NodeOutput(_batch((density_preview(density, number) for number in numbers), len(numbers)))


class ArticulatePreviewWarp(io.ComfyNode):
    """Shows where the source is warped to, and where it can be trusted."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ArticulatePreviewWarp",
            display_name="Preview Warp",
            category=types.CATEGORY,
            description="Shows flow, occlusion and the warped source of some frames; only these frames are computed.",
            search_aliases=["optical flow", "occlusion", "dense motion", "show warp"],
            inputs=[
                types.Warp.Input("warp", tooltip="The warp to show, from the Memory-Compensated Warper."),
                *types.range_inputs(8),
            ],
            outputs=[
                io.Image.Output(
                    "flow", tooltip="The hue is the direction in which a place moves, the strength how far."
                ),
                io.Image.Output("occlusion", tooltip="White where the source can be trusted, black where it cannot."),
                io.Image.Output("warped", tooltip="The source crop moved by the flow, with nothing painted."),
            ],
        )

    @classmethod
    @types.explains_missing_packages
    def execute(cls, warp, start, count, step) -> io.NodeOutput:
        numbers = frame_range(len(warp), start, count, step)
        progress = host_progress(len(numbers))
        shown = []
        with torch.inference_mode():
            for flow, occlusion, warped in warp_frames(warp, numbers):
                shown.append((flow, occlusion[..., None].expand(-1, -1, 3), warped))
                progress(len(shown), len(numbers))
        device = intermediate_device()
        return io.NodeOutput(*(torch.stack(pictures).to(device) for pictures in zip(*shown, strict=True)))


def _batch(pictures, length: int) -> torch.Tensor:
    progress = host_progress(length)
    batch = []
    for picture in pictures:
        batch.append(picture)
        progress(len(batch), length)
    return torch.stack(batch).to(intermediate_device())
