"""MCNet written down plainly from its description (seed 01), by the published tensors' names and at any size.

Slow and obvious, to compare the networks, their conversion and their fast forms with. It is not the authors' code.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]
PROJECTIONS = {8: "32", 4: "64", 2: "128"}  # picture side over a scale's side -> the scale's published name


def shapes(width=64, keypoints=15, detector=32, motion=64, limit=1024, memory=512, bank=32):
    """Names and shapes of the published tensors, without batch norms' counters, of "kp_detector" and "generator"."""
    found = {
        "kp_detector": {"down.weight": (3, 1, 13, 13)},
        "generator": {"dense_motion_network.down.weight": (3, 1, 13, 13)},
    }

    def conv(into, name, outputs, inputs, kernel=3):
        into[f"{name}.weight"], into[f"{name}.bias"] = (outputs, inputs, kernel, kernel), (outputs,)

    def norm(into, name, count):
        into.update({f"{name}.{leaf}": (count,) for leaf in ("weight", "bias", "running_mean", "running_var")})

    def block(into, name, outputs, inputs, kernel=3):
        conv(into, f"{name}.conv", outputs, inputs, kernel)
        norm(into, f"{name}.norm", outputs)

    def hourglass(into, name, inputs, base):
        widths = [min(limit, base << level) for level in range(6)]
        for level in range(5):
            block(into, f"{name}.encoder.down_blocks.{level}", widths[level + 1], widths[level] if level else inputs)
            block(into, f"{name}.decoder.up_blocks.{level}", widths[4 - level], widths[5 - level] * (2 if level else 1))
        return widths[0] + inputs

    one = found["kp_detector"]
    out = hourglass(one, "predictor", 3, detector)
    conv(one, "kp", keypoints, out, 7)
    conv(one, "jacobian", 4 * keypoints, out, 7)
    two = found["generator"]
    out = hourglass(two, "dense_motion_network.hourglass", 4 * (keypoints + 1), motion)
    conv(two, "dense_motion_network.mask", keypoints + 1, out, 7)
    conv(two, "dense_motion_network.occlusion", 1, out, 7)
    block(two, "first", width, 3, 7)
    for level in range(3):
        block(two, f"down_blocks.{level}", 2 * width << level, width << level)
        inputs = 8 * width >> max(0, level - 1)
        block(two, f"up_blocks.{level}", 4 * width >> level, inputs)
        for number in (2 * level, 2 * level + 1):
            for part in ("1", "2"):
                conv(two, f"resblock.{number}.conv{part}", inputs, inputs)
                norm(two, f"resblock.{number}.norm{part}", inputs)
    conv(two, "final", 3, width, 7)
    unit = "mbUnit"
    two[f"{unit}.mb"] = (1, memory, bank, bank)
    for name, half in zip(PROJECTIONS.values(), (4 * width, 2 * width, width), strict=True):
        conv(two, f"{unit}.feat_forward_proj_{name}", memory, half, 1)
        conv(two, f"{unit}.conv_{name}", half, memory)
        two.update({f"{unit}.norm_{name}.{leaf}": (half,) for leaf in ("weight", "bias")})
    conv(two, f"{unit}.query_conv", memory, memory, 1)
    conv(two, f"{unit}.diff_conv", memory, memory, 1)
    two[f"{unit}.conv_kv.weight"], two[f"{unit}.conv_kv.bias"] = (4, 2 * memory, memory, 3, 3), (4, 2 * memory)
    two[f"{unit}.conv_kv.attention.fc1.weight"] = (129, memory, 1, 1)
    conv(two, f"{unit}.conv_kv.attention.fc2", 4, 129, 1)
    for name, outputs, inputs in (("0", 128, memory + 2 * keypoints), ("2", memory, 128)):
        two[f"{unit}.style_route.{name}.weight"], two[f"{unit}.style_route.{name}.bias"] = (outputs, inputs), (outputs,)
    two[f"{unit}.styleconv.weight"] = (1,)
    two[f"{unit}.styleconv.modulated_conv.weight"] = (1, memory, memory, 3, 3)
    two[f"{unit}.styleconv.modulated_conv.modulation.weight"] = (memory, memory)
    two[f"{unit}.styleconv.modulated_conv.modulation.bias"] = (memory,)
    two[f"{unit}.styleconv.activate.bias"] = (memory,)
    return found


SMALL = {"width": 8, "keypoints": 3, "detector": 4, "motion": 4, "limit": 32, "memory": 16, "bank": 8}


