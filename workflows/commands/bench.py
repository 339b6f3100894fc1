"""`articulate bench`: how fast the whole run is on this machine."""

import argparse
from pathlib import Path

from .common import add_json, add_quiet, print_json

SUMMARY = "measure the speed of the whole run on this machine"
EXAMPLES = """examples:
  articulate bench
  articulate bench portrait.jpg speech.wav --threads 1 --json
  articulate bench --against ICCV2023-MCNET
  articulate bench --against ATVGnet --dtype bfloat16"""

DTYPES = ("float32", "bfloat16", "float16")
SAMPLES = Path(__file__).resolve().parents[2] / "samples"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("portrait", nargs="?", default=str(SAMPLES / "portrait.jpg"), help="picture (the sample)")
    parser.add_argument("speech", nargs="?", default=str(SAMPLES / "speech.flac"), help="recording (the sample)")
    parser.add_argument("--threads", default="2,1", metavar="N,...", help="thread counts to measure (%(default)s)")
    parser.add_argument(
        "--against", metavar="DIR", help="measure MCNet or ATVGnet, ours and the authors' code in DIR, in turn instead"
    )
    parser.add_argument("--repeats", type=int, default=5, help="turns of each, with --against (%(default)s)")
    parser.add_argument(
        "--dtype", choices=DTYPES, default="float32", help="of our convolutions, with --against (%(default)s)"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda, with --against (%(default)s)")
    parser.add_argument("--batch", type=int, default=1, help="frames of MCNet at once, with --against (%(default)s)")
    add_json(parser)
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure, and print the figures."""
    from ...models_hub.errors import InputError
    from ...models_hub.evaluation.bench import bench
    from ...nodes.host import host_progress
    from ...nodes.standin.execution import Execution, executing

    if arguments.against:
        return _against(arguments)
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
    print(f"{figures['start_seconds']:.2f} s from starting Python to a finished video of one frame")
    for one in figures["runs"]:
        wall, processor = one["seconds_per_second"], one["cpu_seconds_per_second"]
        print(
            f"\n{one['threads']} thread(s): {wall:.2f} s for each second of video ({processor:.2f} s of processor time)"
        )
        for stage, share in one["shares"].items():
            print(f"  {stage:20s} {share:6.1%}")
        print(f"  (of the work of all threads; the encoder had no frame for {one['waiting']:.1%} of the time)")
    return 0


def _against(arguments: argparse.Namespace) -> int:
    """Ours and the authors' code in turn."""
    import torch

    from ...models_hub.errors import InputError
    from ...nodes.host import host_progress
    from ...nodes.standin.execution import Execution, executing

    try:
        from ...models_hub.evaluation.bench_peers import bench_against
    except ModuleNotFoundError as error:
        raise InputError("--against is not part of what ComfyUI's registry holds; clone the repository.") from error
    if min(arguments.repeats, arguments.batch) < 1:
        raise InputError(f"--repeats {arguments.repeats} and --batch {arguments.batch} must be 1 or more.")
    if arguments.device != "cpu" and not torch.cuda.is_available():
        raise InputError(f"--device {arguments.device} was asked for, but torch sees no GPU here; leave it out.")
    if arguments.device == "cpu" and arguments.dtype == "float16":
        raise InputError("--dtype float16 is for GPUs; on a processor choose float32 or bfloat16.")
    with executing(Execution(quiet=arguments.quiet, node_title="bench")):
        figures = bench_against(
            arguments.against,
            arguments.repeats,
            getattr(torch, arguments.dtype),
            arguments.device,
            arguments.batch,
            host_progress(arguments.repeats),
        )
    if arguments.json:
        print_json(figures)
        return 0
    seconds, peaks = figures["seconds_per_frame"], figures["peak_megabytes"]
    print(f"{figures['system']}, batch {figures['batch']}, {figures['device']}, medians of {arguments.repeats} turns")
    print(f"  the authors' code, float32:  {seconds['theirs']:.4f} s a frame ({1 / seconds['theirs']:.2f} a second)")
    print(f"  ours, {figures['dtype']}:{'':14s}{seconds['ours']:.4f} s a frame ({1 / seconds['ours']:.2f} a second)")
    print(f"  ratio {figures['ratio']:.2f}")
    print(f"  largest difference {figures['largest_difference']:.2e}, PSNR {figures['psnr']:.1f} dB")
    if peaks:
        print(f"  peak memory: {peaks['theirs']:.0f} MB theirs, {peaks['ours']:.0f} MB ours")
    return 0
