"""What `talk` and `drive` share: fill in a workflow, render its video to the file that was asked for."""

import argparse
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .common import add_device, add_json, add_quiet, file_facts, print_json

API_FOLDER = Path(__file__).resolve().parent.parent / "api"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The portrait, the output file and the options of face and picture."""
    parser.add_argument("portrait", metavar="PORTRAIT", help="picture with a face")
    parser.add_argument("-o", "--output", required=True, metavar="OUT.mp4", help="video file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the output file if it exists")
    parser.add_argument("--mode", choices=("picture", "crop"), help="the full picture (default), or the face alone")
    parser.add_argument("--face-index", type=int, metavar="N", help="which face, counted from 0, the largest first")
    parser.add_argument("--detector", choices=("embedded", "insightface"), help="what finds the face (embedded)")
    add_device(parser)
    add_json(parser)
    add_quiet(parser)


def render(workflow_file: str, files: dict[str, str], settings: dict[str, Any], arguments: argparse.Namespace) -> int:
    """Run a workflow up to its video and save that to `arguments.output`.

    Args:
        workflow_file: name of a file in workflows/api.
        files: what each input file must be, by its path.
        settings: values by "CLASS.INPUT"; None keeps the workflow's own.
        arguments: the parsed options of `add_arguments`.

    Raises:
        MediaError: an input cannot be read, or the output is an input, no .mp4 or cannot be written.
    """
    from ...models_hub.media.files import check_readable
    from ...models_hub.stages.inference import runtime_on, using_runtime
    from ...nodes.standin.execution import Execution, executing
    from ..graph import load_workflow
    from ..runner import Runner

    for path, kind in files.items():
        check_readable(path, kind)
    output = output_file(arguments.output, files, arguments.overwrite)  # before minutes of work, not after
    runs = {"device": arguments.device, "precision": arguments.precision}
    started = time.perf_counter()
    settings = settings | {
        "LoadImage.image": arguments.portrait,
        "ArticulateFace.face_index": arguments.face_index,
        "ArticulateFace.detector": arguments.detector,
        "ArticulateCompose.mode": arguments.mode,
    }
    workflow = load_workflow(API_FOLDER / workflow_file)
    compose = workflow.find("ArticulateCompose").id
    given = {place: value for place, value in settings.items() if value is not None}
    result = Runner().run(workflow, given, input_dir=".", targets=[compose], quiet=arguments.quiet, **runs)
    video = result.outputs[compose][0]
    rendering = time.perf_counter()
    with executing(Execution(quiet=arguments.quiet, node_title="Rendering")), using_runtime(runtime_on(**runs)):
        video.save_to(str(output), metadata={"prompt": workflow.prompt})
    rendered = time.perf_counter()
    facts = file_facts(output.resolve())
    if arguments.json:
        seconds = {node: round(value, 3) for node, value in result.seconds.items()}
        seconds |= {"rendering": round(rendered - rendering, 3), "total": round(rendered - started, 3)}
        print_json(facts | {"compute_seconds": seconds})
    else:
        print(output)
        if not arguments.quiet:
            per_second = (rendered - started) / max(facts["seconds"], 1e-9)
            print(
                f"{facts['frames']} frames of {facts['width']} x {facts['height']} in {rendered - started:.1f} s "
                f"({per_second:.2f} s for each second of video)",
                file=sys.stderr,
            )
    return 0


def output_file(name: str, inputs: Iterable[str], overwrite: bool) -> Path:
    """The path of the video to write.

    Args:
        name: as it was given.
        inputs: files that are read, and stay as they are whatever `overwrite` says.
        overwrite: another existing file may be replaced.

    Raises:
        MediaError: it is one of the inputs, does not end in .mp4, or cannot be written.
    """
    from ...models_hub.errors import MediaError
    from ...models_hub.media.files import check_other, check_writable

    if name.endswith((os.sep, os.altsep or os.sep)):
        raise MediaError(f"{name} is a folder, so no file can be written there; add a file name, as {name}talking.mp4.")
    check_other(name, inputs)
    path = Path(os.path.expanduser(name))
    if path.suffix.lower() != ".mp4":
        raise MediaError(f"{name} does not end in .mp4, the only kind of video that is written; name it so.")
    check_writable(path, overwrite)
    return path
