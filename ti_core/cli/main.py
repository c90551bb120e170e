"""The command line: python -m ti_core COMMAND. Each file beside this one adds a group of commands."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable

from ti_core import __version__
from ti_core.cli.doctor import add_doctor_command
from ti_core.cli.embeddings import add_embedding_commands
from ti_core.cli.jobs import add_job_commands
from ti_core.cli.kind_recipes import add_kind_recipe_commands
from ti_core.cli.models import add_model_commands
from ti_core.cli.printer import EXIT_INTERRUPTED, EXIT_OK, EXIT_USER_ERROR
from ti_core.cli.recipe import add_recipe_command
from ti_core.cli.update import add_update_command
from ti_core.errors import Interrupted, UserError
from ti_core.models.chosen_device import choose_device
from ti_core.program.terminal import clean_terminal
from ti_core.workspace import Workspace, add_place_flags, open_workspace

__all__ = ["EXIT_INTERRUPTED", "EXIT_OK", "EXIT_USER_ERROR", "main"]


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status, and prints one clear line on the error stream for a UserError."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name that the terminal cannot write is no reason to end
            stream.reconfigure(errors="replace")
    clean_terminal()
    args = _build_parser().parse_args(argv)
    try:
        if args.on_device:
            choose_device(args.on_device)
        status: int = args.do_command(args, open_workspace(args))
        return status
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except (Interrupted, KeyboardInterrupt):
        print("Interrupted.", file=sys.stderr)
        return EXIT_INTERRUPTED


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ti_core", description="Textual Inversion without a browser.")
    parser.add_argument("--version", action="version", version=__version__)
    shared = argparse.ArgumentParser(add_help=False)
    add_place_flags(shared)
    shared.add_argument(
        "--device",
        "--device-id",
        dest="on_device",
        metavar="NAME",
        default="",
        help="the device that works, such as cuda:1 or cpu (default: the first graphics card, or the processor where"
        " there is none)",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace, Workspace], int], help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, parents=[shared], help=help, description=help)
        sub.set_defaults(do_command=run)  # no setting is called so
        return sub

    add_job_commands(command)
    add_recipe_command(command)
    add_kind_recipe_commands(command)
    add_embedding_commands(command)
    add_model_commands(command)
    add_doctor_command(command)
    add_update_command(command)
    return parser
