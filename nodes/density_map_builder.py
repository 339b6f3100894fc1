"""ART_LANDMARKS -> ART_DENSITY."""

from ..models_hub.stages.density import LARGEST_SIGMA, SMALLEST_SIGMA, build_density, density_preview
from . import types
from .host import intermediate_device, io


class ArticulateDensityMapBuilder(io.ComfyNode):
    """Draws landmarks as density maps: one unit-mass Gaussian for each point."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ArticulateDensityMapBuilder",
            display_name="Density Map Builder",
            category=types.CATEGORY,
            description="Draws the landmarks of every frame as density maps that guide the warper.",
            search_aliases=["heat map", "landmark map", "probability map", "gaussian"],
            inputs=[
                types.Landmarks.Input("landmarks", tooltip="The 68 points in every frame."),
                io.Combo.Input(
                    "mode",
                    options=["region", "point", "sum"],
                    default="region",
                    tooltip="What a map sums: the points of one region (six maps, what the embedded warper has "
                    "learned), one point (68 maps), or all points (one map). Point and sum are for looking, and for "
                    "other networks: the embedded warper then draws region maps from the landmarks itself.",
                ),
                io.Float.Input(
                    "sigma",
                    default=1.5,
                    min=SMALLEST_SIGMA,
                    max=LARGEST_SIGMA,
                    step=0.1,
                    tooltip="Standard deviation of each point in cells of the 64 x 64 map. 1.5 is what the embedded "
                    "warper has learned; larger is vaguer.",
                ),
                io.Int.Input(
                    "preview_frame",
                    default=0,
                    min=0,
                    max=10_000_000,
                    tooltip="Number of the frame that the preview shows, counted from 0; the last one if there are "
                    "fewer. It changes nothing else.",
                ),
            ],
            outputs=[
                types.Density.Output("density", tooltip="The maps of every frame, drawn when they are needed."),
                io.Image.Output("preview", tooltip="The maps of one frame, each in a colour of its own."),
            ],
        )

    @classmethod
    @types.explains_missing_packages
    def execute(cls, landmarks, mode, sigma, preview_frame) -> io.NodeOutput:
        density = build_density(landmarks, mode, sigma)
        picture = density_preview(density, min(preview_frame, len(density) - 1))
        return io.NodeOutput(density, picture[None].to(intermediate_device()))
