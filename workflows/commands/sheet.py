"""`articulate sheet`: what a video looks like, on one picture."""

import argparse

SUMMARY = "make a contact sheet of a video: frames with their times, mouths enlarged"
EXAMPLES = """examples:
  articulate sheet out/talking.mp4 -o out/contact_sheet.png
  articulate sheet out/talking.mp4 --columns 12 --rows 4 --overwrite"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("video", metavar="VIDEO", help="video file")
    parser.add_argument("-o", "--output", metavar="OUT.png", help="picture to write (VIDEO_sheet.png)")
    parser.add_argument("--columns", type=int, default=8, metavar="N", help="frames side by side (%(default)s)")
    parser.add_argument("--rows", type=int, default=3, metavar="N", help="rows of frames at most (%(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace the picture if it exists")


def run(arguments: argparse.Namespace) -> int:
    """Write the sheet and print where it is."""
    from ...models_hub.errors import InputError
    from ...models_hub.evaluation.contact_sheet import default_path, save_contact_sheet
    from ...models_hub.media.files import check_other

    if not (1 <= arguments.columns <= 64 and 1 <= arguments.rows <= 64):
        raise InputError(f"{arguments.columns} columns and {arguments.rows} rows are out of range; take 1 to 64.")
    output = arguments.output or default_path(arguments.video)
    check_other(output, [arguments.video])
    save_contact_sheet(arguments.video, output, arguments.columns, arguments.rows, arguments.overwrite)
    print(output)
    return 0
