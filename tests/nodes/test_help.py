"""Every node explains itself: a help page with a picture, and names and tooltips in four languages."""

import json
import re
from pathlib import Path

import articulate
import pytest
from articulate.models_hub.media import read_picture
from articulate.nodes import NODES

ROOT = Path(articulate.__file__).parent
LANGUAGES = {"en": r"[A-Za-z]", "zh": r"[\u4e00-\u9fff]", "ja": r"[\u3040-\u30ff]", "ko": r"[\uac00-\ud7a3]"}
NAMED = [(node.GET_SCHEMA().node_id, node.GET_SCHEMA()) for node in NODES]


@pytest.mark.parametrize("name, schema", NAMED, ids=[name for name, _ in NAMED])
def test_a_page_names_everything_and_shows_a_picture(name, schema):
    page = (ROOT / "web" / "docs" / f"{name}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {schema.display_name}\n")
    for socket in (*schema.inputs, *schema.outputs):
        assert f"| `{socket.id}` | " in page, socket.id
        assert socket.tooltip.replace("|", "\\|") in page, f"the page lacks today's tooltip of {socket.id}"
    assert "## Typical mistakes\n\n- " in page
    shown = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page)
    assert shown == [f"{name}.jpg"]
    picture = read_picture(ROOT / "web" / "docs" / shown[0])
    assert picture.shape[1] >= 400 and float(picture.std()) > 0.02


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name, schema", NAMED, ids=[name for name, _ in NAMED])
def test_every_language_knows_every_input(language, name, schema):
    table = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))
    entry = table[name]
    assert set(entry["inputs"]) == {socket.id for socket in schema.inputs}
    assert set(entry["outputs"]) == {str(place) for place in range(len(schema.outputs))}
    texts = [entry["display_name"], entry["description"]]
    for socket in (*entry["inputs"].values(), *entry["outputs"].values()):
        texts += [socket["name"], socket["tooltip"]]
    for text in texts:
        assert text.strip()
        assert re.search(LANGUAGES[language], text) or (language == "ja" and re.search(r"[\u4e00-\u9fff]", text)), text
        unescaped = text.replace("{'@'}", "").replace("{'{'}", "").replace("{'|'}", "")
        assert not re.search(r"[@{}|]", unescaped), f"vue-i18n reads these signs as its own: {text}"


def test_english_says_what_the_nodes_say():
    table = json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text(encoding="utf-8"))
    assert set(table) == {name for name, _ in NAMED}
    for name, schema in NAMED:
        for socket in schema.inputs:
            assert table[name]["inputs"][socket.id]["tooltip"].replace("{'@'}", "@") == socket.tooltip
