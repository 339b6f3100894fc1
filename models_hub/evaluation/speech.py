"""How well lips predicted from sound follow the real ones, on people never trained on.

What the prediction is given: the clip's sound, and one portrait, which is the clip's own frame with the
most closed mouth. It is made as the nodes make it (`encode_speech`, `predict_landmarks`) with blinks and
head motion off and everything else at its default. Both sides are then freed of head pose the same way,
in eye distances, and the clip's measured lag between sound and picture is corrected.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..networks.ibug68 import LIPS
from ..networks.lip_shape import LIP_SLICE, opening
from ..stages.audio_encoder import encode_speech, encode_units
from ..stages.landmark_predictor import predict_landmarks
from ..training.parts import sound_file
from ..training.speech_data import clip_points, clip_rows, measured_lag, read_sound
from ..types import Face, Progress
from .intervals import interval, reduction

BEST_LAG = 4  # frames on either side that the "best lag" figure may choose from


def evaluate_speech(data: Path, split: str = "val", progress: Progress | None = None) -> dict[str, float | list[float]]:
    """Measure speech to lips on every clip of a split whose sound is confirmed (`sync` is ok).

    Returns:
        `mouth_opening_correlation`: Pearson correlation over a clip of predicted and real inner-lip opening (how
            far point 66 lies below point 62), mean over clips. It does not depend on offset or amplitude.
        `mouth_opening_correlation_best_lag`: the same at each clip's best lag within 4 frames either way.
        `lip_error_reduction`: 1 - error of the prediction / error of the best constant mouth. An error is the mean
            distance of points 48-67, averaged over frames, then over clips. The constant is each point's own mean (or
            median, whichever is better for the clip), which is knowledge of this clip; so the prediction is given
            as much: its mean (median) over time is replaced by the clip's. What is compared is motion.
        `lip_error_reduction_strict`: the same with nothing replaced: the prediction knows the portrait only.
        `lip_error`, `lip_error_constant`: the errors behind `lip_error_reduction`, in eye distances.
        `speech_clips`: how many clips were measured. `mouth_opening_correlation_interval`,
            `lip_error_reduction_interval`: 95 % over people.

    Raises:
        InputError: the folder holds no such clips.
    """
    figures = []
    rows = clip_rows(data, split)
    for index, row in enumerate(rows):
        real = clip_points(data, row["id"])
        waveform, rate = read_sound(sound_file(data / "clips", row["id"]))
        predicted = predict_clip(waveform, rate, real)
        frames, lag = min(len(real), len(predicted)), measured_lag(row)
        real, predicted = real[:frames], predicted[:frames]
        if lag > 0:
            real, predicted = real[lag:], predicted[: frames - lag]
        elif lag < 0:
            real, predicted = real[: frames + lag], predicted[-lag:]
        figures.append(lip_figures(predicted[:, list(LIPS)], real[:, list(LIPS)]))
        if progress is not None:
            progress(index + 1, len(rows))
    people = [row["person"] for row in rows]
    return summary(figures) | {
        "mouth_opening_correlation_interval": interval(people, [[clip["correlation"]] for clip in figures]),
        "lip_error_reduction_interval": interval(
            people, [[clip["error"], clip["constant"]] for clip in figures], reduction
        ),
    }


def predict_clip(waveform: Tensor, rate: int, real: Tensor) -> Tensor:
    """Predicted points (T, 68, 2) of a clip from its sound and its most closed frame, in the clip's face units."""
    portrait = real[opening(real).argmin()]
    blank = torch.zeros(1, 3, 8, 8)
    face = Face(blank, portrait, torch.eye(2, 3), torch.zeros(8, 8, 3), (0.0, 0.0, 8.0, 8.0))
    return predict_landmarks(encode_speech(waveform, rate), face, blink=False, head_motion=0.0).points


def talk_figures(encoder: nn.Module, predictor: nn.Module, talks: list) -> dict[str, float]:
    """The same figures straight from networks, on `training.speech_data.Talk` clips: quick, for training."""
    with torch.no_grad():
        pairs = [(predictor(encode_units(encoder, encoder.normalise(talk.mel))), talk.motion) for talk in talks]
    return summary([lip_figures(predicted[:, LIP_SLICE], real[:, LIP_SLICE]) for predicted, real in pairs])


def lip_figures(predicted: Tensor, real: Tensor) -> dict[str, float]:
    """Figures of one clip from lips (T, 20, 2), points 48-67, both in eye distances or less a constant mouth."""

    def gap(lips: Tensor) -> np.ndarray:
        return (lips[:, 18, 1] - lips[:, 14, 1]).double().numpy()

    def error(difference: Tensor) -> float:
        return difference.norm(dim=-1).mean().item()

    def best(measure: Callable[[Callable[[Tensor], Tensor]], float]) -> float:
        return min(measure(lambda x: x.mean(0)), measure(lambda x: x.median(0).values))

    ours, theirs = gap(predicted), gap(real)
    lags = [correlation(ours[max(0, lag) : len(ours) + min(0, lag)], theirs[max(0, -lag) : len(theirs) - max(0, lag)])
            for lag in range(-BEST_LAG, BEST_LAG + 1)]  # fmt: skip
    return {
        "correlation": correlation(ours, theirs),
        "best_lag": max(lags),
        "error": best(lambda middle: error(predicted - middle(predicted) - real + middle(real))),
        "strict": error(predicted - real),
        "constant": best(lambda middle: error(real - middle(real))),
    }


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's; 0 where one side does not move."""
    if first.std() < 1e-9 or second.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def summary(figures: list[dict[str, float]]) -> dict[str, float]:
    """Means over clips, under the names that are reported."""
    mean = {name: float(np.mean([clip[name] for clip in figures])) for name in figures[0]}
    return {
        "mouth_opening_correlation": mean["correlation"],
        "mouth_opening_correlation_best_lag": mean["best_lag"],
        "lip_error_reduction": 1 - mean["error"] / mean["constant"],
        "lip_error_reduction_strict": 1 - mean["strict"] / mean["constant"],
        "lip_error": mean["error"],
        "lip_error_constant": mean["constant"],
        "speech_clips": float(len(figures)),
    }
