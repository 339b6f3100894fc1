"""The comparison of variants: same steps for all, a whole table after every one."""

import json

import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.loading import load_network
from articulate.models_hub.training import looking
from articulate.models_hub.training.ablation import PLAIN, PRESETS, TABLE, ablate, without
from articulate.models_hub.training.ablation_sound import CONTEXTS, ContextEncoder
from articulate.models_hub.training.ablation_table import Row
from articulate.models_hub.training.material import Material, Take
from articulate.models_hub.training.objective import LOSSES
from articulate.models_hub.training.settings import TuneSettings

SETTINGS = TuneSettings(steps=1, frames=2, rank=2, accelerator="cpu", devices="1")


def test_variants_name_known_losses():
    for variants in PRESETS.values():
        assert PLAIN in variants
        assert all(set(variant.weights) <= set(LOSSES) for variant in variants.values())


def test_a_table_compares_with_the_untuned_networks(talking_take, tmp_path, monkeypatch):
    monkeypatch.setattr(looking.watched_frames, "__defaults__", (2,))
    take = Take("t", talking_take.frames[:36], talking_take.points[:36])
    rows, table = ablate(Material([take]), "fine-tune", SETTINGS, tmp_path, ("+ difference critic (clothes transfer)",))
    assert [row.name for row in rows] == ["not tuned", PLAIN, "+ difference critic (clothes transfer)"]
    assert json.loads((tmp_path / "table.json").read_text())[1]["name"] == PLAIN
    assert (tmp_path / "table.md").read_text() == table.markdown(rows)
    assert (tmp_path / "table.png").stat().st_size > 500
    log = [json.loads(line) for line in (tmp_path / "09" / "log.jsonl").read_text().splitlines()]
    assert "difference_critic" in log[-1]


def test_less_error_is_a_positive_change():
    rows = [Row("better", dict(zip(TABLE.formats, (0.03, 0.25, 0.1, 0.2), strict=True)))]
    assert "| better | 0.03000 | +25.0% | 0.1000 | 0.20 |" in TABLE.markdown(rows)


@pytest.mark.parametrize("what", ["memory", "identity"])
def test_what_is_taken_away_no_longer_tells_sources_apart(what, sample_face):
    """Memory gives nothing at all; without the identity it gives every source the same."""
    whole = {"warper": load_network("warper")}
    changed = without(whole, what)["warper"]
    crops = torch.cat([sample_face.crop, sample_face.crop.flip(-1) * 0.5])
    points = torch.stack([sample_face.points, sample_face.points * 0.9])
    for warper, alike in ((whole["warper"], False), (changed, True)):
        source = warper.encode(crops, points)
        assert torch.allclose(source.values[0], source.values[1], atol=1e-6) == alike
    assert (changed.encode(crops, points).values.abs().max() == 0) == (what == "memory")


def test_encoders_hear_as_much_as_they_say():
    for seconds in CONTEXTS:
        encoder = ContextEncoder(seconds, width=8).eval()
        frames = 2 * encoder.margin + 4
        assert frames / 100 == pytest.approx(seconds)
        mel = torch.randn(1, frames, 64, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
        units = encoder(mel)
        assert units.shape == (1, 1, 8)
        units.square().sum().backward()
        heard = mel.grad.abs().sum(-1)[0] > 0
        assert heard[0] and heard[-1]


def test_every_context_learns_from_the_same_crops(monkeypatch, tmp_path):
    from articulate.models_hub.training import ablation_sound
    from articulate.models_hub.training.speech_data import Talk

    random = torch.Generator().manual_seed(0)
    clips = [
        Talk(n, n, torch.randn(480, 64, generator=random), torch.randn(120, 37, 2, generator=random)) for n in "ab"
    ]
    monkeypatch.setattr(ablation_sound, "talking_clips", lambda data, split: clips)
    monkeypatch.setattr(ablation_sound, "usual_mouth", lambda data: torch.tensor([1.0, 0.1, 0.0, 0.1]))
    monkeypatch.setattr(ablation_sound, "FACES", 2)
    rows, _ = ablation_sound.ablate_context(tmp_path, 2, 0, tmp_path, ("0.2 s", "1.96 s"))
    assert [row.name for row in rows] == ["0.2 s", "1.96 s"]
    assert all(torch.tensor(list(row.figures.values())).isfinite().all() for row in rows)
    assert "| 0.2 s |" in (tmp_path / "table.md").read_text()


def test_unknown_presets_are_refused(tmp_path):
    with pytest.raises(InputError, match="no preset"):
        ablate(Material([]), "hair", SETTINGS, tmp_path)
