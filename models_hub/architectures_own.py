"""How the networks of this project are known by their tensors (see architectures.py)."""

from itertools import count

from .architectures import Architecture, Shapes, Sizes, register
from .networks.audio_to_lip import AudioToLip
from .networks.difference_critic import DifferenceCritic
from .networks.face_code import FaceCode
from .networks.face_finder import FaceFinder
from .networks.frame_critic import FrameCritic, MultiScaleFrameCritic
from .networks.generator import FrameGenerator
from .networks.landmark_estimator import LandmarkEstimator
from .networks.landmark_predictor import LandmarkPredictor
from .networks.low_rank import PersonalGenerator, PersonalWarper
from .networks.regression_critic import RegressionCritic
from .networks.sync_critic import SyncCritic
from .networks.vgg19 import Vgg19
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


def _frame_generator(shapes: Shapes) -> Sizes | None:
    if "references" in shapes:
        return None  # tuned to a person
    return _generator_sizes(shapes)


def _generator_sizes(shapes: Shapes) -> Sizes:
    channels = [shapes[f"{name}.weight"][0] for name in ("up_half.0", "up_quarter.0", "enter.0.0")]
    guide = shapes.get("condense_coarse.guide.weight", (0, 0))
    mouth = shapes.get("mouth.paint.weight", (0, 0))[1]
    detail = shapes.get("detail.paint.weight", (0, 0))[1]
    width = shapes["paint.weight"][1]
    return {"channels": channels, "width": width, "condenser": guide[1], "mouth": mouth, "detail": detail}


def _personal(shapes: Shapes, sizes: Sizes) -> Sizes:
    _ = shapes["references"]
    ranks = [shape[0] for name, shape in shapes.items() if name.startswith("adapters.") and name.endswith(".down")]
    return {"rank": max(ranks), **sizes}


def _multi_scale(shapes: Shapes) -> Sizes:
    scales = len(outputs(shapes, "critics.{}.score.bias"))
    return {"widths": outputs(shapes, "critics.0.layers.{}.parametrizations.weight.original"), "scales": scales}


def _regression_critic(shapes: Shapes) -> Sizes:
    _ = shapes["decide.weight"]
    widths = [shapes[name][0] for index in range(0, 64) if len(shapes.get(name := f"frames.{index}.weight", ())) == 4]
    layers = len([name for name in shapes if name.startswith("lstm.weight_ih_l")])
    return {"widths": widths, "features": shapes["project.weight"][0], "layers": layers}


def _memory_warper(shapes: Shapes) -> Sizes | None:
    if "references" in shapes:
        return None  # tuned to a person
    return _warper_sizes(shapes)


def _warper_sizes(shapes: Shapes) -> Sizes:
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
    Architecture("PersonalGenerator", ("generator",), lambda shapes: _personal(shapes, _generator_sizes(shapes)),
                 PersonalGenerator, half=True, smallest=64, multiple=8, unit=_PIXELS,
                 source="a generator tuned to a person"),
    Architecture("PersonalWarper", ("warper",), lambda shapes: _personal(shapes, _warper_sizes(shapes)),
                 PersonalWarper, half=True, smallest=64, multiple=8, unit=_PIXELS, source="a warper tuned to a person"),
    Architecture("FaceCode", ("face_code",), lambda shapes: {"length": shapes["directions"][1]}, FaceCode,
                 half=False, smallest=64, multiple=1, unit=_PIXELS, source="Fisherfaces"),
    Architecture("MultiScaleFrameCritic", ("multi_scale_critic",), _multi_scale, MultiScaleFrameCritic,
                 half=True, smallest=32, multiple=1, unit=_PIXELS, source="MCNet's discriminator, our reconstruction"),
    Architecture("RegressionCritic", ("regression_critic",), _regression_critic, RegressionCritic,
                 half=False, smallest=32, multiple=1, unit=_PIXELS, source="ATVGnet's discriminator, slim"),
    Architecture("Vgg19", ("vgg19",), lambda shapes: {} if "features.28.weight" in shapes else None, Vgg19,
                 half=True, smallest=32, multiple=1, unit=_PIXELS, source="Simonyan and Zisserman 2015"),
)  # fmt: skip
