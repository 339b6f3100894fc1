"""CLIP embeddings outside of ComfyUI, and those of ComfyUI's own nodes."""

import builtins

import pytest
import torch
from articulate.models_hub.errors import InputError, WeightsError
from articulate.models_hub.stages.clip_vision import MEAN, SPREAD, image_embedding, pixels, weights_folder
from articulate.nodes.fine_tune import embedding_of
from articulate.workflows.commands import main


@pytest.fixture(scope="module")
def tower(tmp_path_factory):
    """A folder with a tiny random CLIP vision model, and the model."""
    transformers = pytest.importorskip("transformers", reason="transformers, which is optional, is not installed")
    torch.manual_seed(0)
    config = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8,
        projection_dim=12,
    )  # fmt: skip
    model = transformers.CLIPVisionModelWithProjection(config).eval()
    folder = tmp_path_factory.mktemp("clip")
    model.save_pretrained(folder, safe_serialization=True)
    return folder, model


def test_a_saved_model_gives_its_own_embedding(tower):
    folder, model = tower
    picture = torch.rand(40, 64, 3, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = model(pixel_values=pixels(picture, 32)).image_embeds
    found = image_embedding(picture, str(folder))
    assert found.shape == (1, 12) and torch.allclose(found, wanted, atol=1e-6)
    assert not torch.allclose(image_embedding(1 - picture, str(folder)), wanted, atol=1e-3)


def test_a_model_without_its_projection_is_refused(tower, tmp_path):
    from safetensors.torch import load_file, save_file

    folder, _ = tower
    state = load_file(folder / "model.safetensors")
    state.pop("visual_projection.weight")
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(WeightsError, match=r"lacks visual_projection\.weight"):
        image_embedding(torch.zeros(32, 32, 3), str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"\x08")
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        image_embedding(torch.zeros(32, 32, 3), str(tmp_path))


@pytest.mark.parametrize("size", [(32, 32), (40, 64), (90, 33)])
def test_the_middle_square_is_looked_at(size):
    picture = torch.zeros(*size, 3)
    picture[..., 0] = 0.5
    seen = pixels(picture, 32)
    assert seen.shape == (1, 3, 32, 32)
    wanted = (torch.tensor([0.5, 0, 0]) - torch.tensor(MEAN)) / torch.tensor(SPREAD)
    assert torch.allclose(seen.mean((0, 2, 3)), wanted, atol=1e-5)


def test_what_is_no_model_is_a_sentence(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"has no model\.safetensors"):
        weights_folder(str(tmp_path))
    with pytest.raises(WeightsError, match="neither a folder nor a repository"):
        weights_folder("../nothing")


def test_without_transformers_there_is_a_sentence(monkeypatch, tmp_path):
    real = builtins.__import__

    def none(name, *rest, **named):
        if name == "transformers":
            raise ImportError("No module named 'transformers'")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", none)
    with pytest.raises(InputError, match="pip install transformers"):
        image_embedding(torch.zeros(8, 8, 3), str(tmp_path))


def test_the_command_wants_a_portrait(tmp_path, capsys):
    options = ["-o", str(tmp_path / "me.safetensors"), "--clip-vision", str(tmp_path), "--quiet"]
    assert main(["finetune", str(tmp_path), *options]) == 1
    assert "--portrait" in capsys.readouterr().err


def test_comfyui_s_output_is_taken_by_its_name():
    class Output:
        """As ComfyUI's: attributes that can be asked for by key."""

        def __getitem__(self, key):
            return getattr(self, key)

    embeds = torch.rand(2, 768)
    with torch.inference_mode():
        output = Output()
        output.image_embeds = embeds
        found = embedding_of(output)
    assert torch.equal(found, embeds[:1]) and found.data_ptr() != embeds.data_ptr()
    assert embedding_of(None) is None
