"""Loading, saving, showing and resizing pictures, as ComfyUI's core does it."""

import hashlib
from pathlib import Path

import torch
import torch.nn.functional as F

from ...models_hub.errors import ArticulateError
from ...models_hub.media import read_picture
from ...nodes.standin import io, ui
from ...nodes.standin.execution import find_input

_METHODS = ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]
_LARGEST = 16384


def file_exists(name: str | None) -> bool | str:
    """For `validate_inputs`: True, or why an input file cannot be found. A linked name comes as None."""
    if name is not None:
        try:
            find_input(name)
        except ArticulateError as error:
            return str(error)
    return True


def file_digest(name: str) -> str:
    """For `fingerprint_inputs`: changes with the content of an input file."""
    with open(find_input(name), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class LoadImage(io.ComfyNode):
    """A picture file -> IMAGE, and its transparency -> MASK."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoadImage",
            display_name="Load Image",
            category="image",
            inputs=[io.Combo.Input("image", upload=io.UploadType.image)],
            outputs=[io.Image.Output(), io.Mask.Output()],
        )

    @classmethod
    def execute(cls, image: str) -> io.NodeOutput:
        picture = _as_comfyui_reads(find_input(image))
        mask = 1 - picture[..., 3] if picture.shape[-1] == 4 else torch.zeros(64, 64)
        return io.NodeOutput(picture[None, ..., :3], mask[None])

    @classmethod
    def validate_inputs(cls, image: str | None) -> bool | str:
        return file_exists(image)

    @classmethod
    def fingerprint_inputs(cls, image: str) -> str:
        return file_digest(image)


def _as_comfyui_reads(path: Path) -> torch.Tensor:
    """A picture as (H, W, 3 or 4); of a JPEG the same numbers as in ComfyUI from 0.21 on, which decodes with FFmpeg.

    libjpeg, which Pillow uses, enlarges the colour planes in another way, and frames are to be equal bit by bit.
    """
    picture = read_picture(path)  # also says what is wrong with a file
    with open(path, "rb") as file:
        if file.read(3) != b"\xff\xd8\xff":
            return picture
    import av

    try:
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            values = frame.to_ndarray(format="rgb24")
    except (av.FFmpegError, StopIteration, ValueError):
        return picture
    if not frame.format.name.startswith("yuvj"):
        return picture
    decoded = torch.from_numpy(values).rot90(round(frame.rotation / 90)).float() / 255
    return decoded.contiguous() if decoded.shape == picture.shape else picture


class SaveImage(io.ComfyNode):
    """IMAGE -> numbered PNG files in the output folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SaveImage",
            display_name="Save Image",
            category="image",
            inputs=[io.Image.Input("images"), io.String.Input("filename_prefix", default="ComfyUI")],
            outputs=[io.Image.Output("images")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, images: torch.Tensor, filename_prefix: str) -> io.NodeOutput:
        saved = ui.save_images(images, filename_prefix, io.FolderType.output, cls)
        return io.NodeOutput(images, ui=ui.SavedImages(saved))


class PreviewImage(io.ComfyNode):
    """IMAGE -> PNG files in the folder of previews."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PreviewImage",
            display_name="Preview Image",
            category="image",
            inputs=[io.Image.Input("images")],
            outputs=[io.Image.Output("images")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, images: torch.Tensor) -> io.NodeOutput:
        return io.NodeOutput(images, ui=ui.PreviewImage(images, cls=cls))


class ImageScale(io.ComfyNode):
    """IMAGE -> IMAGE of another size; a width or height of 0 follows from the other."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImageScale",
            display_name="Upscale Image",
            category="image/upscaling",
            inputs=[
                io.Image.Input("image"),
                io.Combo.Input("upscale_method", options=_METHODS),
                io.Int.Input("width", default=512, min=0, max=_LARGEST),
                io.Int.Input("height", default=512, min=0, max=_LARGEST),
                io.Combo.Input("crop", options=["disabled", "center"]),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, image: torch.Tensor, upscale_method: str, width: int, height: int, crop: str) -> io.NodeOutput:
        if width == 0 and height == 0:
            return io.NodeOutput(image)
        old_height, old_width = image.shape[1:3]
        width = width or max(1, round(old_width * height / old_height))
        height = height or max(1, round(old_height * width / old_width))
        if crop == "center":
            across = max(0, round((old_width - old_height * width / height) / 2))
            down = max(0, round((old_height - old_width * height / width) / 2))
            image = image[:, down : old_height - down, across : old_width - across]
        return io.NodeOutput(_resized(image, width, height, upscale_method))


class ImageScaleBy(io.ComfyNode):
    """IMAGE -> IMAGE, each side multiplied by a factor."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImageScaleBy",
            display_name="Upscale Image By",
            category="image/upscaling",
            inputs=[
                io.Image.Input("image"),
                io.Combo.Input("upscale_method", options=_METHODS),
                io.Float.Input("scale_by", default=1.0, min=0.01, max=8.0, step=0.01),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, image: torch.Tensor, upscale_method: str, scale_by: float) -> io.NodeOutput:
        height, width = (max(1, round(side * scale_by)) for side in image.shape[1:3])
        return io.NodeOutput(_resized(image, width, height, upscale_method))


def _resized(images: torch.Tensor, width: int, height: int, method: str) -> torch.Tensor:
    if method == "lanczos":
        from PIL import Image

        pictures = (images.clamp(0, 1) * 255).to(torch.uint8).numpy()
        scaled = [Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS) for picture in pictures]
        return (
            torch.stack([torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8) for picture in scaled])
            .reshape(len(images), height, width, -1)
            .float()
            .div(255)
        )
    return F.interpolate(images.movedim(-1, 1), size=(height, width), mode=method).movedim(1, -1)


class RepeatImageBatch(io.ComfyNode):
    """IMAGE -> the same pictures several times over."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RepeatImageBatch",
            display_name="Repeat Image Batch",
            category="image/batch",
            inputs=[io.Image.Input("image"), io.Int.Input("amount", default=1, min=1, max=4096)],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, image: torch.Tensor, amount: int) -> io.NodeOutput:
        return io.NodeOutput(image.repeat(amount, 1, 1, 1))


class ImageFromBatch(io.ComfyNode):
    """IMAGE -> some consecutive pictures of it; a negative index counts from the end."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImageFromBatch",
            display_name="Get Image from Batch",
            category="image/batch",
            inputs=[
                io.Image.Input("image"),
                io.Int.Input("batch_index", default=0, min=-_LARGEST, max=_LARGEST),
                io.Int.Input("length", default=1, min=1, max=4096),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, image: torch.Tensor, batch_index: int, length: int) -> io.NodeOutput:
        start = batch_index + (len(image) if batch_index < 0 else 0)
        start = max(0, min(len(image) - 1, start))
        return io.NodeOutput(image[start : start + length].clone())
