"""The comparison of variants: same steps for all, a whole table after every one."""

import json

import pytest
from articulate.models_hub.errors import InputError
from articulate.models_hub.training.ablation import PLAIN, PRESETS, Row, ablate, table
from articulate.models_hub.training.material import Material, Take
from articulate.models_hub.training.objective import LOSSES
from articulate.models_hub.training.settings import TuneSettings

SETTINGS = TuneSettings(steps=1, frames=2, rank=2, accelerator="cpu", devices="1")


def test_variants_name_known_losses():
    for variants in PRESETS.values():
        assert PLAIN in variants
        assert all(set(variant.weights) <= set(LOSSES) for variant in variants.values())


def test_a_table_compares_with_the_untuned_networks(talking_take, tmp_path):
    take = Take("t", talking_take.frames[:60], talking_take.points[:60])
    rows = ablate(Material([take]), "fine-tune", SETTINGS, tmp_path, ("+ difference critic (clothes transfer)",))
    assert [row.name for row in rows] == ["not tuned", PLAIN, "+ difference critic (clothes transfer)"]
    assert json.loads((tmp_path / "table.json").read_text())[1]["name"] == PLAIN
    assert (tmp_path / "table.md").read_text() == table(rows, SETTINGS)
    assert (tmp_path / "table.png").stat().st_size > 500
    log = [json.loads(line) for line in (tmp_path / "07" / "log.jsonl").read_text().splitlines()]
    assert "difference_critic" in log[-1]


def test_less_error_is_a_positive_change():
    text = table([Row("not tuned", 0.04, 0.1, 0.0), Row("better", 0.03, 0.1, 0.2)], SETTINGS)
    assert "+25.0 %" in text


def test_unknown_presets_are_refused(tmp_path):
    with pytest.raises(InputError, match="no preset"):
        ablate(Material([]), "hair", SETTINGS, tmp_path)
