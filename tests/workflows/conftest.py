"""Small nodes whose executions can be counted, so that the runner can be watched."""

import math

import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.nodes.standin import io, ui

ran: list[str] = []


class Number(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Number",
            display_name="A Number",
            inputs=[
                io.Int.Input("value", default=1, min=0, max=100),
                io.Float.Input("scale", default=1.0, min=-1.0, max=1.0, optional=True),
                io.String.Input("label", default="", optional=True),
                io.Boolean.Input("negative", default=False, optional=True),
                io.Combo.Input("kind", options=["plain", "fancy"], default="plain", optional=True),
            ],
            outputs=[io.Int.Output("number"), io.String.Output("text")],
        )

    @classmethod
    def execute(cls, value, scale=1.0, label="", negative=False, kind="plain"):
        ran.append(f"Number {value}")
        if label == "fail":
            raise InputError("label 'fail' was given, so this fails; give another.")
        if label == "defect":
            raise ZeroDivisionError
        return io.NodeOutput(-value if negative else value, f"{label}{kind}")


class Add(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Add",
            inputs=[io.Int.Input("a"), io.Int.Input("b")],
            outputs=[io.Int.Output("sum")],
        )

    @classmethod
    def execute(cls, a, b):
        ran.append("Add")
        return io.NodeOutput(a + b)


class Choose(io.ComfyNode):
    """Needs only one of its two inputs."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Choose",
            inputs=[
                io.Boolean.Input("first"),
                io.Int.Input("yes", lazy=True),
                io.Int.Input("no", lazy=True),
            ],
            outputs=[io.Int.Output("chosen")],
        )

    @classmethod
    def check_lazy_status(cls, first, yes=None, no=None):
        wanted = "yes" if first else "no"
        return [wanted] if (yes if first else no) is None else []

    @classmethod
    def execute(cls, first, yes=None, no=None):
        return io.NodeOutput(yes if first else no)


class Always(io.ComfyNode):
    """Never the same twice."""

    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="Always", outputs=[io.Int.Output("count")])

    @classmethod
    def fingerprint_inputs(cls):
        return math.nan

    @classmethod
    def execute(cls):
        ran.append("Always")
        return io.NodeOutput(len(ran))


class Checked(io.ComfyNode):
    """Checks its own inputs; also tells which kinds are linked."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Checked",
            inputs=[io.Int.Input("even", min=0, max=4), io.Image.Input("image", optional=True)],
            outputs=[io.Int.Output("even")],
        )

    @classmethod
    def validate_inputs(cls, even):
        return even is None or even % 2 == 0 or f"{even} is odd."

    @classmethod
    def execute(cls, even, image=None):
        return io.NodeOutput(even)


class Show(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Show",
            display_name="Show It",
            inputs=[io.AnyType.Input("value")],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, value):
        ran.append(f"Show {value}")
        facts = f"{cls.hidden.unique_id} {sorted(cls.hidden.prompt)} {cls.hidden.dynprompt}"
        return io.NodeOutput(value, ui=ui.PreviewText(facts))


class Picture(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Picture",
            inputs=[io.Int.Input("count", default=1, min=1)],
            outputs=[io.Image.Output("image")],
        )

    @classmethod
    def execute(cls, count):
        return io.NodeOutput(torch.linspace(0.2, 0.8, count)[:, None, None, None].expand(-1, 16, 24, 3))


@pytest.fixture
def nodes():
    """Node classes by class_type."""
    return {cls.GET_SCHEMA().node_id: cls for cls in (Number, Add, Choose, Always, Checked, Show, Picture)}


@pytest.fixture
def executions():
    """What ran, in order."""
    ran.clear()
    return ran
