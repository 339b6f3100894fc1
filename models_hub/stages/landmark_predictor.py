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
NOISE_HOLD_SECONDS = 0.5  # the same under noise, which hides weak sounds; longer pauses close the mouth

# Steady noise is no speech, however loud. All in the units of a normalised band: how far speech usually strays in it.
FLOOR_SHARE = 0.1  # of the time in which anything is heard, a band lies no higher than its own floor
RISE = (0.2, 0.3)  # above their floors no band of steady noise rises more than the first
FLICKER = (0.11, 0.13)  # from one 10 ms to the next: what tones and vowels stay below, and noise above
_STEADY_SECONDS = 0.2  # over which both are averaged
_NEIGHBOURS, _FLICKERING = 4, 29  # bands that are averaged; the lowest, below 1.5 kHz, where voices have harmonics

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
    """(T,) in 0..1: 0 where nothing or steady noise alone is heard, opening a little before sound, closing after it."""
    loud = speech.loudness
    reference = torch.quantile(loud[:: max(1, len(loud) // 100_000)], 0.9)

    def ramp(value: Tensor, bounds: tuple[float, float]) -> Tensor:
        return ((value - bounds[0]) / (bounds[1] - bounds[0])).clamp(0, 1)

    gate = torch.minimum(ramp(loud, SILENCE_DB), ramp(loud - reference, QUIET_BELOW_SPEECH_DB))
    rise, flicker = above_noise(speech)
    voiced = torch.maximum(ramp(rise, RISE), 1 - ramp(flicker, FLICKER))
    reach = max(1, round(HOLD_SECONDS * speech.fps))
    gate = torch.minimum(_widest(gate, reach), _widest(voiced, max(1, round(NOISE_HOLD_SECONDS * speech.fps))))[None]
    padded = torch.nn.functional.pad(gate, (reach // 2, reach // 2), mode="replicate")
    return torch.nn.functional.avg_pool1d(padded, reach // 2 * 2 + 1, stride=1)[0]


def _widest(gate: Tensor, reach: int) -> Tensor:
    """(T,) the highest value within `reach` frames on either side."""
    return torch.nn.functional.max_pool1d(gate[None], 2 * reach + 1, stride=1, padding=reach)[0]


def above_noise(speech: Speech) -> tuple[Tensor, Tensor]:
    """How far the sound rises above the steady noise of its recording, and how much it flickers as noise does.

    Each band has its own floor, so that a voice as loud as the noise is still heard in the bands where voices are
    strong. A vowel that is sung for long rises above nothing; but it does not flicker.

    Returns:
        (T,) rise of the band that rises most, (T,) mean change from one 10 ms to the next; normalised log mel.
    """
    bands = _average(speech.mel.mean(1).unflatten(1, (-1, _NEIGHBOURS)).mean(2), speech.fps)  # (T, 16)
    heard = bands[speech.loudness > SILENCE_DB[0]]
    floor = heard[:: max(1, len(heard) // 100_000)].quantile(FLOOR_SHARE, dim=0) if len(heard) else bands.amin(0)
    flicker = speech.mel[..., :_FLICKERING].diff(dim=1).abs().mean((1, 2))
    return (bands - floor).amax(1), _average(flicker[:, None], speech.fps)[:, 0]


def _average(values: Tensor, fps: float) -> Tensor:
    """(T, N) averaged over `_STEADY_SECONDS`, the ends repeated."""
    reach = max(0, round((_STEADY_SECONDS * fps - 1) / 2))
    padded = torch.nn.functional.pad(values.T[None], (reach, reach), mode="replicate")
    return torch.nn.functional.avg_pool1d(padded, 2 * reach + 1, stride=1)[0].T


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