def random_states(seed=0, **sizes) -> dict[str, State]:
    """Random weights that keep activations in a sensible range, {"kp_detector": ..., "generator": ...}."""
    chance = torch.Generator().manual_seed(seed)
    return {
        network: {name: _random(name, shape, chance) for name, shape in names.items()}
        for network, names in shapes(**(sizes or SMALL)).items()
    }


def _random(name: str, shape: tuple[int, ...], chance: torch.Generator) -> Tensor:
    if name.endswith("down.weight"):
        return gaussian_kernel().expand(shape).clone()
    if shape == (1,):
        return torch.zeros(1)  # the memory's noise
    noise = torch.randn(shape, generator=chance)
    if name.endswith("running_var"):
        return 0.5 + noise.abs()
    if name == "jacobian.bias":
        return torch.tensor([1.0, 0, 0, 1]).repeat(shape[0] // 4) + 0.1 * noise
    if name == "jacobian.weight":
        return 0.02 * noise
    if "styleconv" in name and len(shape) > 1:
        return noise  # scaled inside
    if len(shape) > 1:
        return noise * math.sqrt(2 / math.prod(shape[1:]))
    return noise * 0.1 + (1.0 if name.endswith("weight") or "modulation" in name else 0.0)


def gaussian_kernel() -> Tensor:
    """Deviation 1.5 pixels, 13 x 13, adding up to 1."""
    taps = torch.exp(-((torch.arange(13.0) - 6) ** 2) / (2 * 1.5**2))
    taps = taps[:, None] * taps
    return taps / taps.sum()


def _conv(state: State, name: str, x: Tensor, padding: int = 1) -> Tensor:
    return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=padding)


def _norm(state: State, name: str, x: Tensor) -> Tensor:
    mean, var, weight, bias = (state[f"{name}.{leaf}"] for leaf in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, mean, var, weight, bias)


def _block(state: State, name: str, x: Tensor, padding: int = 1) -> Tensor:
    return _norm(state, f"{name}.norm", _conv(state, f"{name}.conv", x, padding)).relu()


def _hourglass(state: State, name: str, x: Tensor) -> Tensor:
    levels = [x]
    for level in range(5):
        levels.append(F.avg_pool2d(_block(state, f"{name}.encoder.down_blocks.{level}", levels[-1]), 2))
    x = levels.pop()
    for level in range(5):
        x = _block(state, f"{name}.decoder.up_blocks.{level}", F.interpolate(x, scale_factor=2))
        x = torch.cat([x, levels.pop()], 1)
    return x


def _quarter(image: Tensor) -> Tensor:
    return F.conv2d(image, gaussian_kernel().expand(3, 1, 13, 13), padding=6, groups=3)[:, :, ::4, ::4]


def _grid(height: int, width: int) -> Tensor:
    x, y = torch.linspace(-1, 1, width), torch.linspace(-1, 1, height)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)  # (h, w, 2)


def detect(state: State, image: Tensor) -> dict[str, Tensor]:
    """Keypoints `value` (B, K, 2) and `jacobian` (B, K, 2, 2) of pictures (B, 3, S, S)."""
    features = _hourglass(state, "predictor", _quarter(image))
    heat = _conv(state, "kp", features, 0)
    batch, count, height, width = heat.shape
    heat = (heat.flatten(2) / 0.1).softmax(-1).view(batch, count, 1, height, width)
    frames = _conv(state, "jacobian", features, 0).view(batch, count, 4, height, width)
    value = (heat * _grid(height, width).permute(2, 0, 1)).sum((3, 4))
    return {"value": value, "jacobian": (heat * frames).sum((3, 4)).view(batch, count, 2, 2)}


def motion(state: State, source: Tensor, at: dict, to: dict) -> tuple[Tensor, Tensor]:
    """Deformation (B, h, w, 2) and occlusion (B, 1, h, w)."""
    small, name = _quarter(source), "dense_motion_network"
    batch, _, height, width = small.shape
    grid = _grid(height, width)

    def marks(points):
        return torch.exp(-0.5 * (grid - points[:, :, None, None]).square().sum(-1) / 0.01)

    heat = torch.cat([small.new_zeros(batch, 1, height, width), marks(to["value"]) - marks(at["value"])], 1)
    turn = at["jacobian"] @ torch.linalg.inv(to["jacobian"])
    moved = (turn[:, :, None, None] @ (grid - to["value"][:, :, None, None])[..., None])[..., 0]
    moved = torch.cat([grid.expand(batch, 1, -1, -1, -1), moved + at["value"][:, :, None, None]], 1)
    count = moved.shape[1]
    copies = small[:, None].expand(-1, count, -1, -1, -1).flatten(0, 1)
    deformed = F.grid_sample(copies, moved.flatten(0, 1), align_corners=False).view(batch, count, 3, height, width)
    features = _hourglass(state, f"{name}.hourglass", torch.cat([heat[:, :, None], deformed], 2).flatten(1, 2))
    choice = _conv(state, f"{name}.mask", features, 3).softmax(1)
    return (choice[..., None] * moved).sum(1), _conv(state, f"{name}.occlusion", features, 3).sigmoid()


