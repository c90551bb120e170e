"""Every command that README.md and docs/command-line.md show runs as it stands there, on the tiny checkpoint and with
few steps; every file that a document names is there; and the README stays short.
"""

from __future__ import annotations

import glob
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TINY
from ti_core.cli.main import EXIT_OK, main
from ti_core.jobs.kinds import KINDS
from ti_core.settings import CreateSettings, PreprocessSettings, TrainSettings
from ti_core.workspace import REPOSITORY, SAMPLE_PHOTOS, Workspace

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
COMMAND_LINE = (REPOSITORY / "docs" / "command-line.md").read_text(encoding="utf-8")
DOCUMENTS = [REPOSITORY / "README.md", REPOSITORY / "SECURITY.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
COMMANDS = re.findall(r"^python -m ti_core (.+?)(?:\s{2,}.*)?$", README + COMMAND_LINE, re.MULTILINE)
MOST_LINES, MOST_CHARACTERS = 120, 120


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
        if words[0] in ("compare", "paint-dataset"):
            words += ["--sampling-steps", "2"]
        if "--workspace" in words:  # that place has no tiny checkpoint
            (workspace.root / words[words.index("--workspace") + 1]).symlink_to(workspace.root)
        assert main(words) == EXIT_OK, line


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_links_to_is_there(document: Path) -> None:
    for name in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
        assert (document.parent / name).exists(), name


def test_the_readme_can_be_read_within_a_minute() -> None:
    lines = README.splitlines()
    assert len(lines) <= MOST_LINES
    assert [line for line in lines if len(line) > MOST_CHARACTERS] == []
    first_screen = "\n".join(lines[:40])
    for word in ("![", "Stable Diffusion 1.5", "SDXL", "Illustrious", "NoobAI", "Pony", "git clone", "./webui.sh"):
        assert word in first_screen
    assert "fits no other model" in first_screen and "Not run:" in first_screen


def test_every_script_that_the_readme_starts_is_there_and_may_be_started() -> None:
    scripts = set(re.findall(r"^(\./[\w.]+)", README, re.MULTILINE)) | set(re.findall(r"`(\./[\w.]+)`", README))
    assert {"./webui.sh", "./test.sh"} <= scripts
    for name in scripts:
        path = REPOSITORY / name
        assert path.is_file() and path.stat().st_mode & 0o100
        assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0


def test_every_command_line_in_the_documents_names_a_command_that_there_is() -> None:
    named = {
        found
        for document in DOCUMENTS
        for found in re.findall(r"-m ti_core ([a-z0-9]+)", document.read_text(encoding="utf-8"))
    }
    shown = subprocess.run(
        [sys.executable, "-m", "ti_core", "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    assert {"doctor", "update"} <= named
    assert not [name for name in named if not re.search(rf"^ +{name}\b", shown, re.MULTILINE)]


def test_the_flags_of_the_page_are_those_of_its_help() -> None:
    shown = subprocess.run(
        [sys.executable, "app.py", "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    named = re.findall(r"^\| `(--[a-z0-9-]+)", COMMAND_LINE, re.MULTILINE)
    assert set(named) == set(re.findall(r"^  (--[a-z0-9-]+)", shown, re.MULTILINE)) - {"--help"}


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


def test_the_guide_for_faces_names_fields_that_there_are() -> None:
    guide = (REPOSITORY / "docs" / "faces.md").read_text(encoding="utf-8")
    named = {name.replace("\n", " ") for name in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", guide)}
    labels = {
        option.label
        for settings in (CreateSettings, PreprocessSettings, TrainSettings)
        for option in settings.options().values()
    }
    assert len(named) > 15 and named <= labels
