"""`articulate models publish`: weights of one's own -> a repository of the Hugging Face Hub."""

import argparse
from pathlib import Path

from .common import add_json, print_json

EXAMPLES = """examples:
  articulate models publish runs/mine --repo-id me/my-weights --licence cc-by-nc-4.0 --dry-run
  articulate models publish models_hub/weights --repo-id me/articulate --record

A token that may write is needed (hf auth login, or HF_TOKEN); a dry run needs none and sends nothing."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, EXAMPLES
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with .safetensors files, one for a stage")
    parser.add_argument("--repo-id", required=True, metavar="OWNER/NAME", help="the repository; it is made if need be")
    parser.add_argument(
        "--licence", "--license", metavar="ID", help="identifier of the Hub's list, such as cc-by-nc-4.0"
    )
    parser.add_argument("--message", default="Weights for Articulate", help="of the commit")
    parser.add_argument("--private", action="store_true", help="a new repository is private")
    parser.add_argument("--dry-run", action="store_true", help="print files and checks, and send nothing")
    parser.add_argument(
        "--output", "-o", type=Path, metavar="DIR", help="write all files here as well, to look at them"
    )
    parser.add_argument(
        "--record", action="store_true", help="write repository and commit into the cards of the embedded weights"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check, and publish."""
    from ...models_hub import publishing

    plan = publishing.make_plan(arguments.folder, arguments.repo_id, arguments.licence)
    facts = plan.facts()
    if arguments.record:
        facts["records"] = publishing.recorded_cards(plan)
    if arguments.output:
        publishing.write(plan, arguments.output)
    if not arguments.dry_run:
        facts["commit"] = publishing.push(plan, arguments.message, arguments.private)
        if arguments.record:
            publishing.record(plan, facts["commit"])
    if arguments.json:
        print_json(facts)
        return 0
    print(f"{'Would publish' if arguments.dry_run else 'Published'} {facts['repository']}:")
    for name, size in facts["files"].items():
        print(f"  {name:40s} {size:>12,} bytes")
    for check in facts["checks"]:
        print(f"  checked: {check}")
    if arguments.record:
        print(f"  {'would be ' if arguments.dry_run else ''}recorded in the cards {', '.join(facts['records'])}")
    if "commit" in facts:
        print(f"Commit {facts['commit']}. Others type {facts['repository']} into a node's repository input.")
    return 0
