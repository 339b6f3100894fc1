"""`articulate talk`: a portrait and a voice -> a talking video."""

import argparse

from . import shorthand

SUMMARY = "make a portrait speak a recording"
EXAMPLES = """examples:
  articulate talk samples/portrait.jpg samples/speech.flac -o out/talking.mp4
  articulate talk me.png voice.mp3 -o me.mp4 --head-motion 0 --no-blink --seed 7 --overwrite

The recording may be any sound file, or a video whose sound is used."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    shorthand.add_arguments(parser)
    parser.add_argument("speech", metavar="SPEECH", help="sound file (mp3, m4a, flac, ogg, wav, ...) or video")
    parser.add_argument("--strength", type=float, metavar="X", help="how far the mouth moves; 1 is natural")
    parser.add_argument("--smoothing", type=float, metavar="FRAMES", help="smooth the motion over so many frames")
    parser.add_argument("--no-blink", action="store_true", help="keep the eyes open")
    parser.add_argument("--head-motion", type=float, metavar="X", help="how much the head moves; 0 keeps it still")
    parser.add_argument("--brows", type=float, metavar="X", help="how much the brows move; 0 keeps them still")
    parser.add_argument("--seed", type=int, metavar="N", help="decides blinks and the motion of head and brows")
    parser.add_argument("--fps", type=float, metavar="X", help="frames a second (25)")


def run(arguments: argparse.Namespace) -> int:
    """Fill in workflows/api/talking_head.json and render it to the file."""
    return shorthand.render(
        "talking_head.json",
        {arguments.portrait: "picture", arguments.speech: "sound"},
        {
            "LoadAudio.audio": arguments.speech,
            "ArticulateAudioEncoder.fps": arguments.fps,
            "ArticulateLandmarkPredictor.strength": arguments.strength,
            "ArticulateLandmarkPredictor.smoothing": arguments.smoothing,
            "ArticulateLandmarkPredictor.blink": 0.0 if arguments.no_blink else None,
            "ArticulateLandmarkPredictor.head_motion": arguments.head_motion,
            "ArticulateLandmarkPredictor.brows": arguments.brows,
            "ArticulateLandmarkPredictor.seed": arguments.seed,
        },
        arguments,
    )
