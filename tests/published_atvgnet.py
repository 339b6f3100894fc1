"""ATVGnet written down plainly from its description (seed 02), by the published tensors' names.

To compare the networks and their conversion with. It is not the authors' code.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]
BLOCKS = 9


def shapes() -> dict[str, dict[str, tuple[int, ...]]]:
    """Names and shapes of the published tensors, without batch norms' counters, of "at" and "vg"."""
    at: dict[str, tuple[int, ...]] = {}
    vg: dict[str, tuple[int, ...]] = {}

    def layer(into, name, outputs, *inputs, bias=True):
        into[f"{name}.weight"] = (outputs, *inputs)
        if bias:
            into[f"{name}.bias"] = (outputs,)

    def norm(into, name, count):
        into.update({f"{name}.{leaf}": (count,) for leaf in ("weight", "bias", "running_mean", "running_var")})

    def block(into, name, outputs, inputs, kernel=3):
        layer(into, f"{name}.0", outputs, inputs, kernel, kernel, bias=False)
        norm(into, f"{name}.1", outputs)

    def enlarging(name, first, inputs, outputs, bias):
        vg[f"{name}.{first}.weight"] = (inputs, outputs, 3, 3)
        if bias:
            vg[f"{name}.{first}.bias"] = (outputs,)
        norm(vg, f"{name}.{first + 1}", outputs)

    for name, outputs, inputs in (("0", 256, 6), ("2", 512, 256)):
        layer(at, f"lmark_encoder.{name}", outputs, inputs)
    for name, outputs, inputs in ((0, 64, 1), (1, 128, 64), (3, 256, 128), (4, 256, 256), (5, 512, 256)):
        block(at, f"audio_eocder.{name}", outputs, inputs)
    for name, outputs, inputs in (("0", 2048, 12288), ("2", 256, 2048)):
        layer(at, f"audio_eocder_fc.{name}", outputs, inputs)
    for number, inputs in enumerate((768, 256, 256)):
        at[f"lstm.weight_ih_l{number}"], at[f"lstm.weight_hh_l{number}"] = (1024, inputs), (1024, 256)
        at[f"lstm.bias_ih_l{number}"] = at[f"lstm.bias_hh_l{number}"] = (1024,)
    layer(at, "lstm_fc.0", 6, 256)

    block(vg, "image_encoder1.1", 64, 3, 7)
    block(vg, "image_encoder1.2", 64, 64)
    block(vg, "image_encoder1.3", 128, 64)
    block(vg, "image_encoder2.0", 256, 128)
    block(vg, "image_encoder2.1", 512, 256)
    layer(vg, "landmark_encoder.0", 64, 136)
    block(vg, "landmark_encoder_stage2.0", 256, 1)
    block(vg, "lmark_feature.0", 512, 256)
    enlarging("lmark_att", 0, 512, 256, True)
    enlarging("lmark_att", 3, 256, 128, True)
    layer(vg, "lmark_att.6.0", 1, 128, 3, 3)
    block(vg, "bottle_neck.0", 128, 1024)
    for number in range(BLOCKS):
        for first in (0, 4):
            name = f"generator1.{number}.conv_block"
            layer(vg, f"{name}.{first}", 512, 512, 3, 3, bias=False)
            norm(vg, f"{name}.{first + 1}", 512)
    enlarging("generator1", 9, 512, 256, False)
    enlarging("generator1", 12, 256, 128, False)
    enlarging("base", 0, 128, 64, False)
    enlarging("base", 3, 64, 32, False)
    layer(vg, "generator_color.0", 3, 32, 7, 7)
    layer(vg, "generator_attention.0", 1, 32, 7, 7)
    vg["convGRU.weight_ih_l0"], vg["convGRU.weight_hh_l0"] = (1536, 128, 3, 3), (1536, 512, 3, 3)
    vg["convGRU.bias_ih_l0"] = vg["convGRU.bias_hh_l0"] = (1536,)
    return {"at": at, "vg": vg}


def random_states(seed: int = 0) -> dict[str, State]:
    """Random weights that keep activations in a sensible range, with names as in the published files."""
    chance = torch.Generator().manual_seed(seed)

    def value(name, shape):
        noise = torch.randn(shape, generator=chance)
        if name.endswith("running_var"):
            return 0.5 + noise.abs()
        if len(shape) > 1:
            return noise * math.sqrt(2 / math.prod(shape[1:]))
        return noise * 0.1 + (1.0 if name.endswith("weight") else 0.0)

    return {
        network: {f"module.{name}": value(name, shape) for name, shape in names.items()}
        for network, names in shapes().items()
    }


def _norm(state: State, name: str, x: Tensor) -> Tensor:
    mean, var, weight, bias = (state[f"{name}.{leaf}"] for leaf in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, mean, var, weight, bias)


def _block(state: State, name: str, x: Tensor, stride: int = 1, padding: int = 1) -> Tensor:
    return _norm(state, f"{name}.1", F.conv2d(x, state[f"{name}.0.weight"], None, stride, padding)).relu()


