"""`bench --against`: the published systems in the authors' code and in ours, alternating, with the same weights."""

import multiprocessing
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..converters.atvgnet import BASICS, frame_network, landmark_network
from ..converters.checkpoint import plain_state
from ..converters.mcnet import keypoint_detector, warper_and_generator
from ..loading import load_network, map_anew, save_network
from ..networks.acceleration import accelerated
from ..networks.atvgnet import EXAGGERATION
from ..stages.inference import folded
from ..types import Progress
from .peers import Peer, load_peer

CLIP = 24  # frames of ATVGnet, which makes whole clips

Step = Callable[[], Tensor]
Networks = dict[str, nn.Module]
Inputs = dict[str, Tensor]


def bench_against(
    path: str | Path,
    repeats: int = 5,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    batch: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Time and memory of a published system, theirs in float32 and ours.

    Random weights are drawn in the authors' networks and converted; speed does not depend on them. Both make the
    same frames in turn, one thread each, so that a machine that others use slows both. On a CPU processor time counts,
    on a GPU wall time. Peak memory is that of a fresh process for each, beyond what it held before the weights.

    Args:
        path: the authors' code; see `load_peer`.
        repeats: measured turns of each.
        dtype: of our convolutions.
        device: where both run.
        batch: frames at once (MCNet).
        progress: called with (turns done, turns in all).

    Returns:
        system, dtype, device, batch, threads; seconds_per_frame and peak_megabytes, each of "theirs" and "ours";
        ratio (theirs over ours, of the medians); largest difference and psnr of the frames.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            torch.manual_seed(7)
            peer = load_peer(path)
            inputs, frames = random_inputs(peer.name, batch)
            inputs = {name: value.to(device) for name, value in inputs.items()}
            ours = STEPS[peer.name](converted(peer), inputs, dtype, device)
            theirs = partial(peer.run, {name: network.to(device) for name, network in peer.networks.items()}, inputs)
            expected, made = theirs(), ours()
            times: dict[str, list[float]] = {"theirs": [], "ours": []}
            for turn in range(repeats):
                for side, step in (("theirs", theirs), ("ours", ours)):
                    times[side].append(_timed(step, device) / frames)
                if progress is not None:
                    progress(turn + 1, repeats)
    finally:
        torch.set_num_threads(before)
    difference = expected.float().cpu() - made.float().cpu()
    medians = {side: statistics.median(values) for side, values in times.items()}
    spread = 1.0 if peer.name == "mcnet" else 2.0  # of the pixels: 0..1 or -1..1
    return {
        "system": peer.name,
        "dtype": str(dtype).removeprefix("torch."),
        "device": device,
        "batch": batch,
        "threads": 1,
        "seconds_per_frame": medians,
        "ratio": medians["theirs"] / medians["ours"],
        "largest_difference": float(difference.abs().max()),
        "psnr": float(10 * torch.log10(spread**2 / difference.square().mean().clamp(min=1e-20))),
        "peak_megabytes": _peaks(path, dtype, batch) if device == "cpu" else {},
    }


def _timed(step: Step, device: str) -> float:
    clock = time.process_time if device == "cpu" else time.perf_counter
    if device != "cpu":
        torch.cuda.synchronize()
    start = clock()
    step()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - start


def mcnet_step(networks: Networks, inputs: Inputs, dtype: torch.dtype, device: str) -> Step:
    """Ours: the source once, then everything for each batch of frames."""
    detector = networks["keypoints"].to(device)
    warper, generator = (_ready(networks.pop(name), dtype, device) for name in ("warper", "generator"))
    state: list[Any] = []

    def step() -> Tensor:
        if not state:
            state.extend([detector(inputs["source"]), warper.encode(inputs["source"])])
        keypoints, picture = state
        flow, occlusion, features = warper(picture, keypoints, detector(inputs["driving"]))
        return generator(features, inputs["source"], flow, occlusion)[0]

    return step


def atvgnet_step(networks: Networks, inputs: Inputs, dtype: torch.dtype, device: str) -> Step:
    """Ours: from MFCC windows to the frames of a clip."""
    listener = _ready(networks.pop("landmarks"), torch.float32, device)
    painter = _ready(networks.pop("frames"), dtype, device)

    def step() -> Tensor:
        coefficients = listener(inputs["windows"], inputs["example"])[0] * inputs["exaggeration"]
        return painter(inputs["image"], listener.expand(coefficients), listener.expand(inputs["example"]))[0]

    return step


STEPS = {"mcnet": mcnet_step, "atvgnet": atvgnet_step}


def random_inputs(name: str, batch: int) -> tuple[Inputs, int]:
    """What both sides get, on the CPU, and how many frames they make of it."""
    if name == "mcnet":
        noise = torch.rand(batch + 1, 3, 16, 16)
        pictures = nn.functional.interpolate(noise, size=256, mode="bicubic").clamp(0, 1)
        return {"source": pictures[:1], "driving": pictures[1:]}, batch
    constants = landmark_space()
    inputs = {
        "windows": torch.randn(1, CLIP, 28, 12),
        "image": torch.rand(1, 3, 128, 128) * 2 - 1,
        "example": torch.randn(1, 6) * 0.1,
        "basis": constants["U_lrw1"][:, :6].float(),
        "mean": constants["mean_lrw1"].float(),
        "exaggeration": torch.tensor(EXAGGERATION),
    }
    return inputs, CLIP


def landmark_space() -> dict[str, Tensor]:
    """Stand-ins of the right shapes for the constants of ATVGnet's demo, always the same."""
    chance = torch.Generator().manual_seed(3)
    random = {name: torch.randn(shape, generator=chance, dtype=torch.float64) for name, shape in BASICS.items()}
    random["U_lrw1"], _ = torch.linalg.qr(random["U_lrw1"])
    return random | {"S": random["U_lrw1"][:100], "mean_lrw1": random["mean_lrw1"] * 0.3}


def converted(peer: Peer) -> Networks:
    """Our networks with the weights of theirs."""
    states = {name: plain_state(network.state_dict(), name) for name, network in peer.networks.items()}
    if peer.name == "mcnet":
        (warper, _), (generator, _) = warper_and_generator(states["generator"])
        return {"keypoints": keypoint_detector(states["kp_detector"])[0], "warper": warper, "generator": generator}
    constants = landmark_space()
    frames, _ = frame_network(states["vg"], constants)
    return {"landmarks": landmark_network(states["at"], constants), "frames": frames}


def _ready(network: nn.Module, dtype: torch.dtype, device: str) -> nn.Module:
    if device != "cpu":
        return folded(network).to(device=device, dtype=dtype)
    quick = accelerated(network, dtype, map_anew)
    map_anew(network)
    return quick


def _peaks(path: str | Path, dtype: torch.dtype, batch: int) -> dict[str, float]:
    """Megabytes that each side needs at most, in a fresh process of its own; nothing where they cannot be told."""
    if not Path("/proc/self/status").is_file():
        return {}
    context, peaks = multiprocessing.get_context("spawn"), {}
    with tempfile.TemporaryDirectory(prefix="articulate-bench-") as folder:
        for task in (_write_ours, _peak_of_theirs, _peak_of_ours):
            with context.Pool(1) as pool:
                peaks[task] = pool.apply(task, (str(path), folder, dtype, batch))
    return {"theirs": peaks[_peak_of_theirs], "ours": peaks[_peak_of_ours]}


def _write_ours(path: str, folder: str, _dtype: torch.dtype, _batch: int) -> None:
    for name, network in converted(load_peer(path)).items():
        save_network(network, Path(folder) / f"{name}.safetensors", {})


def _peak_of_theirs(path: str, _folder: str, _dtype: torch.dtype, batch: int) -> float:
    before = _memory("VmRSS")
    peer = load_peer(path)
    inputs, _ = random_inputs(peer.name, batch)
    return _highest(lambda: peer.run(peer.networks, inputs), before)


def _peak_of_ours(_path: str, folder: str, dtype: torch.dtype, batch: int) -> float:
    before = _memory("VmRSS")
    networks = {file.stem: load_network("", str(file)) for file in Path(folder).glob("*.safetensors")}
    name = "mcnet" if "warper" in networks else "atvgnet"
    inputs, _ = random_inputs(name, batch)
    return _highest(STEPS[name](networks, inputs, dtype, "cpu"), before)


def _highest(step: Step, before: float) -> float:
    torch.set_num_threads(1)
    with torch.inference_mode():
        step()
        step()
    return _memory("VmHWM") - before


def _memory(name: str) -> float:
    """A line of this process's status, in megabytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    return 0.0
