"""Networks run where a host wants them, and what stages compute does not depend on who places them."""

import pytest
import torch
from articulate.models_hub.loading import load_network
from articulate.models_hub.stages.inference import Placed, Runtime, precision, runtime, use_runtime, using_runtime
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

    original = runner.Runtime
    runner.Runtime = lambda **_: counting
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
        runner.Runtime = original
    assert {"FaceFinder", "LandmarkEstimator", "AudioToLip", "LandmarkPredictor"} <= set(counting.small)
    assert {name for name, _ in counting.heavy} == {"MemoryWarper", "FrameGenerator"}
    assert all(size > 2**20 for _, size in counting.heavy)
