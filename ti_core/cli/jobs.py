"""The commands that do one job of the page: one for each kind that has a verb, such as create, train and txt2img."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from ti_core.cli.flags import AddCommand, add_flags, settings_of
from ti_core.cli.printer import watch
from ti_core.jobs.kind import JobKind
from ti_core.jobs.kinds import KINDS
from ti_core.program.child import end_with_parent
from ti_core.settings.form_file import parse_form, read_form
from ti_core.settings.option import Settings
from ti_core.training.distributed.launcher import is_launched
from ti_core.workspace import Workspace


def add_job_commands(command: AddCommand) -> None:
    """A command for each kind of job, with its settings as flags."""
    for kind in KINDS.values():
        if kind.verb:
            parser = command(kind.verb, partial(_run, kind), kind.help)
            add_flags(parser, kind.settings, may_miss=kind.takes_form)
            if kind.takes_form:
                parser.add_argument(
                    "--settings",
                    dest="form_file",
                    metavar="FILE",
                    default="",
                    help="take the values of a form that the page has exported; what is typed here beats them",
                )


def _run(kind: JobKind, args: argparse.Namespace, workspace: Workspace) -> int:
    file = getattr(args, "form_file", "")
    return do_job(kind, settings_of(kind.settings, args, **(_values_of(kind, Path(file)) if file else {})), workspace)


def _values_of(kind: JobKind, file: Path) -> dict[str, Any]:
    """The values of a form's file; what cannot be used of it is told and left aside. Raises UserError."""
    kept, given = parse_form(read_form(file), kind.verb, kind.settings)
    for sentence in kept.sentences():
        print(sentence, file=sys.stderr)
    return given


def do_job(kind: JobKind, settings: Settings, workspace: Workspace) -> int:
    """Do a job of the page here; returns the exit status. Raises UserError.

    Its check comes first, because torch and diffusers, which its work may need, take seconds to import.
    """
    if is_launched():
        end_with_parent()  # a launcher that is killed leaves its processes behind, and other machines wait for them
    kind.check(settings, workspace, ())
    return watch(partial(kind.run, settings, workspace), kind.makes, kind.trains)
