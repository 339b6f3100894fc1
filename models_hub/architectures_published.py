"""How the checkpoints of others are known by their tensors, once converted (see architectures.py)."""

from .architectures import Architecture, Shapes, Sizes, register
from .networks.mcnet import MCNetGenerator, MCNetWarper
from .networks.mcnet_blocks import hourglass_sizes
from .networks.mcnet_keypoints import MCNetKeypointDetector

_PIXELS = "pixels along each side"
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


register(
    Architecture("MCNetKeypointDetector", ("mcnet_keypoints",), _mcnet_keypoints, MCNetKeypointDetector,
                 half=False, smallest=256, multiple=128, unit=_PIXELS, source=_MCNET, optional=_COUNTERS),
    Architecture("MCNetWarper", ("warper",), _mcnet_warper, MCNetWarper,
                 half=True, smallest=256, multiple=128, unit=_PIXELS, source=_MCNET, optional=_COUNTERS),
    Architecture("MCNetGenerator", ("generator",), _mcnet_generator, MCNetGenerator,
                 half=True, smallest=256, multiple=8, unit=_PIXELS, source=_MCNET, optional=_COUNTERS),
)  # fmt: skip
