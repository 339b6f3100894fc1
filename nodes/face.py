"""IMAGE -> ART_FACE."""

import torch

from ..models_hub.errors import InputError
from ..models_hub.stages.face import locate_face
from ..models_hub.stages.region import face_mask
from . import types
from .face_landmarks import boxes_from_bounding_boxes, points_from_landmarks
from .host import intermediate_device, io


class ArticulateFace(io.ComfyNode):
    """Finds a face and cuts it out, with its 68 landmarks and the way back into the picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ArticulateFace",
            display_name="Face",
            category=types.CATEGORY,
            description="Finds a face in a picture, its 68 landmarks, and the square crop that the networks work on.",
            search_aliases=["portrait", "detect face", "face crop", "landmarks", "talking head", "lip sync"],
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The portrait, 64 to 8192 pixels a side. The video has its size and sharpness. "
                    "Of a batch, the first picture is used.",
                ),
                io.Combo.Input(
                    "detector",
                    options=["embedded", "insightface"],
                    default="embedded",
                    tooltip="What finds the face. 'embedded' comes with the pack; 'insightface' needs its package and "
                    "its models, which are for non-commercial research. Unused when landmarks or boxes are linked.",
                ),
                io.Int.Input(
                    "face_index",
                    default=0,
                    min=0,
                    max=63,
                    tooltip="Which face to use when there are several, counted from 0, the largest first.",
                ),
                types.FaceLandmarks.Input(
                    "landmarks",
                    optional=True,
                    tooltip="Landmarks found by another node, in pixels: ComfyUI's MediaPipe face landmarks, or 68 "
                    "points in iBUG order. Nothing is searched then.",
                ),
                types.BoundingBox.Input(
                    "boxes",
                    optional=True,
                    extra_dict={"forceInput": True},  # ComfyUI would draw four number fields instead of a socket
                    tooltip="Faces found by another node, as boxes in pixels; only their landmarks are searched then.",
                ),
            ],
            outputs=[
                types.Face.Output("face", tooltip="The face with its landmarks and its picture."),
                io.Image.Output("crop", tooltip="The square crop, 256 pixels a side."),
                io.Mask.Output("mask", tooltip="Where a video of this face may differ from the picture."),
            ],
        )

    @classmethod
    def validate_inputs(cls, detector=None) -> bool | str:
        return types.detector_problem(detector) or True

    @classmethod
    @types.explains_missing_packages
    def execute(cls, image, detector, face_index, landmarks=None, boxes=None) -> io.NodeOutput:
        if image.ndim != 4 or not len(image):
            raise InputError(
                f"An image of shape {tuple(image.shape)} was given; expected is (batch, height, width, 3)."
            )
        picture = image[0].cpu()
        points = None
        if landmarks is not None:
            points = points_from_landmarks(landmarks, face_index, *picture.shape[:2])
        known = boxes_from_bounding_boxes(boxes) if boxes is not None else None
        with torch.inference_mode():
            face = locate_face(picture, detector, face_index, points, known)
            mask = face_mask(face)
        device = intermediate_device()
        return io.NodeOutput(face, face.crop.movedim(1, -1).contiguous().to(device), mask[None].to(device))
