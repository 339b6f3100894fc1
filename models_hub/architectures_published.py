"""How the checkpoints of others are known by their tensors, once converted (see architectures.py)."""

from .architectures import Architecture, Shapes, Sizes, register
from .networks.atvgnet import ATVGnetFrames, ATVGnetLandmarks
from .networks.mcnet import MCNetGenerator, MCNetWarper
from .networks.mcnet_blocks import hourglass_sizes
from .networks.mcnet_keypoints import MCNetKeypointDetector

_PIXELS = "pixels along each side"
_ATVGNET = "ATVGnet (Chen et al., CVPR 2019), exactly the published network"
_MCNET = "MCNet (Hong and Xu, ICCV 2023), exactly the published network"
_COUNTERS = ("num_batches_tracked",)


def _mcnet_keypoints(shapes: Shapes) -> Sizes | None:
    if "bank" in shapes or "first.0.weight" in shapes:
        return None
    return {"keypoints": shapes["heads.weight"][0] // 5, **hourglass_sizes(shapes, "hourglass.")}


def _mcnet_warper(shapes: Shapes) -> Sizes:
    memory_width, memory_size, _ = shapes["memory.bank"]
    hourglass = hourglass_sizes(shapes, "dense_motion.hourglass.")
    return {
        "width": shapes["first.0.weight"][0],
        "keypoints": shapes["dense_motion.heads.weight"][0] - 2,
        **{f"motion_{name}": value for name, value in hourglass.items()},
        "memory_width": memory_width,
        "memory_size": memory_size,
    }


def _mcnet_generator(shapes: Shapes) -> Sizes:
    _ = shapes["blocks.2.1.second.weight"]
    return {"width": shapes["paint.weight"][1]}


def _atvgnet_landmarks(shapes: Shapes) -> Sizes:
    _ = shapes["audio.5.0.weight"], shapes["basis"]
    layers = sum(name.startswith("lstm.weight_hh_l") for name in shapes)
    return {"hidden": shapes["lstm.weight_hh_l0"][1], "layers": layers}


def _atvgnet_frames(shapes: Shapes) -> Sizes:
    _ = shapes["gru.input.weight"], shapes["gate.6.weight"]
    return {"blocks": sum(name.startswith("blocks.") and name.endswith(".first.0.weight") for name in shapes)}


register(
    Architecture("MCNetKeypointDetector", ("mcnet_keypoints",), _mcnet_keypoints, MCNetKeypointDetector,
                 half=False, smallest=256, multiple=128, unit=_PIXELS, source=_MCNET, optional=_COUNTERS),
    Architecture("MCNetWarper", ("warper",), _mcnet_warper, MCNetWarper,
                 half=True, smallest=256, multiple=128, unit=_PIXELS, source=_MCNET, optional=_COUNTERS),
    Architecture("MCNetGenerator", ("generator",), _mcnet_generator, MCNetGenerator,
                 half=True, smallest=256, multiple=8, unit=_PIXELS, source=_MCNET, optional=_COUNTERS),
    Architecture("ATVGnetLandmarks", ("atvgnet_landmarks",), _atvgnet_landmarks, ATVGnetLandmarks,
                 half=False, smallest=28, multiple=4, unit="MFCC frames", source=_ATVGNET, optional=_COUNTERS),
    Architecture("ATVGnetFrames", ("atvgnet_frames",), _atvgnet_frames, ATVGnetFrames,
                 half=False, smallest=128, multiple=128, unit=_PIXELS, source=_ATVGNET, optional=_COUNTERS),
)  # fmt: skip
