"""Networks run where a host wants them, and what stages compute does not depend on who places them."""

import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.loading import load_network
from articulate.models_hub.stages.audio_encoder import encode_speech
from articulate.models_hub.stages.compose import Compositor
from articulate.models_hub.stages.density import build_density
from articulate.models_hub.stages.generator import generate_stream
from articulate.models_hub.stages.inference import (
    Placed,
    Runtime,
    precision,
    runtime,
    runtime_on,
    use_runtime,
    using_runtime,
)
from articulate.models_hub.stages.landmark_predictor import predict_landmarks
from articulate.models_hub.stages.warper import warp_stream
from torch import nn


class Counting(Runtime):
    """A host that counts what is asked of it."""

    def __init__(self):
        super().__init__(dtype=torch.float32)
        self.heavy, self.small = [], []

    def load(self, network, working_bytes=0):
        self.heavy.append((type(network).__name__, working_bytes))
        return super().load(network, working_bytes)

    def load_small(self, network):
        self.small.append(type(network).__name__)
        return super().load_small(network)


def test_a_runtime_is_replaced_and_comes_back():
    before = runtime()
    with using_runtime(Runtime(dtype=torch.float32)) as _:
        assert runtime() is not before
        with precision(torch.device("cpu")):
            assert nn.functional.linear(torch.ones(1, 4), torch.ones(4, 4)).dtype == torch.float32
    assert runtime() is before
    with pytest.raises(ZeroDivisionError), using_runtime(Runtime()):
        raise ZeroDivisionError
    assert runtime() is before
    use_runtime(before)


def test_half_precision_is_used_where_it_is_asked_for():
    with using_runtime(Runtime(dtype=torch.bfloat16)), precision(torch.device("cpu")):
        assert nn.functional.linear(torch.ones(1, 4), torch.ones(4, 4)).dtype == torch.bfloat16


def test_a_placed_network_gives_what_the_network_gives():
    network = load_network("landmark_estimator")
    placed, crop = Placed(network), torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(placed(crop), network(crop))
    assert placed.spread == network.spread


def test_every_stage_asks_the_host_for_its_networks(tmp_path):
    from pathlib import Path

    import articulate

    counting, samples = Counting(), Path(articulate.__file__).parent / "samples"
    import articulate.workflows.runner as runner

    original = runner.runtime_on
    runner.runtime_on = lambda *_: counting
    try:
        workflow = samples.parent / "workflows" / "api" / "talking_head.json"
        from articulate.workflows.graph import load_workflow

        graph = load_workflow(workflow)
        prompt = graph.prompt | {"20": {"class_type": "TrimAudioDuration", "inputs": {
            "audio": ["3", 0], "start_index": 0.0, "duration": 0.4}}}  # fmt: skip
        prompt = {key: {**entry, "inputs": dict(entry["inputs"])} for key, entry in prompt.items()}
        prompt["4"]["inputs"]["audio"] = prompt["9"]["inputs"]["audio"] = ["20", 0]
        articulate.run(prompt, input_dir=samples, output_dir=tmp_path)
    finally:
        runner.runtime_on = original
    assert {"FaceFinder", "LandmarkEstimator", "AudioToLip", "LandmarkPredictor"} <= set(counting.small)
    assert {name for name, _ in counting.heavy} == {"MemoryWarper", "FrameGenerator"}
    assert all(size > 2**20 for _, size in counting.heavy)


def test_scripts_run_where_they_are_told_to():
    assert runtime_on("cpu").device == torch.device("cpu")
    assert runtime_on("cpu", "float32").dtype(torch.device("cpu")) == torch.float32
    assert runtime_on("auto").device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    for device in ("abacus", "cuda:99"):
        with pytest.raises(InputError, match="choose auto, or cpu"):
            runtime_on(device)
    with pytest.raises(InputError, match="choose one of auto, float32, bfloat16"):
        runtime_on("cpu", "float8")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_stage_runs_on_any_device(sample_face, meta_device, dtype):
    speech = encode_speech(torch.randn(1, 16_000), 16_000)
    landmarks = predict_landmarks(speech, sample_face)
    with using_runtime(Runtime(meta_device, dtype)), torch.inference_mode():
        assert encode_speech(torch.randn(1, 16_000), 16_000).units.shape == speech.units.shape
        assert predict_landmarks(speech, sample_face).points.shape == landmarks.points.shape
        chunks = list(generate_stream(warp_stream(sample_face, build_density(landmarks), chunk=16)))
        assert sum(len(chunk.frames) for chunk in chunks) == 25
        assert chunks[0].frames.device.type == "cpu"
        assert sum(map(len, Compositor(sample_face).pieces(chunks[0]))) == 16
