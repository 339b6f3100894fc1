"""How a pack hands its nodes to the host."""

from abc import ABC, abstractmethod

from .node import ComfyNode


class ComfyExtension(ABC):
    """A pack of nodes."""

    async def on_load(self) -> None:  # noqa: B027 (packs may leave it as it is)
        """Called once, before the nodes are asked for."""

    @abstractmethod
    async def get_node_list(self) -> list[type[ComfyNode]]:
        """The node classes of the pack."""
