"""ART_SPEECH + ART_FACE -> ART_LANDMARKS: this face's landmarks while it speaks.

The network gives jaw and lip motion away from a closed mouth. Portraits smile and show teeth, so the
motion starts from an estimate of this face's own closed mouth, not from the mouth in the picture, and it
is laid on in the face's own frame: a tilted head opens its mouth along its own axis.
"""

import math

import torch
from torch import Tensor

from ..errors import InputError
from ..loading import EMBEDDED, load_network
from ..networks.ibug68 import COUNT
from ..networks.lip_shape import MOVING, close_mouth, face_frame, from_face, to_face
from ..threads import one_thread
from ..types import Face, Landmarks, Progress, Speech
from . import head_motion as motions
from .inference import Placed
from .motion_table import motion_table

SILENCE_DB = (-62.0, -54.0)  # below the first the mouth is closed, above the second the network decides
QUIET_BELOW_SPEECH_DB = (-42.0, -34.0)  # the same, relative to the loudest tenth of the recording
HOLD_SECONDS = 0.12  # lips part before the sound and close after it

_INNER_PAIRS = ((61, 67), (62, 66), (63, 65))


@one_thread()
def predict_landmarks(
    speech: Speech,
    face: Face,
    strength: float = 1.0,
    smoothing: float = 0.6,
    blink: bool | float = True,
    head_motion: float = 0.0,
    seed: int = 0,
    weights: str = EMBEDDED,
    progress: Progress | None = None,
    brows: float = 0.0,
) -> Landmarks:
    """Landmarks of a face for every frame of a speech.

    Args:
        speech: from `encode_speech`.
        face: the portrait.
        strength: factor of the lips' and jaw's motion away from the closed mouth, 0 to 3.
        smoothing: standard deviation in frames of a Gaussian over time, 0 to 10; 0 is none.
        blink: True for as many as people who talk do (about 20 a minute), False for none, or how many a minute (up
            to 60).
        head_motion: amplitude of a slight sway of the whole head, 0 to 5; 1 is that of a typical talking person.
        seed: of blinks, head motion and brows.
        weights: "embedded" or the path of a safetensors file.
        progress: called with (frames done, frames in all).
        brows: amplitude of the brows' motion, 0 to 5; 1 is that of a typical talking person.

    Returns:
        Landmarks with exactly len(speech) frames, all visible. In silence the mouth is closed.

    Raises:
        InputError: a setting is out of range, or the face has not 68 finite points.
        WeightsError: the weights cannot be used.
    """
    limits = {"strength": (strength, 3), "smoothing": (smoothing, 10), "head_motion": (head_motion, 5)}
    limits |= {"blink": (float(blink), 60), "brows": (brows, 5)}
    for name, (value, highest) in limits.items():
        if not (math.isfinite(value) and 0 <= value <= highest):
            raise InputError(f"{name} is {value!r}; it must lie between 0 and {highest}. Choose a value in that range.")
    if tuple(face.points.shape) != (COUNT, 2) or not face.points.isfinite().all():
        raise InputError(
            f"The face's points have shape {tuple(face.points.shape)} or are not finite; {COUNT} points (x, y) are "
            "needed. Locate the face again."
        )
    network = Placed(load_network("landmark_predictor", weights))
    expected = network.layers[1].in_features
    if speech.units.shape[-1] != expected:
        raise InputError(
            f"The speech has units of {speech.units.shape[-1]} numbers, these predictor weights read {expected}; "
            "choose audio encoder and predictor weights that were trained together."
        )
    with torch.no_grad():
        motion = network(speech.units) * speech_gate(speech)[:, None, None]  # (T, 37, 2)
    motion = smooth(motion * strength, smoothing)

    points = face.points.detach().float().cpu()
    frame = face_frame(points)
    neutral = close_mouth(to_face(points, frame), network.usual)
    moved = neutral.repeat(len(speech), 1, 1)
    moved[:, list(MOVING)] += motion
    moved = from_face(keep_lips_apart(moved), frame)
    if blink:
        rate = motion_table().blink.rate if blink is True else float(blink)
        moved = motions.blink(moved, motions.blink_curve(len(speech), speech.fps, rate, seed))
    if brows:
        moved = motions.raise_brows(moved, speech.fps, brows, seed)
    if head_motion:
        moved = motions.sway(moved, speech.fps, head_motion, seed)
    if progress is not None:
        progress(len(speech), len(speech))
    return Landmarks(moved, torch.ones(len(speech), dtype=torch.bool), speech.fps)


def neutral_points(face: Face, weights: str = EMBEDDED) -> Tensor:
    """(68, 2) the portrait's points with its mouth closed, as every speech starts and ends."""
    network = load_network("landmark_predictor", weights)
    frame = face_frame(face.points.float())
    return from_face(close_mouth(to_face(face.points.float(), frame), network.usual), frame)


def speech_gate(speech: Speech) -> Tensor:
    """(T,) in 0..1: 0 where nothing can be heard, opening a little before sound and closing after it."""
    loud = speech.loudness
    reference = torch.quantile(loud[:: max(1, len(loud) // 100_000)], 0.9)

    def ramp(value: Tensor, bounds: tuple[float, float]) -> Tensor:
        return ((value - bounds[0]) / (bounds[1] - bounds[0])).clamp(0, 1)

    gate = torch.minimum(ramp(loud, SILENCE_DB), ramp(loud - reference, QUIET_BELOW_SPEECH_DB))
    reach = max(1, round(HOLD_SECONDS * speech.fps))
    gate = torch.nn.functional.max_pool1d(gate[None], 2 * reach + 1, stride=1, padding=reach)
    padded = torch.nn.functional.pad(gate, (reach // 2, reach // 2), mode="replicate")
    return torch.nn.functional.avg_pool1d(padded, reach // 2 * 2 + 1, stride=1)[0]


def smooth(values: Tensor, deviation: float) -> Tensor:
    """Gaussian over time of (T, ...), the ends repeated."""
    if deviation <= 0 or len(values) < 2:
        return values
    reach = math.ceil(3 * deviation)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation) ** 2)
    flat = values.flatten(1).T[:, None]  # (N, 1, T)
    padded = torch.nn.functional.pad(flat, (reach, reach), mode="replicate")
    return torch.nn.functional.conv1d(padded, (kernel / kernel.sum())[None, None])[:, 0].T.view_as(values)


def keep_lips_apart(points: Tensor) -> Tensor:
    """Where the inner lips of (T, 68, 2) face-frame points would cross, let them meet halfway."""
    points = points.clone()
    for upper, lower in _INNER_PAIRS:
        overlap = (points[:, upper, 1] - points[:, lower, 1]).clamp(min=0) / 2
        points[:, upper, 1] -= overlap
        points[:, lower, 1] += overlap
    return points
