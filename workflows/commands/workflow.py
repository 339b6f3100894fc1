"""`articulate workflow`: convert and check workflow files."""

import argparse
import sys

from ...models_hub.errors import WorkflowError
from .common import add_json, print_json

SUMMARY = "convert a workflow of the graph editor to API format, or check one"
EXAMPLES = """examples:
  articulate workflow api workflows/talking_head.json -o my.json
  articulate workflow check my.json --input-dir samples
  articulate workflow check my.json --server http://127.0.0.1:8188   (knows all nodes of that ComfyUI)

exit codes: 0 all is well, 1 a file or server cannot be used, 2 the workflow is wrong"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("what", choices=("api", "check"), help="api: convert; check: list all problems")
    parser.add_argument("workflow", metavar="FILE", help="a workflow in either format")
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write the API format (standard output)")
    parser.add_argument("--overwrite", action="store_true", help="replace the output file if it exists")
    parser.add_argument("--input-dir", default="input", metavar="DIR", help="where input files are (%(default)s)")
    parser.add_argument("--server", metavar="URL", help="take the nodes that this ComfyUI has")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Convert or check."""
    from ..graph import load_workflow
    from ..runner import NO_NETWORK

    definitions = None
    if arguments.server:
        try:
            from ..remote.server import Server
        except ModuleNotFoundError as error:
            raise WorkflowError(NO_NETWORK) from error

        definitions = Server(arguments.server).definitions()
    workflow = load_workflow(arguments.workflow, definitions)
    return _convert(workflow, arguments) if arguments.what == "api" else _check(workflow, definitions, arguments)


def _convert(workflow, arguments: argparse.Namespace) -> int:
    from ...models_hub.media.files import check_other, check_writable
    from ..editor_format import dumped

    text = dumped(workflow.prompt)
    if arguments.output is None:
        print(text, end="")
    else:
        check_other(arguments.output, [arguments.workflow])
        check_writable(arguments.output, arguments.overwrite).write_text(text, encoding="utf-8")
    return 0


def _check(workflow, definitions, arguments: argparse.Namespace) -> int:
    from ...nodes.standin.execution import Execution, executing
    from ..definitions import known_definitions, stand_ins
    from ..runner import known_nodes
    from ..validation import find_problems

    ours = known_nodes()
    if definitions is not None:
        ours.pop("SaveVideo")  # a host writes more formats than we do
    nodes = stand_ins(known_definitions() if definitions is None else definitions) | ours
    folders = workflow.input_folders(arguments.input_dir)
    with executing(Execution(folders, quiet=True)):
        problems = find_problems(workflow, nodes)
    foreign = sorted({node.class_type for node in workflow.nodes.values()} - set(known_nodes()))
    if arguments.json:
        print_json({"problems": [vars(problem) for problem in problems], "needs_comfyui": foreign})
        return 2 if problems else 0
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{workflow.source}: {len(workflow.nodes)} nodes, no problems.")
    if foreign:
        print(f"These nodes run in ComfyUI only (use --server): {', '.join(foreign)}.", file=sys.stderr)
    return 2 if problems else 0
