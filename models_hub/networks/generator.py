"""Frame generator: compensated features -> picture, blended with the warped source.

MCNet's decoder made slim: skips of warped features at every scale, output
blend * (warped source + shading) + (1 - blend) * painted. The shading is coarse, a quarter of the size,
so that light may change on moving skin while its texture stays the photo's. The inner mouth of the
driving landmarks is known occlusion: it is drawn and given to the decoder, and where the source never
showed it, it is painted whatever the blend says (trial, point 1); what is painted there comes from a painter of
mouths of its own (mouth_painter.py). Our reconstruction.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import ResidualBlock, conv_block, join, resize, warp
from .condenser import AttentionCondenser
from .density import density_maps
from .ibug68 import DENSITY_REGIONS, EYES, INNER_LIPS, OUTER_LIPS
from .landmark_motion import inner_mouth_mask, mouth_coordinates
from .mouth_detail import MouthDetail
from .mouth_painter import MouthPainter, face_colours

FINE_REGIONS = (EYES, OUTER_LIPS, INNER_LIPS)
BLEND_BIAS = 1.0  # logit of trust in the warped source at the start
TRUST = 1.0
"""Logit added to it in use, twice where the source shows teeth: L1 teaches to prefer a soft painting to a sharp source
that lies a little aside."""
COORDINATES = 3  # maps of `mouth_coordinates`
SHADING_BOUND = 0.25  # of the range of colours


def mouth_masks(source_points: Tensor, driving_points: Tensor, flow: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The inner mouth, and the part of it that the warped source can show.

    Args:
        source_points, driving_points: (1 or B, 68, 2) and (B, 68, 2) in -1..1 of the same square.
        flow: (B, h, w, 2) from driving to source.
        size: cells along each side of the masks.

    Returns:
        Inner mouth of the driving landmarks and that of the source, warped: (B, 1, size, size) each, in 0..1.
        A slit that is stretched over a wide mouth counts only by the share of its area.
    """
    inner, source = (inner_mouth_mask(points, size) for points in (driving_points, source_points))
    share = source.sum((2, 3), keepdim=True) / inner.sum((2, 3), keepdim=True).clamp(min=1)
    return inner, warp(source.expand_as(inner), flow) * share.clamp(max=1)


