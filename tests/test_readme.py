"""Every command of the README runs as it stands there, on the tiny checkpoint and with few steps; every file that
it names is there.
"""

from __future__ import annotations

import glob
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from tests.conftest import TINY
from ti_core.cli.main import EXIT_OK, main
from ti_core.jobs.kinds import KINDS
from ti_core.workspace import REPOSITORY, SAMPLE_PHOTOS, Workspace

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python -m ti_core (.+?)(?:\s{2,}.*)?$", README, re.MULTILINE)


def test_the_commands_run_one_after_the_other(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {line.split()[0] for line in COMMANDS} >= {"recipe", *(kind.verb for kind in KINDS.values())} - {"resume"}
    (workspace.root / "assets").symlink_to(REPOSITORY / "assets")
    shutil.copytree(SAMPLE_PHOTOS / "boris", workspace.root / "photos")
    monkeypatch.chdir(workspace.root)
    for line in COMMANDS:
        words = [path for word in shlex.split(line) for path in (glob.glob(word) if "*" in word else [word])]
        if words[0] in ("create", "train", "recipe", "txt2img"):
            words += ["--ckpt", TINY]
        if words[0] in ("train", "recipe"):
            words += ["--steps", "2", "--image-every", "1", "--save-every", "1", "--preview-steps", "2"]
        if words[0] == "txt2img":
            words += ["--steps", "2"]
        if words[0] == "compare":
            words += ["--sampling-steps", "2"]
        if "--workspace" in words:  # that place has no tiny checkpoint
            (workspace.root / words[words.index("--workspace") + 1]).symlink_to(workspace.root)
        assert main(words) == EXIT_OK, line


@pytest.mark.parametrize("name", re.findall(r"\]\(([^)#:]+)\)", README))
def test_a_linked_file_is_there(name: str) -> None:
    assert (REPOSITORY / name).exists()


def test_the_flags_of_the_page_are_those_of_its_help() -> None:
    shown = subprocess.run(
        [sys.executable, "app.py", "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    named = re.findall(r"^\| `(--[a-z]+)", README, re.MULTILINE)
    assert len(named) >= 6 and all(flag in shown for flag in named)


def test_every_test_that_the_documents_name_is_there() -> None:
    files = [path for path in (REPOSITORY / "tests").rglob("test_*.py")]
    there = {path.stem for path in files} | {
        name for path in files for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))
    }
    documents = [REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *(REPOSITORY / "docs").glob("*.md")]
    named = {
        name
        for document in documents
        for name in re.findall(r"\btest_[a-z0-9_]+", document.read_text(encoding="utf-8"))
    }
    assert len(named) > 50 and named <= there
