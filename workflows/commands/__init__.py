"""The command line. Each command is a module with SUMMARY, add_arguments(parser) and run(arguments) -> exit code.

Exit codes: 0 done, 1 an input or file cannot be used, 2 the command or the workflow is wrong, 130 cancelled.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from ...models_hub.errors import ArticulateError, WorkflowError
from . import ablate, bench, drive, evaluate, finetune, models, run, sheet, talk, train, workflow

COMMANDS: dict[str, ModuleType] = {
    "talk": talk,
    "drive": drive,
    "run": run,
    "sheet": sheet,
    "models": models,
    "evaluate": evaluate,
    "bench": bench,
    "train": train,
    "finetune": finetune,
    "ablate": ablate,
    "workflow": workflow,
}

ENDS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that ask a program to end: a polite kill, and a terminal that is closed (which Windows does not have)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments; None means those of the process.

    Returns:
        The exit code.
    """
    before = {number: signal.getsignal(number) for number in ENDS}
    try:
        for number in ENDS:
            _cancel_on(number)
        try:
            arguments = _parser().parse_args(argv)
        except SystemExit as end:  # --help, or a wrong option, already explained by argparse
            return end.code if isinstance(end.code, int) else 2
        return COMMANDS[arguments.command].run(arguments) or 0
    except ArticulateError as error:
        print(f"articulate: {error}", file=sys.stderr)
        return 2 if isinstance(error, WorkflowError) else 1
    except KeyboardInterrupt:
        print("articulate: Cancelled; no unfinished file is left.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    finally:
        for number, handler in before.items():
            _restore(number, handler)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="articulate",
        description="Makes a portrait speak: a portrait and a voice recording go in, a talking video comes out.",
        epilog="articulate COMMAND --help explains a command and shows examples.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=module.SUMMARY[0].upper() + module.SUMMARY[1:] + ".",
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
    return parser


def _cancel_on(number: int) -> None:
    """Let a signal end the work as Ctrl-C does, so that temporary files go."""

    def cancel(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    if signal.getsignal(number) is signal.SIG_DFL:
        _restore(number, cancel)


def _restore(number: int, handler: object) -> None:
    try:
        signal.signal(number, handler)
    except ValueError:
        return  # not in the main thread, where signals are not handled anyway
