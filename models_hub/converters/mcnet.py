"""MCNet's checkpoint -> keypoint detector, warper and generator (names and shapes: seed 01, section 7).

Besides new names three things change, none of which changes a number that comes out:
- Two convolutions on the same input become one (heat maps and frames, choice and occlusion).
- The factors of the "equalised learning rate" are multiplied into the weights.
- The memory unit takes the odd channels and interleaves its answer with the even ones; here the channels are
  sorted once, even before odd, in every layer that sees them.
"""

import json
import math
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import WeightsError
from ..loading import save_network
from ..networks import mcnet_blocks, mcnet_keypoints, mcnet_memory, mcnet_motion
from ..networks.mcnet import MCNetGenerator, MCNetWarper
from ..networks.mcnet_blocks import hourglass_sizes
from ..networks.mcnet_keypoints import MCNetKeypointDetector
from .checkpoint import State, fill_network, plain_state, read_checkpoint, rename, take

FILES = {
    MCNetKeypointDetector: "mcnet_keypoints.safetensors",
    MCNetWarper: "mcnet_warper.safetensors",
    MCNetGenerator: "mcnet_generator.safetensors",
}

CONSTANTS = {
    "input_size": 256,
    "normalisation": "RGB in 0..1",
    "heat_map_temperature": mcnet_keypoints.TEMPERATURE,
    "keypoint_variance": mcnet_motion.VARIANCE,
    "thumbnail_sigma": mcnet_blocks.THUMBNAIL_SIGMA,
    "attention_sharpness": mcnet_memory.SHARPNESS,
    "mixing_temperature": mcnet_memory.MIXING_TEMPERATURE,
    "memory_noise_at_inference": 0,
}

CONV_NORM = ((r"\.conv\.(weight|bias)$", r".conv.0.\1"), (r"\.norm\.(\w+)$", r".conv.1.\1"))
HOURGLASS = ((r"(encoder|decoder)\.(down|up)_blocks\.", r"\2."), *CONV_NORM)

MEMORY = (
    (r"^mbUnit\.mb$", "bank"),
    (r"^mbUnit\.feat_forward_proj_32\.", "project.0."),
    (r"^mbUnit\.feat_forward_proj_64\.", "project.1."),
    (r"^mbUnit\.feat_forward_proj_128\.", "project.2."),
    (r"^mbUnit\.style_route\.", "style."),
    (r"^mbUnit\.styleconv\.weight$", "noise"),
    (r"^mbUnit\.styleconv\.modulated_conv\.modulation\.", "modulation."),
    (r"^mbUnit\.styleconv\.modulated_conv\.weight$", "condition.weight"),
    (r"^mbUnit\.styleconv\.activate\.bias$", "condition.bias"),
    (r"^mbUnit\.conv_kv\.attention\.fc1\.weight$", "mixing.0.weight"),
    (r"^mbUnit\.conv_kv\.attention\.fc2\.", "mixing.2."),
    (r"^mbUnit\.conv_kv\.weight$", "experts"),
    (r"^mbUnit\.conv_kv\.bias$", "experts_bias"),
    (r"^mbUnit\.query_conv\.", "query."),
    (r"^mbUnit\.diff_conv\.", "difference."),
    (r"^mbUnit\.conv_32\.", "merge.0."),
    (r"^mbUnit\.conv_64\.", "merge.1."),
    (r"^mbUnit\.conv_128\.", "merge.2."),
    (r"^mbUnit\.norm_32\.", "norm.0."),
    (r"^mbUnit\.norm_64\.", "norm.1."),
    (r"^mbUnit\.norm_128\.", "norm.2."),
)


