"""The base of all socket types: what an input and an output know about themselves."""

from enum import StrEnum
from typing import Any


class FolderType(StrEnum):
    """Which of the host's folders a file lies in."""

    input = "input"
    output = "output"
    temp = "temp"


class UploadType(StrEnum):
    """The upload button that a file choice carries."""

    image = "image_upload"
    audio = "audio_upload"
    video = "video_upload"
    model = "file_upload"


class Hidden(StrEnum):
    """Facts about the run that a node may ask for."""

    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"
    dynprompt = "DYNPROMPT"


def given(**options: Any) -> dict[str, Any]:
    """The options that were given."""
    return {key: value for key, value in options.items() if value is not None}


class _Socket:
    Parent: "type[ComfyTypeIO]"

    @property
    def io_type(self) -> str:
        return self.Parent.io_type

    @property
    def Type(self) -> Any:
        return self.Parent.Type

    def get_io_type(self) -> str:
        return self.io_type


class Input(_Socket):
    """An input without a widget: something must be linked to it, unless it is optional."""

    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        extra_dict: dict | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ):
        self.id = id
        self.display_name = display_name
        self.optional = optional
        self.tooltip = tooltip
        self.lazy = lazy
        self.extra_dict = extra_dict or {}
        self.rawLink = raw_link
        self.advanced = advanced

    def as_dict(self) -> dict[str, Any]:
        """The options of this input as the host publishes them."""
        shown = given(display_name=self.display_name, tooltip=self.tooltip, lazy=self.lazy, advanced=self.advanced)
        return shown | {"optional": self.optional} | self.extra_dict


class WidgetInput(Input):
    """An input with a widget, whose value stands in the workflow unless it is linked."""

    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        default: Any = None,
        socketless: bool | None = None,
        widget_type: str | None = None,
        force_input: bool | None = None,
        extra_dict: dict | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ):
        super().__init__(id, display_name, optional, tooltip, lazy, extra_dict, raw_link, advanced)
        self.default = default
        self.socketless = socketless
        self.widget_type = widget_type
        self.force_input = force_input

    def get_io_type(self) -> str:
        return self.widget_type or self.io_type

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | given(
            default=self.default, socketless=self.socketless, widgetType=self.widget_type, forceInput=self.force_input
        )


class Output(_Socket):
    """An output of a node."""

    def __init__(
        self,
        id: str | None = None,
        display_name: str | None = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
    ):
        self.id = id
        self.display_name = display_name or id
        self.tooltip = tooltip
        self.is_output_list = is_output_list


class ComfyTypeIO:
    """A socket type; `Input` and `Output` of each type know which type they belong to."""

    io_type: str = ""
    Type: Any = Any
    Input: type = Input
    Output: type = Output

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.Input = type("Input", (cls.Input,), {"Parent": cls})
        cls.Output = type("Output", (cls.Output,), {"Parent": cls})


def comfytype(io_type: str, **_options: Any):
    """Decorator: names the type of a socket class."""

    def named(cls: type) -> type:
        if not issubclass(cls, ComfyTypeIO):
            cls = type(cls.__name__, (cls, ComfyTypeIO), {"__doc__": cls.__doc__, "__module__": cls.__module__})
        cls.io_type = io_type
        return cls

    return named


def Custom(io_type: str) -> type[ComfyTypeIO]:
    """A socket type of one's own."""
    return comfytype(io_type)(type(io_type, (ComfyTypeIO,), {"__doc__": f"Sockets of type {io_type}."}))
