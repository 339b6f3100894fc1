"""Critics for fine-tuning -> ART_CRITICS."""

from ..models_hub.errors import InputError
from ..models_hub.loading import load_network
from ..models_hub.types import Critics
from . import types
from .host import io, weights_file

STAGES = {"frame": "frame_critic", "difference": "difference_critic", "sync": "sync_critic"}
"""Critics with weights of their own; the others start new with every tuning."""


class ArticulateCritics(io.ComfyNode):
    """Loads the discriminators that were trained beside the generator."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ArticulateCritics",
            display_name="Discriminator for Fine-tune",
            category=types.CATEGORY,
            description="Loads the critics that judge frames while a generator is fine-tuned, with the weight of each.",
            search_aliases=["discriminator", "critic", "gan", "fine-tune", "train", "sync loss"],
            inputs=[
                _weight("frame", 1.0, "whether a frame looks real, given its landmarks"),
                _weight("difference", 0.5, "whether the change between two frames looks real, which punishes flicker"),
                _weight("sync", 0.3, "whether the mouth fits the sound"),
                _weight(
                    "multi_scale", 0.0, "frames at several sizes, given their keypoints; it is trained from nothing"
                ),
                _weight(
                    "regression",
                    0.0,
                    "whether lips are where they belong, and a clip as a whole; it is trained from nothing",
                ),
            ],
            outputs=[types.Critics.Output("critics", tooltip="The critics and the weights of their losses.")],
        )

    @classmethod
    def fingerprint_inputs(cls, **weights) -> str:
        used = [name for name in STAGES if weights.get(f"{name}_weight")]
        return ";".join(types.weights_state(STAGES[name], None) for name in used)

    @classmethod
    def execute(
        cls, frame_weight, difference_weight, sync_weight, multi_scale_weight=0.0, regression_weight=0.0
    ) -> io.NodeOutput:
        weights = {
            "frame": frame_weight,
            "difference": difference_weight,
            "sync": sync_weight,
            "multi_scale": multi_scale_weight,
            "regression": regression_weight,
        }
        weights = {name: weight for name, weight in weights.items() if weight}
        if not weights:
            raise InputError(
                "All critics have the weight 0, so there is nothing to judge by; raise one of them above 0."
            )
        known = [name for name in weights if name in STAGES]
        networks = {name: load_network(STAGES[name], weights_file(STAGES[name], "embedded")) for name in known}
        return io.NodeOutput(Critics(networks, weights))


def _weight(name: str, default: float, judges: str) -> io.Float.Input:
    return io.Float.Input(
        f"{name}_weight",
        default=default,
        min=0.0,
        max=10.0,
        step=0.05,
        tooltip=f"Weight of the {name.replace('_', '-')} critic's loss; 0 leaves the critic out. It judges {judges}.",
    )
