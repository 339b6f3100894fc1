"""ATVGnet's checkpoints and constants -> AT-net and VG-net (names and shapes: seed 02, sections 2, 4 to 6)."""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..errors import WeightsError
from ..loading import save_network
from ..networks.atvgnet import COEFFICIENTS, EXAGGERATION, ATVGnetFrames, ATVGnetLandmarks
from .checkpoint import State, fill_network, plain_state, read_checkpoint, rename, take

LANDMARKS_FILE, FRAMES_FILE = "atvgnet_landmarks.safetensors", "atvgnet_frames.safetensors"

BASICS = {
    "U_lrw1": (136, 136),
    "mean_lrw1": (136,),
    "S": (100, 136),
    "mean_shape_norm": (1, 136),
    "mean_shape_img": (68, 2),
    "base_68": (68, 2),
    "base_68_close": (68, 2),
}
"""The demo's constants that are needed, NAME.npy in its folder `basics`, and their shapes."""

MOUTH = slice(96, 136)  # points 48-67
MOUTH_PARAMETER, MOUTH_OPENING = 1, -0.06  # what the demo takes off every shape

AT_NET = ((r"^lmark_encoder\.", "example."), (r"^audio_eocder_fc\.", "features."), (r"^audio_eocder\.", "audio."),
          (r"^lstm_fc\.0\.", "answer."))  # fmt: skip
VG_NET = (
    (r"^image_encoder1\.", "fine."),
    (r"^image_encoder2\.", "coarse."),
    (r"^landmark_encoder\.", "points."),
    (r"^landmark_encoder_stage2\.", "shape."),
    (r"^lmark_feature\.", "shape_features."),
    (r"^lmark_att\.6\.0\.", "gate.6."),
    (r"^lmark_att\.", "gate."),
    (r"^bottle_neck\.", "join."),
    (r"^convGRU\.(weight|bias)_ih_l0$", r"gru.input.\1"),
    (r"^convGRU\.(weight|bias)_hh_l0$", r"gru.recurrent.\1"),
    (r"\.conv_block\.0\.", ".first.0."),
    (r"\.conv_block\.1\.", ".first.1."),
    (r"\.conv_block\.4\.", ".second.0."),
    (r"\.conv_block\.5\.", ".second.1."),
    (r"^generator1\.(\d)\.(first|second)", r"blocks.\1.\2"),
    (r"^generator1\.(\d+)\.", lambda match: f"up.{int(match[1]) - 9}."),
)

CONSTANTS = {
    "sample_rate": 16000,
    "padding_seconds": 0.12,
    "mfcc": "25 ms windows every 10 ms, 13 cepstra of 26 mel filters, the first dropped; 28 frames for a video frame",
    "fps": 25,
    "exaggeration": EXAGGERATION,
    "landmark_factor": 5,
    "input_size": 128,
    "normalisation": "RGB in -1..1",
}


def convert_atvgnet(at: str | Path, vg: str | Path, basics: str | Path, output: str | Path) -> list[Path]:
    """Convert the checkpoints of ATVGnet.

    Args:
        at: `atnet_lstm_18.pth`.
        vg: `generator_23.pth`.
        basics: the demo's folder of constants; see BASICS.
        output: folder for the two safetensors files; it is made if need be.

    Returns:
        The written files: landmarks from sound (AT-net), frames from landmarks (VG-net).

    Raises:
        WeightsError: a file is missing or of another network.
    """
    constants, basics_digest = read_basics(basics)
    at_content, at_digest = read_checkpoint(at)
    vg_content, vg_digest = read_checkpoint(vg)
    landmarks = landmark_network(plain_state(at_content, f"{at}: AT-net"), constants)
    frames = frame_network(plain_state(vg_content, f"{vg}: VG-net"), constants)
    written = []
    for network, config, name, source, digest in (
        (landmarks, {}, LANDMARKS_FILE, at, at_digest),
        (frames[0], frames[1], FRAMES_FILE, vg, vg_digest),
    ):
        target = Path(output).expanduser() / name
        save_network(
            network,
            target,
            config,
            constants=json.dumps(CONSTANTS),
            source="lelechen63/ATVGnet checkpoint, converted; the authors' terms apply",
            source_file=Path(source).name,
            source_sha256=digest,
            basics_sha256=basics_digest,
        )
        written.append(target)
    return written


def read_basics(folder: str | Path) -> tuple[dict[str, torch.Tensor], str]:
    """The demo's constants by name, in float64, and one sha256 of them all.

    Raises:
        WeightsError: one is missing or of another shape.
    """
    folder, digest, found = Path(folder).expanduser(), hashlib.sha256(), {}
    for name, shape in BASICS.items():
        path = folder / f"{name}.npy"
        try:
            values = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise WeightsError(
                f"{path} cannot be read ({error}); --basics is the folder `basics` of ATVGnet's repository."
            ) from error
        if values.shape != shape or not np.isfinite(values).all():
            raise WeightsError(f"{path} has the shape {values.shape}, but {shape} of finite numbers is expected.")
        digest.update(path.read_bytes())
        found[name] = torch.from_numpy(values.astype(np.float64))
    return found, digest.hexdigest()


def neutral_landmark(constants: dict[str, torch.Tensor]) -> torch.Tensor:
    """The demo's example landmark (136,), which depends on no person (seed 02, section 2).

    With one example picture the demo's identity removal takes away all that it put in, so what stays is the
    mean shape less the opening of its mouth.
    """
    shapes, mean = constants["S"], constants["mean_shape_norm"][0]
    opening = torch.zeros(136, dtype=torch.float64)
    opening[MOUTH] = MOUTH_OPENING * shapes[MOUTH_PARAMETER, MOUTH]
    return mean - (shapes @ opening) @ shapes


def landmark_network(state: State, constants: dict[str, torch.Tensor]) -> nn.Module:
    """AT-net with the constants of its landmark space, from the published tensors (names without `module.`)."""
    state = rename(state, AT_NET)
    state["basis"] = constants["U_lrw1"][:, :COEFFICIENTS].float()
    state["mean"] = constants["mean_lrw1"].float()
    state["neutral"] = neutral_landmark(constants).float()
    shape = constants["mean_shape_img"] - constants["mean_shape_img"].mean(0)
    state["mean_shape"] = (shape / shape.norm()).float()  # as Procrustes analysis standardises it
    return fill_network(ATVGnetLandmarks(), state, "AT-net")


def frame_network(state: State, constants: dict[str, torch.Tensor]) -> tuple[nn.Module, dict]:
    """VG-net with the templates that faces are aligned to, and its sizes."""
    state = rename(state, VG_NET)
    for leaf in ("weight", "bias"):
        both = [take(state, f"{name}.0.{leaf}", "VG-net") for name in ("generator_color", "generator_attention")]
        state[f"paint.{leaf}"] = torch.cat(both)
    state["templates"] = torch.stack([constants["base_68"], constants["base_68_close"]]).float()
    sizes = {"blocks": sum(name.endswith(".first.0.weight") for name in state)}
    return fill_network(ATVGnetFrames(**sizes), state, "VG-net"), sizes
