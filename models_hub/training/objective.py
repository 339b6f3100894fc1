"""What a fit minimises: every loss of the five systems with its weight; 0 leaves a loss out, with its network."""

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..loading import load_network
from ..losses.adversarial import (
    clip_decision_loss,
    feature_matching_loss,
    hinge_critic_loss,
    landmark_regression_loss,
    least_squares_critic_loss,
    least_squares_generator_loss,
)
from ..losses.clip import clip_distillation
from ..losses.density import density_loss
from ..losses.keypoints import feature_consistency_loss
from ..losses.perceptual import gradient_loss, perceptual_loss
from ..losses.pixels import dynamic_pixel_loss
from ..losses.sync import audio_visual_sync_loss, visual_sync_loss
from ..networks.density import density_maps
from ..networks.frame_critic import MultiScaleFrameCritic
from ..networks.regression_critic import RegressionCritic
from ..networks.sync_critic import FRAMES, lower_faces
from .batches import TuneBatch, Untouched
from .render import WINDOW, Rendered, paste, render, window_corners
from .warper_losses import reconstruction, region_weights


@dataclass(frozen=True)
class LossWeights:
    """Factor of every loss. 0 leaves the loss out; its network is not even loaded.

    Attributes:
        reconstruction: weighted L1 of colours and gradients in the painted windows (ours).
        warped: weighted L1 of the warped source, where the source shows it (ours); teaches the flow.
        dynamic_pixel: ATVGnet's L_pix.
        density: CPNet's L_den through the frozen landmark estimator.
        perceptual: MCNet's L_P, with VGG-19 where a file of it is given, else with the warper's own encoder.
        gradient: multi-scale gradients, without a network (ours).
        feature_consistency: MCNet's L_con of the facial memory.
        clip: CPNet's L_clip, which teaches condensers what CLIP says; needs an embedding.
        sync_audio, sync_visual: CALS's d_av and d_vv.
        frame, multi_scale, difference, regression: critics that are trained beside.
    """

    reconstruction: float = 10.0
    warped: float = 5.0
    dynamic_pixel: float = 0.0
    density: float = 0.0
    perceptual: float = 0.0
    gradient: float = 0.0
    feature_consistency: float = 0.0
    clip: float = 0.0
    sync_audio: float = 0.0
    sync_visual: float = 0.0
    frame: float = 0.0
    multi_scale: float = 0.0
    difference: float = 0.0
    regression: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value < 1e6:
                raise InputError(f"The weight of the loss {name!r} is {value}; give a number from 0 to a million.")
        if not any(asdict(self).values()):
            raise InputError("All losses have the weight 0, so there is nothing to learn; raise one above 0.")

    @property
    def needs_sound(self) -> bool:
        """Whether a loss hears."""
        return self.sync_audio > 0

    @property
    def run(self) -> int:
        """How many frames must follow each other in time."""
        if self.sync_audio or self.sync_visual or self.regression:
            return FRAMES
        return 2 if self.difference else 1


LOSSES = tuple(field.name for field in fields(LossWeights))
CRITICS = ("frame", "multi_scale", "difference", "regression")
"""Losses whose critic is trained beside the generator."""


def make_critics(weights: LossWeights, given: dict[str, nn.Module] | None = None) -> nn.ModuleDict:
    """The critics that some weights ask for: those given, the embedded ones, or new ones where there are none."""
    given, made = given or {}, {}
    for name in CRITICS:
        if getattr(weights, name):
            if name in given:
                made[name] = given[name]
            elif name == "multi_scale":
                made[name] = MultiScaleFrameCritic()
            elif name == "regression":
                made[name] = RegressionCritic()
            else:
                made[name] = load_network(f"{name}_critic")
    return nn.ModuleDict(made)


def encoder_features(warper: nn.Module) -> Callable[[Tensor], list[Tensor]]:
    """The feature maps of a warper's encoder, as a stand-in for VGG-19."""

    def features(frames: Tensor) -> list[Tensor]:
        level, found = F.pixel_unshuffle(frames, 2), []
        for block in warper.encoder:
            level = block(level)
            found.append(level)
        return found

    return features


@dataclass
class Judged:
    """What the critics look at after the generator's step."""

    made: Tensor  # (N, 3, w, w) windows
    real: Tensor
    whole_made: Tensor | None  # (N, 3, S, S)
    whole_real: Tensor
    density: Tensor  # (N, 6, w, w)
    local: Tensor  # (N, 68, 2) landmarks in -1..1 of the windows
    points: Tensor  # (N, 68, 2)
    example: Tensor  # (1, 68, 2)
    run: int

    def detached(self) -> "Judged":
        """Without the way back into the generator."""
        values = {name: value.detach() if isinstance(value, Tensor) else value for name, value in vars(self).items()}
        return Judged(**values)