def remember(state: State, features: Tensor, name: str, source_value: Tensor) -> Tensor:
    """The memory unit at one scale."""
    unit = {key.removeprefix("mbUnit."): value for key, value in state.items() if key.startswith("mbUnit.")}
    same, other = features[:, 0::2], features[:, 1::2]
    projected = _conv(unit, f"feat_forward_proj_{name}", other, 0)
    pooled = projected.mean((2, 3))
    hidden = F.linear(
        torch.cat([pooled, source_value.flatten(1)], 1), unit["style_route.0.weight"], unit["style_route.0.bias"]
    )
    style = F.linear(hidden.relu(), unit["style_route.2.weight"], unit["style_route.2.bias"])
    modulation = unit["styleconv.modulated_conv.modulation.weight"]
    style = style @ modulation.T / math.sqrt(modulation.shape[1]) + unit["styleconv.modulated_conv.modulation.bias"]
    kernel = unit["styleconv.modulated_conv.weight"]
    kernel = kernel / math.sqrt(kernel[0, 0].numel())
    mix = F.conv2d(pooled[..., None, None], unit["conv_kv.attention.fc1.weight"]).relu()
    mix = (_conv(unit, "conv_kv.attention.fc2", mix, 0).flatten(1) / 34).softmax(1)
    results = []
    for number in range(len(features)):
        mine = kernel[0] * style[number][:, None, None]
        mine = mine * torch.rsqrt(mine.square().sum((1, 2, 3), keepdim=True) + 1e-8)
        memory = F.conv2d(unit["mb"], mine, padding=1) + unit["styleconv.activate.bias"][:, None, None]
        memory = F.leaky_relu(memory, 0.2) * math.sqrt(2)
        weight, bias = (
            torch.einsum("k,k...->...", mix[number], unit[f"conv_kv.{leaf}"]) for leaf in ("weight", "bias")
        )
        key, value = F.conv2d(memory, weight, bias, padding=1).relu()[0].flatten(1).chunk(2)  # (width, cells)
        feat = projected[number, None]
        query = _conv(unit, "query_conv", feat, 0).relu()[0].flatten(1)
        attention = (query.T @ key / 4).softmax(1)
        residual = (attention @ value.T).T.view_as(feat)
        difference = _conv(unit, "diff_conv", feat - residual, 0).relu()
        results.append(_conv(unit, f"conv_{name}", feat + difference))
    new = torch.cat(results)
    new = F.instance_norm(new, weight=unit[f"norm_{name}.weight"], bias=unit[f"norm_{name}.bias"]).relu()
    return torch.stack([same, new], 2).flatten(1, 2)


def generate(state: State, source: Tensor, at: dict, to: dict) -> dict[str, Tensor]:
    """Frames of B driven keypoints for B copies of the source."""
    deformation, occlusion = motion(state, source, at, to)

    def at_size(maps, size):
        return F.interpolate(maps, size=(size, size), mode="bilinear", align_corners=True)

    def warped(maps):
        grid = at_size(deformation.permute(0, 3, 1, 2), maps.shape[-1]).permute(0, 2, 3, 1)
        return F.grid_sample(maps, grid, align_corners=True)

    levels = [_block(state, "first", source, 3)]
    for level in range(3):
        levels.append(F.avg_pool2d(_block(state, f"down_blocks.{level}", levels[-1]), 2))
    side = source.shape[-1]
    levels = [warped(maps) * at_size(occlusion, maps.shape[-1]) for maps in levels]
    x = None
    for level in range(3):
        own = levels.pop()
        known = remember(state, own, PROJECTIONS[side // own.shape[-1]], at["value"])
        x = known if x is None else torch.cat([x, known], 1)
        for number in (2 * level, 2 * level + 1):
            inner = x
            for part in "12":
                inner = _conv(
                    state, f"resblock.{number}.conv{part}", _norm(state, f"resblock.{number}.norm{part}", inner).relu()
                )
            x = x + inner
        x = _block(state, f"up_blocks.{level}", F.interpolate(x, scale_factor=2))
    seen = at_size(occlusion, side)
    painted = _conv(state, "final", x * (1 - seen) + levels.pop(), 3).sigmoid()
    return {
        "deformation": deformation,
        "occlusion_map": occlusion,
        "prediction": painted * (1 - seen) + warped(source) * seen,
    }