def convert_mcnet(path: str | Path, output: str | Path) -> list[Path]:
    """Convert a checkpoint of MCNet (`final-checkpoint.pth.tar`).

    Args:
        path: the authors' file. Discriminator and optimisers in it are left behind.
        output: folder for the three safetensors files; it is made if need be.

    Returns:
        The written files: keypoint detector, warper, generator.

    Raises:
        WeightsError: it is no checkpoint of MCNet, or of another variant.
    """
    content, digest = read_checkpoint(path)
    absent = [name for name in ("generator", "kp_detector") if name not in content]
    if absent:
        raise WeightsError(
            f"{path} has no {' and no '.join(absent)} (it has {', '.join(map(str, list(content)[:6]))}); "
            "MCNet's checkpoint, final-checkpoint.pth.tar, has both."
        )
    detector = keypoint_detector(plain_state(content["kp_detector"], f"{path}: kp_detector"))
    warper, generator = warper_and_generator(plain_state(content["generator"], f"{path}: generator"))
    del content
    facts = {
        "constants": json.dumps(CONSTANTS),
        "source": "harlanhong/ICCV2023-MCNET checkpoint, converted; the authors' terms apply",
        "source_file": Path(path).name,
        "source_sha256": digest,
    }
    written = []
    for network, config in (detector, warper, generator):
        target = Path(output).expanduser() / FILES[type(network)]
        save_network(network, target, config, **facts)
        written.append(target)
    return written


