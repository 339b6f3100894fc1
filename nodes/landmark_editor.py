"""ART_LANDMARKS -> ART_LANDMARKS, changed by hand."""

from ..models_hub.stages.landmark_edit import RANGES, Edit, edit_landmarks
from . import types
from .host import io


class ArticulateEditLandmarks(io.ComfyNode):
    """Changes the mouth, the eyes and the brows between predictor and warper."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ArticulateEditLandmarks",
            display_name="Edit Landmarks",
            category=types.CATEGORY,
            description="Opens, widens or lifts the mouth, and moves eyes and brows, for the whole time or a part.",
            search_aliases=["mouth", "smile", "expression", "edit lips", "emotion", "wink"],
            inputs=[
                types.Landmarks.Input("landmarks", tooltip="The 68 points in every frame."),
                _change(
                    "opening",
                    1.0,
                    "Factor of the gap between the lips: 1 leaves it, 0 keeps the mouth shut, 2 opens it twice as far.",
                ),
                _change("width", 1.0, "Factor of the mouth's width: 1 leaves it, below 1 purses the lips."),
                _change(
                    "smile",
                    0.0,
                    "How far the corners of the mouth rise, in mouth widths: 0.1 is a smile, negative values are sad.",
                ),
                _change("eyes", 1.0, "Factor of the eyes' opening: 1 leaves them, 0 closes them, 1.3 looks surprised."),
                _change("brows", 0.0, "How far the brows rise, in distances between the eyes; negative values frown."),
                _seconds("start", 0.0, "When the change begins, in seconds."),
                _seconds("end", 0.0, "When the change ends, in seconds; 0 means at the end of the video."),
                _seconds("fade", 0.2, "Seconds that the change takes to come and to go; 0 jumps."),
            ],
            outputs=[types.Landmarks.Output("landmarks", tooltip="The changed points in every frame.")],
        )

    @classmethod
    def validate_inputs(cls, start=None, end=None) -> bool | str:
        """A linked time comes as None and is checked when the node runs."""
        if min(start or 0, end or 0) < 0:
            return f"start {start or 0:g} and end {end or 0:g} must be seconds of 0 or more."
        if start is not None and end and end < start:
            return f"The change ends at {end:g} s, before it starts at {start:g} s; exchange the two."
        return True

    @classmethod
    def execute(cls, landmarks, opening, width, smile, eyes, brows, start, end, fade) -> io.NodeOutput:
        return io.NodeOutput(edit_landmarks(landmarks, Edit(opening, width, smile, eyes, brows), start, end, fade))


def _change(name: str, default: float, tooltip: str) -> io.Float.Input:
    low, high = RANGES[name]
    return io.Float.Input(name, default=default, min=low, max=high, step=0.01, tooltip=tooltip)


def _seconds(name: str, default: float, tooltip: str) -> io.Float.Input:
    return io.Float.Input(name, default=default, min=0.0, max=86_400.0, step=0.04, tooltip=tooltip)
