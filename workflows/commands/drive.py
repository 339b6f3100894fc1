"""`articulate drive`: a portrait and a video -> the portrait moves as the face in the video does."""

import argparse

from . import shorthand

SUMMARY = "move a portrait as a face in a video moves"
EXAMPLES = """examples:
  articulate drive samples/portrait.jpg me_talking.mp4 -o out/driven.mp4
  articulate drive portrait.png driver.mov -o driven.mp4 --absolute --mode crop --overwrite"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    shorthand.add_arguments(parser)
    parser.add_argument("video", metavar="VIDEO", help="driving video with one face")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--relative", dest="how", action="store_const", const="relative",
                     help="add the driver's motion to the portrait's own expression (default)")  # fmt: skip
    how.add_argument("--absolute", dest="how", action="store_const", const="absolute",
                     help="take over the driver's landmarks as they are")  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Fill in workflows/api/reenactment.json and render it to the file."""
    return shorthand.render(
        "reenactment.json",
        {arguments.portrait: "picture", arguments.video: "video"},
        {
            "LoadVideo.file": arguments.video,
            "ArticulateLandmarksFromVideo.mode": arguments.how,
            "ArticulateLandmarksFromVideo.detector": arguments.detector,
        },
        arguments,
    )
