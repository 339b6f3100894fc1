"""Nodes whose network is chosen by the inputs `weights` and `repository`."""

from ..models_hub import finding, references
from ..models_hub.errors import WeightsError
from . import types
from .host import io, models_folders, weights_choices, weights_file


class WeightedNode(io.ComfyNode):
    """Refuses a choice that cannot be used before anything runs, and runs anew when the chosen file has changed.

    Attributes:
        STAGE: the folder of the weights.
    """

    STAGE = ""

    @classmethod
    def validate_inputs(cls, weights=None, repository=None) -> bool | str:
        """A linked value comes as None and is checked when the node runs.

        Asks no server. Files that a card only describes are missed when the node runs, with a sentence on how to get
        them.
        """
        if weights is not None and not isinstance(weights, str):
            return f"the weights are {weights!r}, which is no text; choose one of the list, or name a file."
        try:
            if repository and repository.strip():
                references.parse(repository)
            elif weights is not None and references.is_reference(weights):
                references.parse(weights)
            elif weights is not None and weights not in weights_choices(cls.STAGE):
                finding.find(cls.STAGE, weights, models_folders(cls.STAGE))
        except WeightsError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, weights=None, repository=None, **_) -> str:
        return types.weights_state(cls.STAGE, weights, repository)

    @classmethod
    def chosen(cls, weights: str, repository: str) -> str:
        """The file of the weights, for the stages."""
        return weights_file(cls.STAGE, weights, repository)
