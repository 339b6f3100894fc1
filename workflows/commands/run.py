"""`articulate run`: any workflow."""

import argparse

from .common import add_device, add_json, add_quiet, file_facts, print_json, settings_of

SUMMARY = "execute a workflow file without ComfyUI, or on a running one"
EXAMPLES = """examples:
  articulate run workflows/api/talking_head.json --input-dir samples --output-dir out
  articulate run workflows/talking_head.json --server http://127.0.0.1:8188 --input-dir samples
  articulate run my.json --set 1.image=me.png --set "Landmark Predictor.seed=7" --set 5.blink=0 --json

NODE in --set is a node's id, its title or its class. Values of number and switch inputs are read as JSON.
exit codes: 0 done, 1 an input or file cannot be used, 2 the workflow is wrong, 130 cancelled"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument(
        "workflow", metavar="WORKFLOW.json", help="workflow in API format, or as the graph editor saves it"
    )
    parser.add_argument("--set", action="append", default=[], metavar="NODE.INPUT=VALUE", dest="settings",
                        help="use another value; may be given several times")  # fmt: skip
    parser.add_argument("--output-dir", default="output", metavar="DIR", help="where files are written (%(default)s)")
    parser.add_argument("--input-dir", default="input", metavar="DIR",
                        help="where input files are looked for first (%(default)s); then beside the workflow, "
                        "then in the current folder")  # fmt: skip
    parser.add_argument("--server", metavar="URL", help="a running ComfyUI that does it: inputs are uploaded, outputs "
                        "fetched; Ctrl-C stops it there")  # fmt: skip
    add_device(parser)
    add_json(parser)
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Execute the workflow and say what it wrote."""
    from ..runner import run as execute

    result = execute(
        arguments.workflow,
        settings_of(arguments.settings),
        server=arguments.server,
        output_dir=arguments.output_dir,
        input_dir=arguments.input_dir,
        quiet=arguments.quiet,
        **({} if arguments.server else {"precision": arguments.precision, "device": arguments.device}),
    )
    if arguments.json:
        nodes = dict.fromkeys([*result.outputs, *result.files, *result.texts])
        print_json(
            {
                "outputs": {
                    node: {
                        "files": [file_facts(path) for path in result.files.get(node, [])],
                        "texts": result.texts.get(node, []),
                    }
                    for node in nodes
                },
                "seconds": {node: round(seconds, 3) for node, seconds in result.seconds.items()},
            }
        )
        return 0
    for node, paths in result.files.items():
        for path in paths:
            print(f"node {node}: {path}")
    for texts in result.texts.values():
        print("\n".join(texts))
    return 0
