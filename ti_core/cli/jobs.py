"""The commands that do one job of the page: one for each kind that has a verb, such as create, train and txt2img."""

from __future__ import annotations

import argparse
from functools import partial

from ti_core.cli.flags import AddCommand, add_flags, settings_of
from ti_core.cli.printer import watch
from ti_core.jobs.kind import JobKind
from ti_core.jobs.kinds import KINDS
from ti_core.settings.option import Settings
from ti_core.workspace import Workspace


def add_job_commands(command: AddCommand) -> None:
    """A command for each kind of job, with its settings as flags."""
    for kind in KINDS.values():
        if kind.verb:
            add_flags(command(kind.verb, partial(_run, kind), kind.help), kind.settings)


def _run(kind: JobKind, args: argparse.Namespace, workspace: Workspace) -> int:
    return do_job(kind, settings_of(kind.settings, args), workspace)


def do_job(kind: JobKind, settings: Settings, workspace: Workspace) -> int:
    """Do a job of the page here; returns the exit status. Raises UserError.

    Its check comes first, because torch and diffusers, which its work may need, take seconds to import.
    """
    kind.check(settings, workspace, ())
    return watch(partial(kind.run, settings, workspace), kind.makes, kind.trains)
