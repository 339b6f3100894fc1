"""`articulate bench`: how fast the whole run is on this machine."""

import argparse
from pathlib import Path

from .common import add_json, add_quiet, print_json

SUMMARY = "measure the speed of the whole run on this machine"
EXAMPLES = """examples:
  articulate bench
  articulate bench portrait.jpg speech.wav --threads 1 --json"""

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("portrait", nargs="?", default=str(SAMPLES / "portrait.jpg"), help="picture (the sample)")
    parser.add_argument("speech", nargs="?", default=str(SAMPLES / "speech.flac"), help="recording (the sample)")
    parser.add_argument("--threads", default="2,1", metavar="N,...", help="thread counts to measure (%(default)s)")
    add_json(parser)
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure, and print the figures."""
    from ...models_hub.errors import InputError
    from ...models_hub.evaluation.bench import bench
    from ...nodes.host import host_progress
    from ...nodes.standin.execution import Execution, executing

    try:
        threads = [int(count) for count in arguments.threads.split(",")]
    except ValueError:
        threads = []
    if not threads or min(threads) < 1:
        raise InputError(f"--threads {arguments.threads!r} is no list of whole numbers from 1; write it as 2,1.")
    with executing(Execution(quiet=arguments.quiet, node_title="bench")):
        figures = bench(arguments.portrait, arguments.speech, threads, host_progress(1))
    if arguments.json:
        print_json(figures)
        return 0
    size = f"{figures['width']} x {figures['height']}"
    print(f"{figures['frames']} frames of {size}, {figures['video_seconds']:.2f} s of video")
    print(f"flow + memory + generation: {figures['gflop_per_frame']:.2f} GFLOP a frame")
    for one in figures["runs"]:
        wall, processor = one["seconds_per_second"], one["cpu_seconds_per_second"]
        print(
            f"\n{one['threads']} thread(s): {wall:.2f} s for each second of video ({processor:.2f} s of processor time)"
        )
        for stage, share in one["shares"].items():
            print(f"  {stage:20s} {share:6.1%}")
    return 0
