"""doctor says what is there and what is wrong, and its text for a report names nobody; update pulls and keeps runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import ti_core
from tests.conftest import TINY
from ti_core.cli import doctor
from ti_core.cli.main import main
from ti_core.cli.update import update_checkout
from ti_core.errors import UserError
from ti_core.jobs.store import JobStore
from ti_core.workspace import Workspace


def told(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """What is on the screen, and the part of it that is for a report."""
    out = capsys.readouterr().out
    return out, out.split(doctor.BEGIN)[1].split(doctor.END)[0]


def test_a_moment_of_training_and_all_that_a_report_needs_are_told(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--seconds", "0.1", "--workspace", str(workspace.root)]) == 0
    _, report = told(capsys)
    named = [line.split(": ")[0] for line in report.strip().splitlines()]
    for name in ("version", "python", "system", "memory", "torch", "device", "versions", "free disk", "training"):
        assert name in named
    assert f"version: {ti_core.__version__}" in report and "training: works" in report


def test_a_report_has_no_names_and_paths(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = workspace.checkpoints / "photos of Anna Schmidt.safetensors"
    broken.write_bytes(b"<!DOCTYPE html><html>log in</html>")
    monkeypatch.setattr("getpass.getuser", lambda: "schmidt")
    monkeypatch.setattr(
        doctor, "_program", lambda: iter([("system", f"of schmidt in {workspace.root}/x and {Path.home()}/y")])
    )
    assert main(["doctor", "--seconds", "0", "--workspace", str(workspace.root)]) == 0
    screen, report = told(capsys)
    assert "Anna Schmidt.safetensors: " in screen and "web page" in screen
    assert TINY in screen.split(doctor.BEGIN)[0]
    for word in ("Anna", "Schmidt", "schmidt", str(workspace.root), TINY):
        assert word not in report, word
    assert "Cannot be used: " in report and "(folder)/x" in report


@pytest.mark.parametrize("error", [ImportError("no libcudart.so"), OSError("WinError 126")])
def test_a_torch_that_cannot_be_loaded_is_a_finding_and_no_trace(
    error: Exception, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise error

    monkeypatch.setattr("ti_core.models.device.device_state", broken)
    assert main(["doctor", "--seconds", "0", "--workspace", str(tmp_path)]) == doctor.EXIT_UNWELL
    assert f"torch: {doctor.WRONG}it cannot be loaded: {type(error).__name__}" in told(capsys)[1]


def test_another_version_than_the_lock_files_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "wanted_versions", lambda: {"numpy": "1.0", "gradio": "0.1"})
    main(["doctor", "--seconds", "0", "--workspace", str(tmp_path)])
    assert "(we ran 1.0)" in told(capsys)[1]


def test_the_lock_file_covers_what_runs_here() -> None:
    assert {"torch", "Pillow", "gradio", "numpy", "transformers"} <= doctor.wanted_versions().keys()


def test_a_proxy_is_named_without_its_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://anna:secret@proxy.example:3128")
    main(["doctor", "--seconds", "0", "--workspace", str(tmp_path)])
    report = told(capsys)[1]
    assert (
        re.search(r"^proxies: .*HTTPS_PROXY", report, re.MULTILINE)
        and "secret" not in report
        and "proxy.example" not in report
    )


# ---- update


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of a small program, one version behind it, with a run beside it."""
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    (origin / "tools").mkdir(parents=True)
    git(origin, "init", "--quiet")
    (origin / "tools" / "install.py").write_text("open('was-installed', 'w').write('old')")
    (origin / ".gitignore").write_text("/embeddings/\nwas-installed\n")
    git(origin, "add", ".")
    git(origin, "commit", "--quiet", "-m", "old")
    git(tmp_path, "clone", "--quiet", str(origin), str(clone))
    (origin / "tools" / "install.py").write_text("open('was-installed', 'w').write('new')")
    git(origin, "commit", "--quiet", "-am", "new")
    (clone / "embeddings").mkdir()
    (clone / "embeddings" / "anna.pt").write_bytes(b"vectors")
    return clone


def test_an_update_pulls_installs_and_keeps_what_was_made(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    update_checkout(clone)
    assert "Updated from" in capsys.readouterr().out
    assert (clone / "was-installed").read_text() == "new"
    assert (clone / "embeddings" / "anna.pt").read_bytes() == b"vectors"
    update_checkout(clone)
    assert "This is the newest version" in capsys.readouterr().out


def test_a_changed_file_of_the_program_is_named_and_kept(clone: Path) -> None:
    (clone / "tools" / "install.py").write_text("mine")
    with pytest.raises(UserError, match=r"tools/install\.py"):
        update_checkout(clone)
    assert (clone / "tools" / "install.py").read_text() == "mine"


def test_without_git_without_a_network_and_with_a_failed_installation_it_says_so(clone: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not made by git clone"):
        update_checkout(tmp_path)
    git(clone, "remote", "set-url", "origin", str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="git could not fetch the new version: fatal"):
        update_checkout(clone)
    git(clone, "remote", "set-url", "origin", str(tmp_path / "origin"))
    (tmp_path / "origin" / "tools" / "install.py").write_text("raise SystemExit(2)")
    git(tmp_path / "origin", "commit", "--quiet", "-am", "broken")
    with pytest.raises(UserError, match="git reset --keep"):
        update_checkout(clone)


def test_no_update_while_the_page_works_in_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = JobStore(tmp_path / "jobs")
    try:
        assert main(["update", "--workspace", str(tmp_path)]) == 2
        assert "Another server works in this workspace." in capsys.readouterr().err
    finally:
        store.close()


def test_the_program_knows_its_version() -> None:
    done = subprocess.run([sys.executable, "app.py", "--version"], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == ti_core.__version__
