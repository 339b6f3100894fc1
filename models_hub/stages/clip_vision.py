"""What CLIP sees in a picture, without ComfyUI: through the package transformers, which is optional.

Inside of ComfyUI its own CLIP Vision nodes make the same embedding (CLIP_VISION_OUTPUT).
"""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import hub, references
from ..errors import InputError, WeightsError
from ..header import read_header

FILES = ("config.json", "model.safetensors")

MEAN, SPREAD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the RGB values that all CLIP models were trained with."""


def image_embedding(picture: Tensor, source: str) -> Tensor:
    """The image embedding of a picture.

    Args:
        picture: (H, W, 3) in 0..1; the middle square of it is looked at.
        source: a folder of config.json and model.safetensors as transformers saves a CLIP model (whole, or its vision
            tower with the projection), or a repository of the Hub that holds them, as owner/name or
            owner/name@revision.

    Returns:
        (1, E) float32, not normalised.

    Raises:
        InputError: transformers is not installed.
        WeightsError: the files are missing, damaged, or of another model.
    """
    try:
        from transformers import CLIPVisionModelWithProjection
    except ImportError as error:
        raise InputError(
            f"CLIP's weights are read by the package transformers, which cannot be used here ({error}); run  pip "
            "install transformers  and try again, or tune without CLIP."
        ) from error
    folder = weights_folder(source)
    read_header(folder / FILES[1])
    try:
        network, report = CLIPVisionModelWithProjection.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        raise WeightsError(f"{folder} holds no CLIP vision model that transformers can load ({error}).") from error
    missing = sorted(name for name in report["missing_keys"] if not name.endswith("position_ids"))
    if missing:
        raise WeightsError(
            f"{folder} is no CLIP model with an image projection: it lacks {', '.join(missing[:3])}. Choose one such "
            "as openai/clip-vit-base-patch32."
        )
    side = network.config.image_size
    with torch.inference_mode():
        return network.eval()(pixel_values=pixels(picture, side)).image_embeds.float().clone()


def pixels(picture: Tensor, side: int) -> Tensor:
    """The middle square of a picture (H, W, 3), as CLIP takes it: (1, 3, side, side)."""
    height, width = picture.shape[:2]
    scale = side / min(height, width)
    size = (max(side, round(height * scale)), max(side, round(width * scale)))
    image = picture[..., :3].float().permute(2, 0, 1)[None]
    image = F.interpolate(image, size=size, mode="bicubic", antialias=True).clamp(0, 1)
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    image = image[..., top : top + side, left : left + side]
    mean, spread = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, SPREAD))
    return (image - mean) / spread


def weights_folder(source: str) -> Path:
    """The folder that holds a model's files; fetched from the Hub if they are there alone."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        absent = [name for name in FILES if not (folder / name).is_file()]
        if absent:
            raise WeightsError(
                f"{folder} has no {' and no '.join(absent)}; give a folder as transformers saves a CLIP model."
            )
        return folder
    if not references.is_reference(source):
        raise WeightsError(
            f"{source} is neither a folder nor a repository of the Hub; write one such as openai/clip-vit-base-patch32."
        )
    reference = references.parse(source)
    places = {_of_the_hub(reference, name).parent for name in FILES}
    if len(places) > 1:  # the branch moved between the two
        raise WeightsError(
            f"The files of {source} are of two revisions; try again, or name one as owner/name@revision."
        )
    return places.pop()


def _of_the_hub(reference: references.Reference, name: str) -> Path:
    path = hub.cached(reference, name)
    if path is None:
        return hub.fetch(reference, name)
    hub.check_cached(path, reference)
    return path
