"""The socket types that have widgets."""

from enum import Enum, StrEnum
from typing import Any

from .sockets import ComfyTypeIO, FolderType, Input, UploadType, WidgetInput, comfytype, given


class NumberDisplay(StrEnum):
    """How a number is shown."""

    number = "number"
    slider = "slider"
    gradient_slider = "gradientslider"


class ControlAfterGenerate(StrEnum):
    """What happens to a seed after a run."""

    fixed = "fixed"
    increment = "increment"
    decrement = "decrement"
    randomize = "randomize"


class _BooleanInput(WidgetInput):
    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        default: bool | None = None,
        label_on: str | None = None,
        label_off: str | None = None,
        socketless: bool | None = None,
        force_input: bool | None = None,
        extra_dict: dict | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ):
        super().__init__(
            id, display_name, optional, tooltip, lazy, default, socketless, None, force_input, extra_dict, raw_link,
            advanced,
        )  # fmt: skip
        self.label_on = label_on
        self.label_off = label_off

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | given(label_on=self.label_on, label_off=self.label_off)


class _IntInput(WidgetInput):
    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        default: int | None = None,
        min: int | None = None,
        max: int | None = None,
        step: int | None = None,
        control_after_generate: bool | ControlAfterGenerate | None = None,
        display_mode: NumberDisplay | None = None,
        socketless: bool | None = None,
        force_input: bool | None = None,
        extra_dict: dict | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ):
        super().__init__(
            id, display_name, optional, tooltip, lazy, default, socketless, None, force_input, extra_dict, raw_link,
            advanced,
        )  # fmt: skip
        self.min = min
        self.max = max
        self.step = step
        self.control_after_generate = control_after_generate
        self.display_mode = display_mode

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | given(
            min=self.min,
            max=self.max,
            step=self.step,
            control_after_generate=self.control_after_generate,
            display=self.display_mode.value if self.display_mode else None,
        )


class _FloatInput(WidgetInput):
    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        default: float | None = None,
        min: float | None = None,
        max: float | None = None,
        step: float | None = None,
        round: float | None = None,
        display_mode: NumberDisplay | None = None,
        gradient_stops: list[dict] | None = None,
        socketless: bool | None = None,
        force_input: bool | None = None,
        extra_dict: dict | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ):
        super().__init__(
            id, display_name, optional, tooltip, lazy, default, socketless, None, force_input, extra_dict, raw_link,
            advanced,
        )  # fmt: skip
        self.min = min
        self.max = max
        self.step = step
        self.round = round
        self.display_mode = display_mode
        self.gradient_stops = gradient_stops

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | given(
            min=self.min,
            max=self.max,
            step=self.step,
            round=self.round,
            display=self.display_mode.value if self.display_mode else None,
            gradient_stops=self.gradient_stops,
        )


class _StringInput(WidgetInput):
    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        multiline: bool = False,
        placeholder: str | None = None,
        default: str | None = None,
        dynamic_prompts: bool | None = None,
        socketless: bool | None = None,
        force_input: bool | None = None,
        extra_dict: dict | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ):
        super().__init__(
            id, display_name, optional, tooltip, lazy, default, socketless, None, force_input, extra_dict, raw_link,
            advanced,
        )  # fmt: skip
        self.multiline = multiline
        self.placeholder = placeholder
        self.dynamic_prompts = dynamic_prompts

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | given(
            multiline=self.multiline, placeholder=self.placeholder, dynamicPrompts=self.dynamic_prompts
        )


class _ComboInput(WidgetInput):
    def __init__(
        self,
        id: str,
        options: list[str] | list[int] | type[Enum] | None = None,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        default: str | int | Enum | None = None,
        control_after_generate: bool | ControlAfterGenerate | None = None,
        upload: UploadType | None = None,
        image_folder: FolderType | None = None,
        socketless: bool | None = None,
        extra_dict: dict | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ):
        default = default.value if isinstance(default, Enum) else default
        super().__init__(
            id, display_name, optional, tooltip, lazy, default, socketless, None, None, extra_dict, raw_link, advanced
        )
        if isinstance(options, type) and issubclass(options, Enum):
            options = [member.value for member in options]
        self.options = options
        self.control_after_generate = control_after_generate
        self.upload = upload
        self.image_folder = image_folder

    def as_dict(self) -> dict[str, Any]:
        button = {self.upload.value: True} if self.upload else {}
        return (
            super().as_dict()
            | button
            | given(
                options=self.options,
                control_after_generate=self.control_after_generate,
                image_folder=self.image_folder.value if self.image_folder else None,
            )
        )


class _MultiTypeInput(Input):
    def __init__(
        self,
        id: str | Input,
        types: list[type[ComfyTypeIO]],
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        extra_dict: dict | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ):
        self.input_override = id if isinstance(id, Input) else None
        if isinstance(id, Input):
            optional = id.optional or optional
            tooltip = id.tooltip or tooltip
            display_name = id.display_name or display_name
            id = id.id
        super().__init__(id, display_name, optional, tooltip, lazy, extra_dict, raw_link, advanced)
        self.io_types = types

    def get_io_type(self) -> str:
        names = [kind.io_type for kind in self.io_types]
        if self.input_override is not None:
            names.insert(0, self.input_override.get_io_type())
        return ",".join(dict.fromkeys(names))

    def as_dict(self) -> dict[str, Any]:
        override = self.input_override.as_dict() if self.input_override is not None else {}
        return override | super().as_dict()


class _BoundingBoxInput(WidgetInput):
    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        socketless: bool = True,
        default: dict | None = None,
        component: str | None = None,
        force_input: bool | None = None,
    ):
        default = default or {"x": 0, "y": 0, "width": 512, "height": 512}
        super().__init__(id, display_name, optional, tooltip, None, default, socketless, None, force_input)
        self.component = component


@comfytype("BOOLEAN")
class Boolean(ComfyTypeIO):
    """A switch."""

    Type = bool
    Input = _BooleanInput


@comfytype("INT")
class Int(ComfyTypeIO):
    """A whole number."""

    Type = int
    Input = _IntInput


@comfytype("FLOAT")
class Float(ComfyTypeIO):
    """A number."""

    Type = float
    Input = _FloatInput


@comfytype("STRING")
class String(ComfyTypeIO):
    """Text."""

    Type = str
    Input = _StringInput


@comfytype("COMBO")
class Combo(ComfyTypeIO):
    """A choice from a list."""

    Type = str
    Input = _ComboInput


@comfytype("COMFY_MULTITYPED_V3")
class MultiType(ComfyTypeIO):
    """An input that takes any of several types."""

    Input = _MultiTypeInput


@comfytype("BOUNDING_BOX")
class BoundingBox(ComfyTypeIO):
    """A rectangle: {"x", "y", "width", "height"} in pixels."""

    Type = dict
    Input = _BoundingBoxInput
