"""The Fine-tune node: trains inside an executor in inference mode, writes files that load, keeps what was cancelled."""

import pytest
import torch
from articulate.models_hub.errors import InputError
from articulate.models_hub.loading import load_network
from articulate.models_hub.networks.low_rank import PersonalGenerator, PersonalWarper
from articulate.models_hub.training import material
from articulate.nodes import fine_tune as node
from articulate.nodes.critics import ArticulateCritics
from articulate.nodes.fine_tune import ArticulateFineTune, clip_of, weights_of
from articulate.nodes.host import models_folders


@pytest.fixture(scope="module")
def images(talking_take):
    return talking_take.frames[:54].float() / 255


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Two seconds are enough, and weights go into a folder of the test."""
    monkeypatch.setattr(material, "LEAST_SECONDS", 2.0)
    monkeypatch.setenv("ARTICULATE_MODELS", str(tmp_path))


def tune(images, **options):
    with torch.inference_mode():  # as ComfyUI's executor is
        load_network("landmark_estimator"), load_network("sync_critic")
        critics = ArticulateCritics.execute(1.0, 0.5, 0.0).result[0]
        given = {"images": images.clone(), "critics": critics, "steps": 2, "rank": 2, **options}
        return ArticulateFineTune.execute(**given).result


def test_it_tunes_inside_inference_mode_and_its_files_load(images):
    result = tune(images, name="ann")
    assert result[:3] == ("ann.safetensors", "ann.safetensors", "embedded")
    for stage, kind in (("generator", PersonalGenerator), ("warper", PersonalWarper)):
        path = models_folders(stage)[0] / "ann.safetensors"
        assert isinstance(load_network(stage, str(path)), kind)
        assert path.stat().st_size < 3_500_000
    plot, preview, report = result[3:]
    assert plot.ndim == 4 and plot.shape[-1] == 3
    assert preview.shape[1:] == (256, 768, 3) and preview.min() >= 0
    assert "seconds are used" in report and "Mouth error on the held-back seconds" in report


def test_cancelling_keeps_the_checkpoint_and_running_again_goes_on(images, monkeypatch):
    class Cancelled(BaseException):
        """As ComfyUI's InterruptProcessingException is one."""

    def cancelling(total):
        def progress(done, in_all, frame=None):
            assert frame is None or frame.shape == (256, 768, 3)
            if in_all == 2:  # of steps; before, the footage is read
                raise Cancelled

        return progress

    released = []
    monkeypatch.setattr(node, "host_progress", cancelling)
    monkeypatch.setattr(node, "release_memory", lambda: released.append(True))
    with pytest.raises(Cancelled):
        tune(images, name="bob", parts="generator")
    assert released == [True]
    folder = models_folders("fine_tune")[0] / "bob"
    assert (folder / "checkpoint.pt").exists()
    assert not (models_folders("generator")[0] / "bob.safetensors").exists()
    steps = []
    monkeypatch.setattr(node, "host_progress", lambda total: lambda *told: steps.append(told[:2]))
    tune(images, name="bob", parts="generator")
    assert [done for done, in_all in steps if in_all == 2] == [2]  # the first step was done before
    assert len(steps) > 54  # the footage was read under the same eye
    assert not (folder / "checkpoint.pt").exists()


def test_footage_and_images_exclude_each_other(images):
    for footage, frames in ((None, None), ("video", images)):
        with pytest.raises(InputError, match="link one of them"):
            clip_of(footage, frames, None, 25.0)


def test_names_that_leave_the_folder_are_refused():
    assert ArticulateFineTune.validate_inputs("Ann 2") is True
    for name in ("", "../ann", "a/b", "x" * 99):
        assert "no file name" in ArticulateFineTune.validate_inputs(name)


def test_critics_weights_become_losses():
    critics = ArticulateCritics.execute(1.0, 0.0, 0.3, 0.5, 0.25).result[0]
    assert set(critics.networks) == {"frame", "sync"}  # the others start new
    weights = weights_of(critics, condensers=False)
    assert (weights.frame, weights.difference, weights.multi_scale, weights.regression) == (1.0, 0.0, 0.5, 0.25)
    assert weights.sync_audio == weights.sync_visual == pytest.approx(0.03)
    assert weights.clip == 0 and weights_of(None, condensers=True).clip > 0