def _linear(state: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


def _enlarge(state: State, name: str, first: int, x: Tensor) -> Tensor:
    bias = state.get(f"{name}.{first}.bias")
    x = F.conv_transpose2d(x, state[f"{name}.{first}.weight"], bias, stride=2, padding=1, output_padding=1)
    return _norm(state, f"{name}.{first + 1}", x).relu()


def _bare(state: State) -> State:
    return {name.removeprefix("module."): value for name, value in state.items()}


def at_net(state: State, example: Tensor, windows: Tensor) -> Tensor:
    """Coefficients (T, 6) of windows (T, 28, 12) and an example (1, 6); the LSTM written out."""
    state = _bare(state)
    shape = _linear(state, "lmark_encoder.2", _linear(state, "lmark_encoder.0", example).relu()).relu()
    x = windows[:, None]
    x = _block(state, "audio_eocder.1", _block(state, "audio_eocder.0", x))
    x = F.max_pool2d(x, 3, (1, 2))
    for number in (3, 4, 5):
        x = _block(state, f"audio_eocder.{number}", x)
    x = F.max_pool2d(x, 3, (2, 2)).flatten(1)
    x = _linear(state, "audio_eocder_fc.2", _linear(state, "audio_eocder_fc.0", x).relu()).relu()
    inputs = list(torch.cat([shape.expand(len(x), -1), x], 1))
    for layer in range(3):
        hidden = cell = torch.zeros(256)
        outputs = []
        for step in inputs:
            gates = state[f"lstm.weight_ih_l{layer}"] @ step + state[f"lstm.bias_ih_l{layer}"]
            gates = gates + state[f"lstm.weight_hh_l{layer}"] @ hidden + state[f"lstm.bias_hh_l{layer}"]
            enter, forget, new, leave = gates.chunk(4)
            cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
            hidden = leave.sigmoid() * cell.tanh()
            outputs.append(hidden)
        inputs = outputs
    return _linear(state, "lstm_fc.0", torch.stack(inputs))


def vg_net(state: State, image: Tensor, landmarks: Tensor, example: Tensor) -> tuple[Tensor, ...]:
    """Frames, attention, colour and gate of landmarks (T, 136), an image (1, 3, 128, 128) and an example (1, 136)."""
    state, count = _bare(state), len(landmarks)
    fine = _block(state, "image_encoder1.1", F.pad(image, (3, 3, 3, 3), mode="reflect"), padding=0)
    fine = _block(state, "image_encoder1.3", _block(state, "image_encoder1.2", fine, 2), 2)
    coarse = _block(state, "image_encoder2.1", _block(state, "image_encoder2.0", fine, 2), 2)

    def shape(points):
        drawn = _linear(state, "landmark_encoder.0", points).relu().view(-1, 1, 8, 8)
        return _block(state, "landmark_encoder_stage2.0", drawn)

    now, then = shape(landmarks), shape(example).expand(count, -1, -1, -1)
    gate = _enlarge(state, "lmark_att", 3, _enlarge(state, "lmark_att", 0, torch.cat([now, then], 1)))
    gate = F.conv2d(gate, state["lmark_att.6.0.weight"], state["lmark_att.6.0.bias"], padding=1).sigmoid()
    change = _block(state, "lmark_feature.0", now) - _block(state, "lmark_feature.0", then)
    x = _block(state, "bottle_neck.0", torch.cat([coarse.expand(count, -1, -1, -1), change], 1))
    ours = F.conv2d(x, state["convGRU.weight_ih_l0"], state["convGRU.bias_ih_l0"], padding=2, dilation=2)
    zero = x.new_zeros(count, 512, 8, 8)
    past = F.conv2d(zero, state["convGRU.weight_hh_l0"], state["convGRU.bias_hh_l0"], padding=2, dilation=2)
    (r, z, n), (old_r, old_z, old_n) = ours.chunk(3, 1), past.chunk(3, 1)
    new = torch.tanh(n + (r + old_r).sigmoid() * old_n)
    x = new + (z + old_z).sigmoid() * (zero - new)
    for number in range(BLOCKS):
        name, inner = f"generator1.{number}.conv_block", x
        inner = _norm(state, f"{name}.1", F.conv2d(inner, state[f"{name}.0.weight"], padding=1)).relu()
        x = x + _norm(state, f"{name}.5", F.conv2d(inner, state[f"{name}.4.weight"], padding=1))
    x = _enlarge(state, "generator1", 12, _enlarge(state, "generator1", 9, x))
    x = fine * (1 - gate) + x * gate
    x = _enlarge(state, "base", 3, _enlarge(state, "base", 0, x))
    colour = F.conv2d(x, state["generator_color.0.weight"], state["generator_color.0.bias"], padding=3).tanh()
    attention = F.conv2d(x, state["generator_attention.0.weight"], state["generator_attention.0.bias"], padding=3)
    attention = attention.sigmoid()
    return attention * colour + (1 - attention) * image, attention, colour, gate


def basics(folder=None) -> dict[str, Tensor]:
    """Random constants of the demo's shapes, in float64; written to a folder as NAME.npy if one is given."""
    import numpy as np

    chance = torch.Generator().manual_seed(5)

    def random(*shape):
        return torch.randn(shape, generator=chance, dtype=torch.float64)

    basis = torch.linalg.qr(random(136, 136))[0]
    made = {
        "U_lrw1": basis,
        "mean_lrw1": 0.3 * random(136),
        "S": torch.linalg.qr(random(136, 136))[0][:100],
        "mean_shape_norm": 0.08 * random(1, 136),
        "mean_shape_img": 100 + 30 * random(68, 2),
        "base_68": (80 + 20 * random(68, 2)).round(),
        "base_68_close": (80 + 20 * random(68, 2)).round(),
    }
    for name, values in made.items() if folder is not None else ():
        np.save(folder / f"{name}.npy", values.numpy())
    return made
