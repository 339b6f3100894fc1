"""How the networks of this project are known by their tensors (see architectures.py)."""

from itertools import count

from .architectures import Architecture, Shapes, Sizes, register
from .networks.audio_to_lip import AudioToLip
from .networks.critics import DifferenceCritic, FrameCritic
from .networks.face_finder import FaceFinder
from .networks.generator import FrameGenerator
from .networks.landmark_estimator import LandmarkEstimator
from .networks.landmark_predictor import LandmarkPredictor
from .networks.sync_critic import SyncCritic
from .networks.warper import MemoryWarper


def outputs(shapes: Shapes, pattern: str) -> list[int]:
    """First dimension of the tensors named by a pattern with one number in it, {}, counted up from 0."""
    names = (pattern.format(index) for index in count())
    widths = []
    for name in names:
        if name not in shapes:
            return widths
        widths.append(shapes[name][0])
    return widths


def _audio_to_lip(shapes: Shapes) -> Sizes:
    _ = shapes["context.0.spread.weight"]
    width, mels, _ = shapes["unit.0.weight"]
    return {"mels": mels, "width": width}


def _critic(shapes: Shapes) -> Sizes | None:
    _ = shapes["score.parametrizations.weight.original"]
    widths = outputs(shapes, "layers.{}.parametrizations.weight.original")
    return {"widths": widths} if widths else None


def _face_finder(shapes: Shapes) -> Sizes:
    widths = [*outputs(shapes, "stem.{}.0.weight"), *outputs(shapes, "down.{}.0.0.weight")]
    return {"widths": widths, "pyramid": shapes["answer.weight"][1]}


def _landmark_estimator(shapes: Shapes) -> Sizes:
    widths = [shapes["stem.0.weight"][0], *outputs(shapes, "down.{}.0.0.weight")]
    depth = next(index for index in count() if f"down.0.{index + 1}.first.0.weight" not in shapes)
    return {"widths": widths, "depth": depth, "head": shapes["maps.weight"][1]}


def _landmark_predictor(shapes: Shapes) -> Sizes:
    hidden, units = shapes["layers.1.weight"]
    return {"units": units, "hidden": hidden, "shapes": shapes["basis"][0]}


def _sync_critic(shapes: Shapes) -> Sizes:
    return {
        "mels": shapes["mel_mean"][0],
        "width": shapes["lips.0.weight"][0],
        "features": shapes["audio.11.weight"][0],
    }


def _frame_generator(shapes: Shapes) -> Sizes:
    channels = [shapes[f"{name}.weight"][0] for name in ("up_half.0", "up_quarter.0", "enter.0.0")]
    return {"channels": channels, "width": shapes["paint.weight"][1]}


def _memory_warper(shapes: Shapes) -> Sizes:
    hourglass = "dense_motion.hourglass"
    cells, width = shapes["memory.bank"]
    return {
        "channels": outputs(shapes, "encoder.{}.0.weight"),
        "motion_widths": [
            shapes[f"{hourglass}.entry.0.weight"][0],
            *outputs(shapes, hourglass + ".down.{}.0.weight"),
        ],
        "cells": cells,
        "width": width,
    }


_PIXELS = "pixels along each side"

register(
    Architecture("AudioToLip", ("audio_to_lip",), _audio_to_lip, AudioToLip,
                 half=False, smallest=124, multiple=4, unit="mel frames", source="CALS, our reconstruction"),
    Architecture("FrameCritic", ("frame_critic",), _critic, FrameCritic,
                 half=True, smallest=8, multiple=1, unit=_PIXELS, source="MCNet's discriminator, our reconstruction"),
    Architecture("DifferenceCritic", ("difference_critic",), _critic, DifferenceCritic,
                 half=True, smallest=8, multiple=1, unit=_PIXELS, source="clothes transfer, our reconstruction"),
    Architecture("FaceFinder", ("face_finder",), _face_finder, FaceFinder,
                 half=True, smallest=64, multiple=64, unit=_PIXELS, source="Objects as Points, small"),
    Architecture("LandmarkEstimator", ("landmark_estimator",), _landmark_estimator, LandmarkEstimator,
                 half=True, smallest=1, multiple=1, unit=_PIXELS, source="heat-map face alignment; CPNet's estimator"),
    Architecture("LandmarkPredictor", ("landmark_predictor",), _landmark_predictor, LandmarkPredictor,
                 half=False, smallest=1, multiple=1, unit="lip motion units", source="ATVGnet's idea, our own"),
    Architecture("SyncCritic", ("sync_critic",), _sync_critic, SyncCritic,
                 half=False, smallest=20, multiple=20, unit="mel frames", source="CALS, our reconstruction"),
    Architecture("FrameGenerator", ("generator",), _frame_generator, FrameGenerator,
                 half=True, smallest=64, multiple=8, unit=_PIXELS, source="MCNet's family, our reconstruction"),
    Architecture("MemoryWarper", ("warper",), _memory_warper, MemoryWarper,
                 half=True, smallest=64, multiple=8, unit=_PIXELS, source="MCNet's family, our reconstruction"),
)  # fmt: skip
