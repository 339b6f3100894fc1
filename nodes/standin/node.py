"""A node: its schema, what it is told about the run, and what it returns."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from .sockets import Hidden, Input, Output


@dataclass
class Schema:
    """What a node takes and gives; the fields mean what they mean in ComfyUI."""

    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list[Input] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    hidden: list[Hidden] = field(default_factory=list)
    description: str = ""
    search_aliases: list[str] = field(default_factory=list)
    is_input_list: bool = False
    is_output_node: bool = False
    is_deprecated: bool = False
    is_experimental: bool = False
    not_idempotent: bool = False
    essentials_category: str | None = None

    def validate(self) -> None:
        """Raises ValueError if two inputs, or two outputs, have the same id."""
        for name, sockets in (("Input", self.inputs), ("Output", self.outputs)):
            ids = [socket.id for socket in sockets]
            double = sorted({identifier for identifier in ids if ids.count(identifier) > 1})
            if double:
                raise ValueError(f"{name} ids of {self.node_id} must be unique, but {double} are not.")

    def finalize(self) -> None:
        """Give nameless outputs an id, and output nodes the workflow that they write into their files."""
        if self.is_output_node:
            self.hidden += [fact for fact in (Hidden.prompt, Hidden.extra_pnginfo) if fact not in self.hidden]
        for slot, output in enumerate(self.outputs):
            output.id = output.id or f"_{slot}_{output.io_type}_"


class HiddenHolder:
    """The hidden values of one execution; what was not asked for is None."""

    def __init__(self, values: dict[Hidden, Any] | None = None):
        for fact, value in (values or {}).items():
            setattr(self, fact.name, value)

    def __getattr__(self, name: str) -> None:
        return None


class NodeOutput:
    """The values of a node's outputs in order, and what a host shows below the node."""

    def __init__(self, *args: Any, ui: Any = None, expand: dict | None = None, block_execution: str | None = None):
        self.args = args
        self.ui = ui
        self.expand = expand
        self.block_execution = block_execution

    @property
    def result(self) -> tuple[Any, ...] | None:
        """The values, or None if there are none."""
        return self.args or None

    def __getitem__(self, index: int) -> Any:
        return self.args[index]


class ComfyNode(ABC):
    """Base of all nodes. Methods are class methods: a node has no state of its own."""

    hidden: HiddenHolder = HiddenHolder()

    @classmethod
    @abstractmethod
    def define_schema(cls) -> Schema:
        """What the node takes and gives."""

    @classmethod
    @abstractmethod
    def execute(cls, **kwargs: Any) -> NodeOutput:
        """The work; the inputs come by their ids."""

    @classmethod
    def validate_inputs(cls, **kwargs: Any) -> bool | str:
        """Optional: True, or what is wrong. Linked inputs come as None; inputs named here are not range-checked."""
        raise NotImplementedError

    @classmethod
    def fingerprint_inputs(cls, **kwargs: Any) -> Any:
        """Optional: a value that changes whenever the node must run again although its inputs are the same."""
        raise NotImplementedError

    @classmethod
    def check_lazy_status(cls, **kwargs: Any) -> list[str]:
        """Names of the lazy inputs that are needed; those not yet computed come as None."""
        return [name for name, value in kwargs.items() if value is None]

    @classmethod
    def GET_SCHEMA(cls) -> Schema:
        """The finished schema."""
        schema = cls.define_schema()
        schema.finalize()
        schema.validate()
        return schema

    @classmethod
    def PREPARE_CLASS_CLONE(cls, v3_data: dict[str, Any] | None) -> "type[ComfyNode]":
        """A subclass for one execution, which carries the hidden values."""
        hidden = HiddenHolder((v3_data or {}).get("hidden_inputs"))
        return type(cls.__name__, (cls,), {"hidden": hidden, "__module__": cls.__module__, "__doc__": cls.__doc__})
