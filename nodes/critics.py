"""Critics for fine-tuning -> ART_CRITICS."""

from ..models_hub.errors import InputError
from ..models_hub.loading import load_network
from ..models_hub.types import Critics
from . import types
from .host import io, weights_file

STAGES = {"frame": "frame_critic", "difference": "difference_critic", "sync": "sync_critic"}


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
            ],
            outputs=[types.Critics.Output("critics", tooltip="The critics and the weights of their losses.")],
        )

    @classmethod
    def fingerprint_inputs(cls, frame_weight=None, difference_weight=None, sync_weight=None) -> str:
        weights = {"frame": frame_weight, "difference": difference_weight, "sync": sync_weight}
        return ";".join(types.weights_state(STAGES[name], None) for name, weight in weights.items() if weight)

    @classmethod
    def execute(cls, frame_weight, difference_weight, sync_weight) -> io.NodeOutput:
        weights = {"frame": frame_weight, "difference": difference_weight, "sync": sync_weight}
        weights = {name: weight for name, weight in weights.items() if weight}
        if not weights:
            raise InputError(
                "All critics have the weight 0, so there is nothing to judge by; raise one of them above 0."
            )
        networks = {name: load_network(STAGES[name], weights_file(STAGES[name], "embedded")) for name in weights}
        return io.NodeOutput(Critics(networks, weights))


def _weight(name: str, default: float, judges: str) -> io.Float.Input:
    return io.Float.Input(
        f"{name}_weight",
        default=default,
        min=0.0,
        max=10.0,
        step=0.05,
        tooltip=f"Weight of the {name} critic's loss; 0 leaves the critic out. It judges {judges}.",
    )