class Objective(nn.Module):
    """Terms of a batch.

    Args:
        made: "warper" and "generator"; those of their parameters that need gradients are trained.
        critics: from `make_critics`.
        weights: of the losses.
        vgg: a safetensors file of VGG-19, for the perceptual loss.
        embedding: (1, E) of CLIP for the person's portrait, for condensers.
    """

    def __init__(
        self,
        made: nn.ModuleDict,
        critics: nn.ModuleDict,
        weights: LossWeights,
        vgg: str = "",
        embedding: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.made, self.weights = made, weights
        frozen = {}
        if weights.density:
            frozen["estimator"] = load_network("landmark_estimator")
        if weights.sync_audio or weights.sync_visual:
            frozen["sync"] = load_network("sync_critic")
        if weights.perceptual:
            frozen["perceptual"] = load_network("vgg19", vgg) if vgg else load_network("warper")
        # Copies: a network that a host loaded in inference mode cannot pass gradients on.
        self._frozen = {name: copy.deepcopy(network).requires_grad_(False) for name, network in frozen.items()}
        # Held without being part of this module: critics have an optimiser of their own.
        object.__setattr__(self, "_critics", critics)
        self._vgg = bool(vgg)
        self.register_buffer("embedding", embedding, persistent=False)
        self.judged: Judged | None = None
        self._found: list[tuple[Tensor, Tensor]] = []
        self._condensed: list[tuple[nn.Module, Tensor]] = []
        if weights.feature_consistency:
            self._watch_memory()
        if weights.clip:
            self._watch_condensers()

    def _watch_memory(self) -> None:
        memory = self.made["warper"].memory
        for scale, merge in enumerate(memory.merge):

            def keep(_module: nn.Module, inputs: tuple[Tensor], scale: int = scale) -> None:
                width = memory.bank.shape[1]
                features, found = inputs[0][:, :-width], inputs[0][:, -width:]
                self._found.append((memory.query[scale](features), found))

            merge.register_forward_pre_hook(keep)

    def _watch_condensers(self) -> None:
        condensers = [module for name, module in self.made["generator"].named_children() if "condense" in name]
        if self.embedding is None or not condensers:
            raise InputError(
                "The loss 'clip' teaches attention condensers what CLIP says, but there is no CLIP embedding; link a "
                "CLIP vision output, or leave the loss at 0."
            )
        for condenser in condensers:
            condenser.register_forward_pre_hook(lambda module, inputs: self._condensed.append((module, inputs[0])))

    def place(self, device: torch.device) -> None:
        """Move the frozen networks."""
        for network in self._frozen.values():
            network.to(device)

    def forward(self, untouched: Untouched, random: torch.Generator) -> dict[str, Tensor]:
        """Terms without their weights; `judged` is then what the critics look at."""
        batch = untouched.batch
        weights, size = self.weights, batch.driving.shape[-1]
        corners = window_corners(batch.points.cpu(), random)
        corners[: batch.run] = corners[:1]  # frames that follow each other are seen through one window
        noise = 0.003 * torch.randn(batch.points.shape, generator=random).to(batch.points)
        self._found.clear()
        self._condensed.clear()
        every = torch.arange(len(batch.points), device=batch.points.device)
        rendered = render(
            self.made, batch.source, batch.source_points, batch.points + noise, every, corners, WINDOW, self.embedding
        )
        made, real = rendered.made.float(), rendered.cut(batch.driving)
        terms: dict[str, Tensor] = {}
        if weights.reconstruction:
            terms["reconstruction"] = reconstruction(made, real, rendered.cut(region_weights(batch.points, size)))
        if weights.warped:
            error = (rendered.half - F.avg_pool2d(batch.driving, 2)).abs() * (1 - rendered.hidden)
            terms["warped"] = (error * region_weights(batch.points, size // 2)).mean()
        if weights.dynamic_pixel:
            terms["dynamic_pixel"] = dynamic_pixel_loss(made, real, 1 - rendered.blend.float())
        if weights.gradient:
            terms["gradient"] = gradient_loss(made, real)
        if weights.perceptual:
            network = self._frozen["perceptual"]
            terms["perceptual"] = perceptual_loss(made, real, network if self._vgg else encoder_features(network))
        if weights.feature_consistency:
            pairs = [feature_consistency_loss(query, found) for query, found in self._found]
            terms["feature_consistency"] = torch.stack(pairs).mean()
        if weights.clip:
            known = [clip_distillation(condenser.embedding(x), self.embedding) for condenser, x in self._condensed]
            terms["clip"] = torch.stack(known).mean()
        whole = None
        if weights.density or weights.sync_audio or weights.sync_visual or weights.regression:
            whole = paste(rendered, made, batch.driving)
        if weights.density:
            terms["density"] = density_loss(self._frozen["estimator"], whole, batch.points)
        terms |= self._sync(batch, whole)
        self.judged = self._judged(batch, rendered, made, real, whole)
        return terms | self._critics_say(self.judged)

    def _sync(self, batch: TuneBatch, whole: Tensor | None) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        if whole is None or batch.run < FRAMES or "sync" not in self._frozen:
            return terms
        critic, points = self._frozen["sync"], batch.points[:FRAMES]
        lips = lower_faces(whole[:FRAMES], points)[None]
        if self.weights.sync_audio and batch.mel is not None:
            terms["sync_audio"] = audio_visual_sync_loss(critic, batch.mel, lips)
        if self.weights.sync_visual and batch.other is not None:
            real = lower_faces(batch.driving[:FRAMES], points)[None]
            terms["sync_visual"] = visual_sync_loss(critic, lips, real, batch.other)
        return terms

    @staticmethod
    def _judged(batch: TuneBatch, rendered: Rendered, made: Tensor, real: Tensor, whole: Tensor | None) -> Judged:
        density = 8 * rendered.cut(density_maps(batch.points, batch.driving.shape[-1], 2.0))
        start = rendered.corners.flip(-1).to(batch.points)[:, None] * 2 - 1  # x, y of the windows' corners in -1..1
        local = (batch.points - start) / rendered.fraction - 1
        parts = (density, local, batch.points, batch.source_points, batch.run)
        return Judged(made, real, whole, batch.driving, *parts)

    def _critics_say(self, judged: Judged) -> dict[str, Tensor]:
        """The generator's side of every critic, in the proportions of the embedded critics' training."""
        terms: dict[str, Tensor] = {}
        for name, critic in self._critics.items():
            if name == "regression":
                points, decision = critic.judge(judged.whole_made[None, : judged.run], judged.example)
                wanted = judged.points[None, : judged.run]
                terms[name] = clip_decision_loss(decision, True) + landmark_regression_loss(points, wanted)
                continue
            if name == "difference" and judged.run < 2:
                continue
            scores, mine = ask(critic, name, judged, judged.made)
            with torch.no_grad():
                theirs = ask(critic, name, judged, judged.real)[1]
            if name == "multi_scale":
                wish = torch.stack([least_squares_generator_loss(score) for score in scores]).mean()
            else:
                wish = -torch.stack([score.mean() for score in scores]).mean()
            terms[name] = 0.2 * wish + 2 * feature_matching_loss(mine, theirs)
        return terms

    def critics_loss(self) -> dict[str, Tensor]:
        """What the critics minimise on the frames of the last call."""
        judged, terms = self.judged.detached(), {}
        for name, critic in self._critics.items():
            if name == "regression":
                wanted = judged.points[None, : judged.run]
                for whole, real in ((judged.whole_real, True), (judged.whole_made, False)):
                    points, decision = critic.judge(whole[None, : judged.run], judged.example)
                    loss = clip_decision_loss(decision, real) + landmark_regression_loss(points, wanted)
                    terms[name] = terms.get(name, 0) + loss
                continue
            if name == "difference" and judged.run < 2:
                continue
            real, made = (ask(critic, name, judged, frames)[0] for frames in (judged.real, judged.made))
            loss = least_squares_critic_loss if name == "multi_scale" else hinge_critic_loss
            terms[name] = torch.stack([loss(*pair) for pair in zip(real, made, strict=True)]).mean()
        return terms


def ask(critic: nn.Module, name: str, judged: Judged, frames: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Scores (one map for each scale) and features of a patch critic for made or real windows."""
    if name == "multi_scale":
        return critic.judge(frames, judged.local)
    if name == "frame":
        score, features = critic.judge(frames, judged.density)
        return [score], features
    first, second = frames[: judged.run - 1], frames[1 : judged.run]
    change = judged.density[1 : judged.run] - judged.density[: judged.run - 1]
    score, features = critic.judge(first, second, change)
    return [score], features
