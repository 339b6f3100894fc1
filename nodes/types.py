"""The socket types of this pack, and inputs that several nodes share."""

from collections.abc import Callable
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..models_hub import finding
from ..models_hub.errors import InputError, WeightsError
from .host import io, models_folders, weights_choices

CATEGORY = "Articulate"
PACK_FOLDER = Path(__file__).resolve().parent.parent

Face = io.Custom("ART_FACE")
Speech = io.Custom("ART_SPEECH")
Landmarks = io.Custom("ART_LANDMARKS")
Density = io.Custom("ART_DENSITY")
Warp = io.Custom("ART_WARP")
Frames = io.Custom("ART_FRAMES")
Critics = io.Custom("ART_CRITICS")
Keypoints = io.Custom("ART_KEYPOINTS")

FaceLandmarks = io.Custom("FACE_LANDMARKS")
"""ComfyUI's own type of its MediaPipe nodes; named here so that hosts without those nodes load the pack too."""

BoundingBox = io.Custom("BOUNDING_BOX")
"""ComfyUI's own type, taken as a plain socket."""


def weights_input(stage: str) -> io.Combo.Input:
    """The choice of weights of a stage: the embedded default first, then its other cards, then the user's files."""
    return io.Combo.Input(
        "weights",
        options=weights_choices(stage),
        default="embedded",
        tooltip="The weights of this stage's network. 'embedded' comes with the pack and needs no download; "
        f"other safetensors files are found in models/articulate/{stage}.",
    )


def published_weights_input(stage: str) -> io.Combo.Input:
    """The choice of weights of a stage that only published checkpoints serve; users bring and convert them."""
    choices = [name for name in weights_choices(stage) if name != "embedded"]
    return io.Combo.Input(
        "weights",
        options=choices,
        default=stage,
        tooltip="The converted checkpoint. It is not part of this pack: get it from its authors and run 'articulate "
        f"models convert', which puts it into models/articulate/{stage}.",
    )


def repository_input() -> io.String.Input:
    """Weights from the Hub, typed; stands behind the choice that it replaces."""
    return io.String.Input(
        "repository",
        optional=True,
        default="",
        advanced=True,
        tooltip="Weights from the Hugging Face Hub in place of the choice above, as owner/name, owner/name:file or "
        "owner/name@revision:file. They are fetched once, verified and kept. Leave it empty to use the choice above.",
    )


def weights_state(stage: str, weights: str | None, repository: str | None = None) -> str:
    """A text that changes when the chosen weights do, so that results made by the old ones are not reused."""
    choice = (repository or "").strip() or weights or "embedded"
    try:
        return finding.state(stage, choice, models_folders(stage))
    except WeightsError as error:  # running the node says so again, where it can be seen
        return str(error)


def explains_missing_packages(function: Callable) -> Callable:
    """Decorator: a package that is not installed becomes a sentence that says how to install it."""

    @wraps(function)
    def explained(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except ModuleNotFoundError as error:
            raise InputError(
                f"The package {error.name!r} is not installed, but this node needs it; run  python -m pip install "
                f"-r requirements.txt  with ComfyUI's Python in {PACK_FOLDER}, then start again."
            ) from error

    return explained


def detector_problem(detector: str | None) -> str:
    """Why a detector cannot be used, or nothing; a linked choice comes as None and is checked when the node runs.

    Missing models are found when the node runs: they may lie where only a linked value says.
    """
    if detector not in (None, "embedded", "insightface"):
        return f"{detector!r} is not a detector; choose 'embedded' or 'insightface'."
    if detector == "insightface" and find_spec("insightface") is None:
        return (
            "The detector 'insightface' needs its package; run  pip install insightface onnxruntime  in ComfyUI's "
            "Python, or choose 'embedded'."
        )
    return ""


def images_rate_input() -> io.Float.Input:
    """Frames a second where a batch of images stands in for a video."""
    return io.Float.Input(
        "fps",
        default=25.0,
        min=1.0,
        max=120.0,
        step=0.001,
        optional=True,
        advanced=True,
        tooltip="Frames a second of a batch of images; a video knows its own, and this is not used.",
    )


def range_inputs(count: int) -> list[io.Int.Input]:
    """Which frames a preview shows. Few frames keep memory small, whatever the length of the video."""
    return [
        io.Int.Input(
            "start", default=0, min=0, max=10_000_000, tooltip="Number of the first frame to show, counted from 0."
        ),
        io.Int.Input(
            "count",
            default=count,
            min=1,
            max=4096,
            tooltip="How many frames to show. Each is a full picture in memory, so show few of a long video.",
        ),
        io.Int.Input(
            "step",
            default=5,
            min=1,
            max=100_000,
            tooltip="Distance between shown frames in frames: 5 shows every fifth, five a second at 25 fps.",
        ),
    ]
