"""The host that the nodes live in: ComfyUI, or the stand-in of `standin/` when a script runs the graph.

All other modules take the node interface and the host's services from here and never ask which one it is.
"""

import sys
from pathlib import Path
from typing import Any

import torch

from ..models_hub import cards, finding, references
from ..models_hub.types import Progress

INSIDE_COMFYUI = "comfy_api" in sys.modules
"""ComfyUI has loaded its node interface long before it loads any pack; a script has not."""

if INSIDE_COMFYUI:
    from comfy_api.latest import ComfyExtension, Input, InputImpl, Types, io, ui

    from ..models_hub.stages.inference import use_runtime
    from .memory import ComfyRuntime

    VideoInput, VideoComponents = Input.Video, Types.VideoComponents
    use_runtime(ComfyRuntime())
else:
    from .standin import ComfyExtension, InputImpl, Types, VideoComponents, VideoInput, io, ui

__all__ = [
    "INSIDE_COMFYUI",
    "ComfyExtension",
    "InputImpl",
    "Types",
    "VideoComponents",
    "VideoInput",
    "host_progress",
    "intermediate_device",
    "io",
    "models_folders",
    "release_memory",
    "ui",
    "weights_choices",
    "weights_file",
]


def host_progress(total: int, node_id: str | None = None, shown_on: str | None = None) -> Progress:
    """A progress callback for the running node; it is also the place where a run can be cancelled.

    Call it with (done, in all), or with a third argument, a frame (H, W, 3) in 0..1, which ComfyUI shows live.

    Args:
        total: steps in all, usually frames; a later call may correct it.
        node_id: the node whose bar moves; None means the one that is executing.
        shown_on: a node that shows the frames in its place, and moves its bar with it.
    """
    return _comfyui_progress(total, node_id, shown_on) if INSIDE_COMFYUI else _terminal_progress(total)


def _comfyui_progress(total: int, node_id: str | None, shown_on: str | None) -> Progress:
    from comfy.model_management import throw_exception_if_processing_interrupted
    from comfy.utils import ProgressBar
    from comfy_execution.progress import get_progress_state

    bar = ProgressBar(total, node_id=node_id)
    canvas = ProgressBar(total, node_id=shown_on) if shown_on else None

    def progress(done: int, in_all: int, frame: torch.Tensor | None = None) -> None:
        throw_exception_if_processing_interrupted()
        picture = None if frame is None else ("JPEG", _as_pillow(frame), 512)
        if canvas is not None:
            canvas.update_absolute(done, in_all, picture)
            if done >= in_all:
                get_progress_state().finish_progress(shown_on)
        bar.update_absolute(done, in_all, picture if canvas is None else None)

    return progress


def _as_pillow(frame: torch.Tensor) -> Any:
    from PIL import Image

    return Image.fromarray((frame.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8).numpy())


def _terminal_progress(total: int) -> Progress:
    from tqdm import tqdm

    from .standin.execution import execution

    run = execution()
    bar = tqdm(total=total, desc=run.node_title or None, unit="", disable=run.quiet or None, leave=True)

    def progress(done: int, in_all: int, frame: torch.Tensor | None = None) -> None:
        bar.total = in_all
        bar.update(done - bar.n)
        if done >= in_all:
            bar.close()

    return progress


def models_folders(stage: str) -> list[Path]:
    """Folders that may hold weights files for a stage, in the order in which they are searched.

    In ComfyUI: the folders registered as `articulate` (models/articulate and extra_model_paths), then the one that
    `articulate models convert` writes to. In a script: `ARTICULATE_MODELS` or ~/.cache/articulate, which is that one,
    then models/articulate below the current directory.
    """
    if not INSIDE_COMFYUI:
        return finding.model_folders(stage)
    import folder_paths

    default, extensions = str(Path(folder_paths.models_dir) / "articulate"), {".safetensors"}
    folders, known = folder_paths.folder_names_and_paths.get("articulate", ([], set()))
    if default not in folders or not extensions <= set(known):  # extra_model_paths may have registered its own first
        everywhere = [*folders, *([] if default in folders else [default])]
        folder_paths.folder_names_and_paths["articulate"] = (everywhere, {*known, *extensions})
    roots = [Path(root) / stage for root in folder_paths.get_folder_paths("articulate")]
    return [*roots, finding.model_folders(stage)[0]]


def weights_choices(stage: str) -> list[str]:
    """Names for the `weights` input of a stage: the embedded default first, then cards, then the user's files."""
    return finding.choices(stage, models_folders(stage))


def weights_file(stage: str, choice: str, repository: str | None = None) -> str:
    """What `models_hub.loading` takes for a choice: "embedded", or the path of the verified file.

    Weights of the Hub are fetched here, with a bar on the node; cancelling the run cancels the download.

    Args:
        stage: name of the stage.
        choice: "embedded", the name of a card or of a file in a model folder, or `owner/name@revision:file`.
        repository: such a reference; where it is given, the choice does not matter.

    Raises:
        WeightsError: there is no such file, or it is not what it should be.
    """
    wanted, bars = (repository or "").strip() or choice, []

    def progress(done: int, in_all: int) -> None:
        if not bars:
            bars.append(host_progress(in_all))
        bars[0](done, in_all)

    if repository and repository.strip():
        references.parse(wanted)  # a file's or a card's name is none
    path = finding.find(stage, wanted, models_folders(stage), progress)
    return wanted if wanted == "embedded" and path.parent == cards.WEIGHTS_FOLDER else str(path)


def intermediate_device() -> torch.device:
    """The device on which results travel between nodes."""
    if INSIDE_COMFYUI:
        from comfy.model_management import intermediate_device as device

        return device()
    return torch.device("cpu")


def release_memory() -> None:
    """Give back what a long work has taken, to the host and to the device."""
    import gc

    gc.collect()
    if INSIDE_COMFYUI:
        from comfy.model_management import soft_empty_cache

        soft_empty_cache()
