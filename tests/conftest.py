"""What several tests look at: the sample portrait's face, and frames of it in which the mouth opens and closes."""

import contextlib
import copy
import itertools
import os
import tempfile
from pathlib import Path

import articulate
import pytest
import torch

# Tests leave the user's own folders alone; programs that tests start inherit this.
os.environ["ARTICULATE_MODELS"] = tempfile.mkdtemp(prefix="articulate-tests-")

SAMPLES = Path(articulate.__file__).parent / "samples"


@pytest.fixture(scope="session")
def sample_face():
    """The face of samples/portrait.jpg."""
    from articulate.models_hub.media import read_picture
    from articulate.models_hub.stages.face import locate_face

    return locate_face(read_picture(SAMPLES / "portrait.jpg"))


@pytest.fixture(scope="session")
def moving_face(sample_face):
    """Frames (12, 3, 256, 256) of the sample face, and their points (12, 68, 2): the mouth goes down and comes back.

    Real pixels, bent smoothly around the mouth without any network. Frame 0 is the picture itself.
    """
    from articulate.models_hub.networks.density import cell_centres
    from articulate.models_hub.networks.ibug68 import LIPS

    way = 0.1 * torch.sin(torch.arange(12) * (torch.pi / 11)).abs()  # (T,) crop units
    middle = sample_face.points[list(LIPS)].mean(0)

    def share(places):
        return torch.exp(-0.5 * ((places - middle) / 0.2).square().sum(-1))

    centres = cell_centres(256)
    grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1)  # (256, 256, 2)
    down = torch.tensor([0.0, 1.0]) * way[:, None, None]  # (T, 1, 2)
    points = sample_face.points + share(sample_face.points)[None, :, None] * down
    back = grid - down[:, None] * share(grid - down[:, None])[..., None]
    frames = torch.nn.functional.grid_sample(
        sample_face.crop.expand(12, -1, -1, -1), back, padding_mode="border", align_corners=False
    )
    return frames, points


@pytest.fixture(scope="session")
def talking_take(sample_face, moving_face):
    """130 frames of the sample face in which the mouth goes down and comes back, as a take to learn from."""
    from articulate.models_hub.training.material import Take

    frames, points = moving_face
    order = torch.cat([torch.arange(12), torch.arange(10, 0, -1)]).repeat(6)[:130]
    return Take("moving", (frames[order] * 255).round().byte().permute(0, 2, 3, 1), points[order])


@pytest.fixture(scope="session")
def footage_file(talking_take, tmp_path_factory):
    """The same as a video file of 5.2 seconds, 256 x 256, with the sample speech, which does not fit the lips."""
    from articulate.models_hub.media import write_video
    from articulate.models_hub.media.sound import read_audio

    path = tmp_path_factory.mktemp("footage") / "person.mp4"
    sound, rate = read_audio(SAMPLES / "speech.flac")
    seconds = len(talking_take) / 25
    write_video(path, iter(talking_take.frames.split(8)), 25, (sound[:, : round(seconds * rate)], rate))
    return path


@pytest.fixture(scope="session")
def mcnet_checkpoint(tmp_path_factory):
    """A file as MCNet's authors publish it, small and random: names with `module.`, an optimiser, counters."""
    import published_mcnet

    content = {"epoch": 99, "optimizer_generator": {"state": {}, "param_groups": []}, "discriminator": {}}
    for network, state in published_mcnet.random_states(5).items():
        content[network] = {f"module.{name}": value for name, value in state.items()}
    content["generator"]["module.first.norm.num_batches_tracked"] = torch.tensor(7)
    path = tmp_path_factory.mktemp("mcnet") / "final-checkpoint.pth.tar"
    torch.save(content, path)
    return path


@pytest.fixture(scope="session")
def mcnet_files(mcnet_checkpoint):
    """Folder of the three weights files made of it."""
    from articulate.models_hub.converters.mcnet import convert_mcnet

    folder = mcnet_checkpoint.with_name("converted")
    convert_mcnet(mcnet_checkpoint, folder)
    return folder


@pytest.fixture(scope="session")
def atvgnet_checkpoints(tmp_path_factory):
    """Folder with at.pth, vg.pth and basics/ as ATVGnet's authors publish them, random."""
    import published_atvgnet

    folder = tmp_path_factory.mktemp("atvgnet")
    for network, state in published_atvgnet.random_states(6).items():
        torch.save(state, folder / f"{network}.pth")
    (folder / "basics").mkdir()
    published_atvgnet.basics(folder / "basics")
    return folder


@pytest.fixture(scope="session")
def atvgnet_files(atvgnet_checkpoints):
    """Folder of the two weights files made of them."""
    from articulate.models_hub.converters.atvgnet import convert_atvgnet

    source, folder = atvgnet_checkpoints, atvgnet_checkpoints / "converted"
    convert_atvgnet(source / "at.pth", source / "vg.pth", source / "basics", folder)
    return folder


@pytest.fixture(scope="session")
def personal_files(sample_face, tmp_path_factory):
    """Folder of personal files whose adapters do something: STAGE_own for the sample face, STAGE_other for another."""
    from articulate.models_hub.loading import load_network, save_network
    from articulate.models_hub.networks.low_rank import adapt, personal
    from articulate.models_hub.stages.personal import face_codes

    torch.manual_seed(0)
    folder, code = tmp_path_factory.mktemp("personal"), face_codes(sample_face.crop, sample_face.points[None])
    for stage in ("warper", "generator"):
        before = load_network(stage)
        after = copy.deepcopy(before)
        for parameter in adapt(after, 2):
            torch.nn.init.normal_(parameter, std=0.03)
        for name, references in (("own", code), ("other", -code)):
            sizes = getattr(before, "sizes", {"channels": list(before.channels)})
            made = personal(before, after, references, sizes, 2)
            save_network(made, folder / f"{stage}_{name}.safetensors", {**sizes, "rank": 2})
    return folder


@pytest.fixture
def meta_device(monkeypatch):
    """A device that is not the CPU, on every machine: torch's meta device, with shapes and types but no numbers.

    What mixes devices fails on it as it would on a GPU. Numbers that are asked of it are made up.
    """
    from torch.fx.experimental import _config

    def answer(name, made_up):
        plain = getattr(torch.Tensor, name)

        def method(self, *rest, **options):
            answered = made_up(self, *rest, **options) if self.device.type == "meta" else None
            return plain(self, *rest, **options) if answered is None else answered

        monkeypatch.setattr(torch.Tensor, name, method)

    def to_cpu(tensor, *rest, **options):
        return torch.zeros_like(tensor, device="cpu") if "cpu" in map(str, (*rest, *options.values())) else None

    class Autocast(torch.autocast):
        def __new__(cls, device_type, *rest, **options):
            return contextlib.nullcontext() if device_type == "meta" else super().__new__(cls)

    for name, value in (("item", 1.0), ("__float__", 1.0), ("__int__", 1), ("__bool__", True)):
        answer(name, lambda *_, value=value: value)
    edges = itertools.cycle((16, 64))  # of windows: one is where it begins, the next where it ends
    answer("tolist", lambda tensor: torch.full(tensor.shape, next(edges)).tolist())
    answer("cpu", lambda tensor: torch.zeros_like(tensor, device="cpu"))
    answer("to", to_cpu)
    monkeypatch.setattr(torch, "autocast", Autocast)
    monkeypatch.setattr(_config, "meta_nonzero_assume_all_nonzero", True, raising=False)
    return torch.device("meta")
