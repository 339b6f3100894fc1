"""The `ui` namespace of the node interface: what a node shows besides its outputs. Here it becomes files."""

import json
from pathlib import Path
from typing import Any

import torch

from ...models_hub import media
from .execution import execution, numbered_path, temp_folder
from .node import ComfyNode
from .sockets import FolderType


class SavedResult(dict):
    """A file that was written: {"filename", "subfolder", "type"}."""

    def __init__(self, filename: str, subfolder: str, type: FolderType):
        super().__init__(filename=filename, subfolder=subfolder, type=FolderType(type).value)


class _Results:
    """Files to show, under the key that the host's pages expect."""

    key = "images"

    def __init__(self, results: list[SavedResult]):
        self.results = results

    def as_dict(self) -> dict[str, Any]:
        """What the host publishes."""
        return {self.key: self.results}


class SavedImages(_Results):
    """Pictures that were written."""

    def __init__(self, results: list[SavedResult], is_animated: bool = False):
        super().__init__(results)
        self.is_animated = is_animated

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | ({"animated": (True,)} if self.is_animated else {})


class SavedAudios(_Results):
    """Sounds that were written."""

    key = "audio"


class PreviewImage(SavedImages):
    """Pictures (B, H, W, C) to look at, written to the folder of previews."""

    def __init__(
        self, image: torch.Tensor, animated: bool = False, cls: type[ComfyNode] | None = None, **_options: Any
    ):
        super().__init__(save_images(image, "preview", FolderType.temp, cls), animated)


class PreviewMask(PreviewImage):
    """Masks (B, H, W) to look at."""

    def __init__(self, mask: torch.Tensor, animated: bool = False, cls: type[ComfyNode] | None = None, **_options: Any):
        super().__init__(mask.reshape(-1, *mask.shape[-2:], 1).expand(-1, -1, -1, 3), animated, cls)


class PreviewAudio(SavedAudios):
    """Sound to listen to, written to the folder of previews."""

    def __init__(self, audio: dict[str, Any], cls: type[ComfyNode] | None = None, **_options: Any):
        super().__init__(save_audio(audio, "preview", FolderType.temp, cls))


class PreviewVideo(_Results):
    """Videos that were written."""

    def __init__(self, values: list[SavedResult], **_options: Any):
        super().__init__(values)

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | {"animated": (True,)}


class PreviewText:
    """Text to read."""

    def __init__(self, value: str, **_options: Any):
        self.value = value

    def as_dict(self) -> dict[str, Any]:
        """What the host publishes."""
        return {"text": (self.value,)}


def save_images(
    images: torch.Tensor, prefix: str, folder: FolderType, cls: type[ComfyNode] | None = None
) -> list[SavedResult]:
    """Write each picture of a batch (B, H, W, C) as a numbered PNG that carries its workflow."""
    results = []
    for number, image in enumerate(images):
        size = (image.shape[1], image.shape[0])
        path, subfolder = numbered_path(_folder(folder), prefix.replace("%batch_num%", str(number)), "_.png", size)
        image = (image.detach().cpu().float() * 255).clamp(0, 255).to(torch.uint8).float() / 255  # cut off, as ComfyUI
        media.write_picture(path, image, metadata=workflow_metadata(cls))
        results.append(SavedResult(path.name, subfolder, folder))
    return results


def save_audio(
    audio: dict[str, Any], prefix: str, folder: FolderType, cls: type[ComfyNode] | None = None
) -> list[SavedResult]:
    """Write each recording of a batch as a numbered FLAC file."""
    results = []
    for number, waveform in enumerate(audio["waveform"]):
        path, subfolder = numbered_path(_folder(folder), prefix.replace("%batch_num%", str(number)), ".flac")
        media.write_audio(path, waveform, audio["sample_rate"], metadata=workflow_metadata(cls))
        results.append(SavedResult(path.name, subfolder, folder))
    return results


def workflow_metadata(cls: type[ComfyNode] | None) -> dict[str, str]:
    """The workflow as JSON texts, to be kept inside the files it makes."""
    if cls is None:
        return {}
    facts = dict(cls.hidden.extra_pnginfo or {})
    if cls.hidden.prompt is not None:
        facts["prompt"] = cls.hidden.prompt
    return {name: json.dumps(value) for name, value in facts.items()}


def _folder(kind: FolderType) -> Path:
    return temp_folder() if kind == FolderType.temp else execution().output_folder