def keypoint_detector(state: State) -> tuple[nn.Module, dict]:
    """The detector and its sizes from the published tensors (names without `module.`)."""
    what = "The keypoint detector"
    state = rename(state, ((r"^predictor\.", "hourglass."), *HOURGLASS))
    _check_thumbnail_filter(take(state, "down.weight", what), what)
    for leaf in ("weight", "bias"):
        state[f"heads.{leaf}"] = torch.cat([take(state, f"{name}.{leaf}", what) for name in ("kp", "jacobian")])
    sizes = {"keypoints": len(state["heads.bias"]) // 5, **_hourglass(state, "hourglass.", what)}
    return fill_network(MCNetKeypointDetector(**sizes), state, what), sizes


def warper_and_generator(state: State) -> tuple[tuple[nn.Module, dict], tuple[nn.Module, dict]]:
    """Warper and decoder, each with its sizes, from the published generator's tensors (names without `module.`)."""
    what = "The generator"
    state = rename(state, (*MEMORY, (r"^dense_motion_network\.", "dense_motion."), (r"^first\.conv\.", "first.0."),
                           (r"^first\.norm\.", "first.1."), *HOURGLASS))  # fmt: skip
    _check_thumbnail_filter(take(state, "dense_motion.down.weight", what), what)
    for leaf in ("weight", "bias"):
        both = [take(state, f"dense_motion.{name}.{leaf}", what) for name in ("mask", "occlusion")]
        state[f"dense_motion.heads.{leaf}"] = torch.cat(both)
    width = len(take(dict(state), "first.0.bias", what))
    decoder = {name: state.pop(name) for name in list(state) if name.startswith(("resblock.", "up_blocks.", "final."))}
    memory_names = {name for name in state if not name.startswith(("first.", "down_blocks.", "dense_motion."))}
    for name in memory_names:
        state[f"memory.{name}"] = state.pop(name)
    _memory(state, what)
    _encoder(state, width, what)
    hourglass = _hourglass(state, "dense_motion.hourglass.", what)
    sizes = {
        "width": width,
        "keypoints": len(state["dense_motion.heads.bias"]) - 2,
        **{f"motion_{name}": value for name, value in hourglass.items()},
        "memory_width": state["memory.bank"].shape[0],
        "memory_size": state["memory.bank"].shape[1],
    }
    warper = fill_network(MCNetWarper(**sizes), state, what)
    generator = fill_network(MCNetGenerator(width), _decoder(decoder, width, what), what)
    return (warper, sizes), (generator, {"width": width})


def sorted_channels(count: int, first: int = 0) -> Tensor:
    """Order that puts even channels before odd ones, from channel `first` on."""
    tail = torch.arange(first, count)
    return torch.cat([torch.arange(first), tail[0::2], tail[1::2]])


def _encoder(state: State, width: int, what: str) -> None:
    for level in range(3):
        order = sorted_channels(2 * width << level)
        for leaf in ("weight", "bias"):
            value = take(state, f"down_blocks.{level}.conv.0.{leaf}", what)[order]
            if level and leaf == "weight":
                value = value[:, sorted_channels(width << level)]
            state[f"down.{level}.conv.0.{leaf}"] = value
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            state[f"down.{level}.conv.1.{leaf}"] = take(state, f"down_blocks.{level}.conv.1.{leaf}", what)[order]
        state.pop(f"down_blocks.{level}.conv.1.num_batches_tracked", None)


def _memory(state: State, what: str) -> None:
    state["memory.bank"] = take(state, "memory.bank", what)[0]
    for name in [name for name in state if name.startswith(("memory.project.", "memory.query.", "memory.difference.",
                                                            "memory.mixing."))]:  # fmt: skip
        state[name] = state[name].flatten(1) if state[name].ndim == 4 else state[name]
    modulation = take(state, "memory.modulation.weight", what)
    state["memory.modulation.weight"] = modulation / math.sqrt(modulation.shape[1])
    experts = take(state, "memory.experts", what)  # (experts, out, in, 3, 3)
    state["memory.experts"] = experts.permute(0, 1, 3, 4, 2).flatten(2)
    kernels = take(state, "memory.condition.weight", what)[0]
    state["memory.condition.weight"] = kernels / math.sqrt(kernels[0].numel())


def _decoder(state: State, width: int, what: str) -> State:
    state = rename(state, (*CONV_NORM, (r"^resblock\.(\d)\.", lambda m: f"blocks.{int(m[1]) // 2}.{int(m[1]) % 2}."),
                           (r"\.norm1\.", ".enter.0."), (r"\.conv1\.", ".first.0."), (r"\.norm2\.", ".first.1."),
                           (r"\.conv2\.", ".second."), (r"^up_blocks\.", "up."), (r"^final\.", "paint.")))  # fmt: skip
    for level, (count, plain) in enumerate(((8 * width, 0), (8 * width, 4 * width), (4 * width, 2 * width))):
        order = sorted_channels(count, plain)  # the upper part comes from the layer before and was never interleaved
        for block in range(2):
            prefix = f"blocks.{level}.{block}"
            for leaf in ("weight", "bias", "running_mean", "running_var"):
                state[f"{prefix}.enter.0.{leaf}"] = take(state, f"{prefix}.enter.0.{leaf}", what)[order]
            state[f"{prefix}.first.0.weight"] = take(state, f"{prefix}.first.0.weight", what)[:, order]
            for leaf in ("weight", "bias"):
                state[f"{prefix}.second.{leaf}"] = take(state, f"{prefix}.second.{leaf}", what)[order]
        state[f"up.{level}.conv.0.weight"] = take(state, f"up.{level}.conv.0.weight", what)[:, order]
    return state


def _hourglass(state: State, prefix: str, what: str) -> dict[str, int]:
    try:
        return hourglass_sizes({name: tuple(value.shape) for name, value in state.items()}, prefix)
    except (KeyError, IndexError) as error:
        raise WeightsError(f"{what} has no hourglass of MCNet; it is another network.") from error


def _check_thumbnail_filter(kernel: Tensor, what: str) -> None:
    """The published file stores the constant filter of `mcnet_blocks.thumbnail`; another one would not be computed."""
    wanted = mcnet_blocks.thumbnail_filter()
    if kernel.shape[-2:] != wanted.shape or (kernel - wanted).abs().max() > 1e-5:
        raise WeightsError(
            f"{what} was trained on thumbnails made by another filter ({list(kernel.shape)}) than the published one; "
            "only checkpoints with scale_factor 0.25 can be converted."
        )
