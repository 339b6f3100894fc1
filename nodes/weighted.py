"""Nodes whose network is chosen by the inputs `weights` and `repository`."""

from . import types
from .host import io, weights_file


class WeightedNode(io.ComfyNode):
    """Refuses a choice that cannot be used before anything runs, and runs anew when the chosen file has changed.

    Attributes:
        STAGE: the folder of the weights.
    """

    STAGE = ""

    @classmethod
    def validate_inputs(cls, weights=None, repository=None) -> bool | str:
        return types.weights_problem(cls.STAGE, weights, repository) or True

    @classmethod
    def fingerprint_inputs(cls, weights=None, repository=None, **_) -> str:
        return types.weights_state(cls.STAGE, weights, repository)

    @classmethod
    def chosen(cls, weights: str, repository: str) -> str:
        """The file of the weights, for the stages."""
        return weights_file(cls.STAGE, weights, repository)
