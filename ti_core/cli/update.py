"""The command update: fetches the newest version of the program into this folder, and installs what it needs. What lies
in the folder beside the program, such as embeddings and runs, is never touched.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from ti_core.cli.flags import AddCommand
from ti_core.errors import UserError
from ti_core.jobs.store import JobStore
from ti_core.workspace import REPOSITORY, SHIPPED, Workspace

EXIT_OK = 0


def add_update_command(command: AddCommand) -> None:
    """update: git pull, then the installer."""
    command("update", _update, "fetch the newest version of this program and install what it needs; runs stay")


def _update(args: argparse.Namespace, workspace: Workspace) -> int:
    if SHIPPED != REPOSITORY:
        raise UserError(
            "This program was installed by pip, so pip brings it up to date.",
            "Fetch its newest version, and in that folder run: pip install --upgrade .",
        )
    if (workspace.root / "jobs").is_dir():
        JobStore(workspace.root / "jobs").close()  # refuses while a server works here
    update_checkout(REPOSITORY)
    return EXIT_OK


def update_checkout(folder: Path) -> None:
    """Pull, and run the new version's installer. Raises UserError, with everything as it was."""
    if not (folder / ".git").exists() or not shutil.which("git"):
        raise UserError(
            "This folder was not made by git clone, so it cannot be updated by itself.",
            "Get the new version into another folder, and start it with: --workspace and this folder.",
        )
    before = _git(folder, "rev-parse", "--short", "HEAD")
    _git(folder, "pull", "--ff-only")
    after = _git(folder, "rev-parse", "--short", "HEAD")
    print(f"Updated from {before} to {after}." if after != before else f"This is the newest version ({after}).")
    installer = subprocess.run([sys.executable, "tools/install.py"], cwd=folder, check=False)
    if installer.returncode:
        raise UserError(
            "The new version's packages could not all be installed.",
            f"See the lines above, and start again. To go back: git reset --keep {before}",
        )


def _git(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode == 0:
        return done.stdout.strip()
    said = done.stderr.strip()
    if "would be overwritten" in said:
        changed = ", ".join(line.strip() for line in said.splitlines() if line.startswith("\t"))
        raise UserError(
            f"You have changed files that the new version changes too: {changed}.",
            "Copy them to another place, take the change back with git checkout and their names, and update again.",
        )
    why = next((line for line in said.splitlines() if line.startswith(("fatal", "error"))), said[:200])
    raise UserError(f"git could not fetch the new version: {why}", "Look at the network, or ask git: git pull")
