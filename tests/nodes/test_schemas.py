"""The pack gives its nodes, and every socket explains itself and has a default that can be used."""

import asyncio

import articulate
import pytest
from articulate.nodes import NODES


def test_the_pack_gives_its_nodes():
    async def listed():
        extension = await articulate.comfy_entrypoint()
        return await extension.get_node_list()

    assert {node.GET_SCHEMA().node_id for node in asyncio.run(listed())} == {node.__name__ for node in NODES}


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
    published = ("ArticulateMCNetKeypoints", "ArticulateATVGnetLandmarks", "ArticulateATVGnetFrames")  # bring your own
    own = [node for node in NODES if node.__name__ not in published]
    choices = [s.options for node in own for s in node.GET_SCHEMA().inputs if s.id == "weights"]
    assert len(choices) == 4
    assert all(options[0] == "embedded" for options in choices)
