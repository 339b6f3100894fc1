"""What the nodes promise: their ids, inputs and outputs never change, and every socket explains itself."""

import asyncio

import articulate
import pytest
from articulate.nodes import NODES

# Saved workflows refer to these by name and, for widgets and outputs, by position: only ever add at the end.
PROMISES = {
    "ArticulateFace": ("image detector face_index landmarks boxes", "face crop mask"),
    "ArticulateAudioEncoder": ("audio fps weights", "speech"),
    "ArticulateLandmarkPredictor": (
        "speech face strength smoothing blink head_motion seed weights",
        "landmarks",
    ),
    "ArticulateLandmarksFromVideo": ("video face mode detector", "landmarks audio"),
    "ArticulateDensityMapBuilder": ("landmarks mode sigma preview_frame", "density preview"),
    "ArticulateWarper": ("face density weights", "warp"),
    "ArticulateFrameGenerator": ("warp weights", "frames"),
    "ArticulateCompose": ("frames audio mode feather colour_match", "video"),
    "ArticulateCritics": ("frame_weight difference_weight sync_weight", "critics"),
    "ArticulatePreviewLandmarks": ("landmarks start count step face images", "images"),
    "ArticulatePreviewDensity": ("density start count step", "images"),
    "ArticulatePreviewWarp": ("warp start count step", "flow occlusion warped"),
}


def test_the_pack_gives_its_nodes():
    async def listed():
        extension = await articulate.comfy_entrypoint()
        return await extension.get_node_list()

    assert {node.GET_SCHEMA().node_id for node in asyncio.run(listed())} == set(PROMISES)


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_promises_are_kept(node):
    schema = node.GET_SCHEMA()
    inputs, outputs = PROMISES[schema.node_id]
    assert [socket.id for socket in schema.inputs][: len(inputs.split())] == inputs.split()
    assert [socket.id for socket in schema.outputs][: len(outputs.split())] == outputs.split()
    assert node.__name__ == schema.node_id


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_every_socket_explains_itself_in_sentences(node):
    schema = node.GET_SCHEMA()
    assert schema.category == "Articulate"
    assert schema.display_name and schema.search_aliases
    texts = [schema.description, *(socket.tooltip for socket in (*schema.inputs, *schema.outputs))]
    for text in texts:
        assert text and text[0].isupper() | (text[0] == "'") and text.endswith("."), text


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_defaults_can_be_used(node):
    for socket in node.GET_SCHEMA().inputs:
        facts = socket.as_dict()
        if "options" in facts:
            assert facts["default"] in facts["options"]
        elif "min" in facts:
            assert facts["min"] <= facts["default"] <= facts["max"]


def test_weights_offer_the_embedded_default_first():
    choices = [s.options for node in NODES for s in node.GET_SCHEMA().inputs if s.id == "weights"]
    assert len(choices) == 4
    assert all(options[0] == "embedded" for options in choices)
