"""The `io` namespace of the node interface: sockets, schema, node and its output."""

from .node import ComfyNode, HiddenHolder, NodeOutput, Schema
from .plain import AnyType, Audio, ClipVisionOutput, Image, Mask, Video
from .sockets import ComfyTypeIO, Custom, FolderType, Hidden, Input, Output, UploadType, WidgetInput, comfytype
from .widgets import (
    Boolean,
    BoundingBox,
    Combo,
    ControlAfterGenerate,
    Float,
    Int,
    MultiType,
    NumberDisplay,
    String,
)

__all__ = [
    "AnyType",
    "Audio",
    "Boolean",
    "BoundingBox",
    "ClipVisionOutput",
    "Combo",
    "ComfyNode",
    "ComfyTypeIO",
    "ControlAfterGenerate",
    "Custom",
    "Float",
    "FolderType",
    "Hidden",
    "HiddenHolder",
    "Image",
    "Input",
    "Int",
    "Mask",
    "MultiType",
    "NodeOutput",
    "NumberDisplay",
    "Output",
    "Schema",
    "String",
    "UploadType",
    "Video",
    "WidgetInput",
    "comfytype",
]