class FrameGenerator(nn.Module):
    """Decoder with warped skips.

    Args:
        channels: of the warper's levels at half, quarter and eighth size.
        width: channels of the last layers, which paint four pixels to a cell of half size.
        condenser: length of the CLIP embedding that attention condensers are guided by (CPNet); 0 leaves them out.
        mouth: channels of the mouth painter; 0 leaves it out.
        detail: channels of what makes its mouths sharp; 0 leaves it out.
    """

    def __init__(
        self,
        channels: tuple[int, ...] = (32, 64, 128),
        width: int = 40,
        condenser: int = 0,
        mouth: int = 0,
        detail: int = 0,
    ) -> None:
        super().__init__()
        self.channels = tuple(channels)
        half, quarter, coarse = self.channels
        shapes, details = len(DENSITY_REGIONS), len(FINE_REGIONS) + 2 + COORDINATES
        self.enter = nn.Sequential(conv_block(coarse + 2 * shapes, coarse), ResidualBlock(coarse))
        self.up_quarter = conv_block(coarse, quarter)
        self.merge_quarter = nn.Sequential(
            conv_block(2 * quarter + shapes + COORDINATES, quarter), ResidualBlock(quarter)
        )
        self.shade = nn.Conv2d(quarter, 3, 3, padding=1)
        nn.init.zeros_(self.shade.weight)
        nn.init.zeros_(self.shade.bias)
        self.up_half = conv_block(quarter, half)
        self.merge_half = nn.Sequential(conv_block(2 * half + details + 12, width), conv_block(width, width))
        self.paint = nn.Conv2d(width, 16, 3, padding=1)
        if condenser:
            self.condense_coarse = AttentionCondenser(coarse, embedding=condenser)
            self.condense_quarter = AttentionCondenser(quarter, embedding=condenser)
        if mouth:
            self.mouth = MouthPainter(mouth)
        if detail:
            self.detail = MouthDetail(detail)
        self.sizes = {
            "channels": list(channels),
            "width": width,
            "condenser": condenser,
            "mouth": mouth,
            "detail": detail,
        }

    @staticmethod
    def hints(source_points: Tensor, driving_points: Tensor, flow: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """What the landmarks tell the decoder, drawn for frames of `size` pixels.

        Args:
            source_points, driving_points: (1 or B, 68, 2) and (B, 68, 2) in -1..1 of the same square.
            flow: (B, h, w, 2) from driving to source.

        Returns:
            Densities of both (B, 12, S/8, S/8); of driving, with the mouth's coordinates (B, 9, S/4, S/4); fine
            ones of eyes and lips, with both `mouth_masks` and the coordinates (B, 8, S/2, S/2).
        """
        coarse, known = (density_maps(points, size // 8) for points in (driving_points, source_points))
        coarse = torch.cat([coarse, known.expand_as(coarse)], dim=1)
        quarter = [4 * density_maps(driving_points, size // 4), mouth_coordinates(driving_points, size // 4)]
        fine = 8 * density_maps(driving_points, size // 2, regions=FINE_REGIONS)
        masks = mouth_masks(source_points, driving_points, flow, size // 2)
        fine = [fine, *masks, mouth_coordinates(driving_points, size // 2)]
        return coarse, torch.cat(quarter, dim=1), torch.cat(fine, dim=1)

    @staticmethod
    def masks(hints: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The `mouth_masks` in hints, (B, 1, S/2, S/2) each: the inner mouth, and what the warped source can show."""
        return hints[2][:, len(FINE_REGIONS) : -COORDINATES].chunk(2, dim=1)

    def light(self, images: Tensor, points: Tensor) -> Tensor | None:
        """What the mouth painter needs to know of sources, once for each: `face_colours`; None without a painter."""
        return face_colours(images, points) if hasattr(self, "mouth") else None

    def paint_mouth(
        self,
        source: Tensor,
        source_points: Tensor,
        driving_points: Tensor,
        flow: Tensor,
        colours: Tensor | None,
    ) -> Tensor | None:
        """What the mouth painter puts between the lips, in windows that `onto_frame` puts where the mouths are.

        Args:
            source: (B, 3, S, S) in 0..1.
            source_points, driving_points, flow: as for `hints`; one source's points are enough for all frames.
            colours: (B, COLOURS, 3), the `light` of the sources.

        Returns:
            (B, 4, h, w): colours in 0..1 times their weight, and the weight; None without a painter.
        """
        if colours is None:
            return None
        painted, weight = self.mouth.windows(source, source_points, driving_points, flow, colours)
        if hasattr(self, "detail"):
            painted, weight = self.detail.windows(source, driving_points, flow, painted, weight)
        return torch.cat([painted * weight, weight], dim=1)

    def _condense(self, scale: str, features: Tensor, embedding: Tensor | None) -> Tensor:
        condenser = getattr(self, f"condense_{scale}", None)
        return features if condenser is None else condenser(features, embedding)

    def forward(
        self,
        features: tuple[Tensor, ...],
        hints: tuple[Tensor, Tensor, Tensor],
        warped: Tensor,
        embedding: Tensor | None = None,
        mouth: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Paint a frame, shade the warped source, and say which is better where.

        Args:
            features: coarse to fine, (B, C, S/8, S/8) to (B, C, S/2, S/2), from the warper.
            hints: from `hints`.
            warped: (B, 3, S, S), the source itself, warped.
            embedding: (1, E) of CLIP for condensers; without it they predict it.
            mouth: (B, 4, S, S), from `paint_mouth` and `onto_frame`.

        Returns:
            Painted (B, 3, S, S) in 0..1; the shaded warped source (B, 3, S, S) in 0..1; blend (B, 1, S, S)
            in 0..1 (1 = warped source).
        """
        coarse, quarter, half = features
        shape, quarter_shape, detail = (hint.to(coarse.dtype) for hint in hints)
        x = self._condense("coarse", self.enter(join(coarse, shape)), embedding)
        x = self.up_quarter(resize(x, quarter.shape[-2:]))
        x = self.merge_quarter(join(x, quarter, quarter_shape))
        x = self._condense("quarter", x, embedding)
        shading = SHADING_BOUND * self.shade(x).float().tanh()
        shaded = (warped + resize(shading, warped.shape[-2:])).clamp(0, 1)
        x = self.up_half(resize(x, half.shape[-2:]))
        pixels = F.pixel_unshuffle(warped, 2).to(coarse.dtype)  # (B, 12, S/2, S/2)
        x = self.merge_half(join(x, half, detail, pixels))
        painted = F.pixel_shuffle(self.paint(x).float(), 2)  # (B, 4, S, S)
        inner, shown = self.masks(hints)
        hidden, shown = resize(torch.cat([inner * (1 - shown), shown], dim=1), painted.shape[-2:]).chunk(2, dim=1)
        trust = BLEND_BIAS if self.training else BLEND_BIAS + TRUST * (1 + shown)
        # Hiding by a mere prior on the logit is outvoted in training: fog of lips instead of teeth.
        blend = (painted[:, 3:] + trust).sigmoid() * (1 - hidden)
        colours = painted[:, :3].sigmoid()
        if mouth is not None:
            colours, blend = lay_over(colours, blend, mouth)
        return colours, shaded, blend


def with_part(generator: FrameGenerator, name: str, part: MouthPainter | MouthDetail) -> FrameGenerator:
    """A copy of a generator with another "mouth" or "detail"."""
    made = FrameGenerator(**generator.sizes | {name: part.width})
    kept = {key: value for key, value in generator.state_dict().items() if not key.startswith(f"{name}.")}
    made.load_state_dict(kept | {f"{name}.{key}": value for key, value in part.state_dict().items()})
    return made.eval()


def lay_over(painted: Tensor, blend: Tensor, mouth: Tensor) -> tuple[Tensor, Tensor]:
    """Painted colours and blend whose frame is the one of before with the mouth laid over it.

    Args:
        painted: (B, 3, S, S) in 0..1.
        blend: (B, 1, S, S) in 0..1.
        mouth: (B, 4, S, S), colours times their weight, and the weight.
    """
    colours, weight = mouth.split((3, 1), dim=1)
    trust = blend * (1 - weight)
    mixed = (painted * (1 - blend) * (1 - weight) + colours) / (1 - trust).clamp(min=1e-4)
    return torch.where(weight > 0, mixed, painted), trust
