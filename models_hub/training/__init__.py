"""Data sets, losses and the fit: of embedded weights from scratch, and of personal ones.

Each embedded network has one training, and so has the table of head motion: a module with `add_arguments(parser)` and
`run(arguments)`. All but the closed forms, and the tuning to a person, run in the same loop (loop.py).
"""

from types import ModuleType

from ..errors import InputError

COMMANDS = {
    "finder": "the face finder",
    "landmarks": "the landmark estimator",
    "audio_to_lip": "the audio encoder",
    "sync_critic": "the critic of sound against lips",
    "predictor": "the landmark predictor",
    "warper": "the warper, the frame generator and their critics",
    "mouth": "the mouth painter of the frame generator",
    "mouth_detail": "what makes its mouths sharp",
    "face_code": "the code that tells whose face personal weights are for",
    "head_motion": "the statistics of blinks, brows and head motion",
}
"""What can be trained, in the order in which the embedded weights were made."""
PRESETS = tuple(name.replace("_", "-") for name in COMMANDS)
"""The same as presets of the fine-tuning command."""


def training_module(name: str) -> ModuleType:
    """The module behind a training command, loaded when it is asked for.

    Raises:
        InputError: there is no such command.
    """
    match name.replace("-", "_"):
        case "finder":
            from . import finder as module
        case "landmarks":
            from . import landmarks as module
        case "audio_to_lip":
            from . import audio_to_lip as module
        case "sync_critic":
            from . import sync_critic as module
        case "predictor":
            from . import predictor as module
        case "warper":
            from . import warper as module
        case "mouth":
            from . import mouth as module
        case "mouth_detail":
            from . import mouth_detail as module
        case "face_code":
            from . import face_code as module
        case "head_motion":
            from . import head_motion as module
        case _:
            raise InputError(f"There is no training {name!r}; there are {', '.join(PRESETS)}.")
    return module
