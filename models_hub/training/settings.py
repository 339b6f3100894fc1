"""How a fit runs. Nothing heavy is imported here, since the command line shows these defaults in its help."""

from dataclasses import dataclass

from ..errors import InputError

PARTS = ("generator", "warper", "memory", "predictor")
"""What can be trained: the decoder; encoder and flow; the facial memory; lips from sound."""
PREFIXES = {"generator": ("generator.",), "warper": ("warper.encoder", "warper.dense_motion"),
            "memory": ("warper.memory",)}  # fmt: skip
LEAST_FRAMES = 2
"""Driven frames in a batch below which a smaller batch is no answer to full memory."""


@dataclass(frozen=True)
class TuneSettings:
    """How a fit runs.

    Attributes:
        steps: optimiser steps.
        parts: what is trained, of `PARTS`.
        rank: of low-rank adapters; 0 trains all weights of the parts.
        rate: highest learning rate.
        frames: driven from a source in each batch; where losses need a run of frames, the run counts as one of them.
        hold_back: share of the footage that is not learned from, but watched.
        patience: looks at it without an improvement after which the fit ends; 0 never ends early.
        look_every, save_every: steps between looks and checkpoints.
        average: decay of the averaged weights, which are what comes out.
        clip_gradients: largest gradient norm.
        seed: of everything random.
        devices: "auto", or how many; accelerator: "auto", "cpu", "cuda"; precision: as Lightning Fabric names them.
        condenser: put attention condensers into the generator, for CLIP embeddings.
    """

    steps: int = 400
    parts: tuple[str, ...] = ("generator", "warper")
    rank: int = 8
    rate: float = 1e-3
    frames: int = 4
    hold_back: float = 0.15
    patience: int = 6
    look_every: int = 50
    save_every: int = 50
    average: float = 0.99
    clip_gradients: float = 5.0
    seed: int = 0
    devices: str = "auto"
    accelerator: str = "auto"
    precision: str = "32-true"
    condenser: bool = False

    def __post_init__(self) -> None:
        unknown = sorted(set(self.parts) - set(PARTS))
        if unknown or not self.parts:
            raise InputError(
                f"The parts {', '.join(unknown) or 'none'} cannot be trained; choose of {', '.join(PARTS)}."
            )
        limits = {"steps": (1, 10**7), "rank": (0, 256), "rate": (1e-9, 1.0), "frames": (LEAST_FRAMES, 512),
                  "hold_back": (0.0, 0.8), "average": (0.0, 0.99999), "look_every": (1, 10**7),
                  "save_every": (1, 10**7), "clip_gradients": (1e-6, 1e6), "patience": (0, 10**6)}  # fmt: skip
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} is {getattr(self, name)}; give a number from {low:g} to {high:g}.")
