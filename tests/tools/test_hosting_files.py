"""The systemd unit and the containers' files that people copy, read by what knows them where that is there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from ti_core.webui import parse_arguments
from ti_core.workspace import REPOSITORY
from tools.install import BUILDS

OPERATIONS = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")


def unit() -> str:
    found = re.search(r"```ini\n(.+?)```", OPERATIONS, re.DOTALL)
    assert found
    return found[1]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not there")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    python = shutil.which("python3") or "/bin/true"
    text = unit().replace("/opt/textual-inversion/.venv/bin/python", python).replace("User=trainer\n", "")
    file = tmp_path / "textual-inversion.service"
    file.write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True, check=False, timeout=120
    )
    assert "textual-inversion.service" not in done.stderr, done.stderr


def test_the_unit_starts_the_page_with_flags_that_there_are() -> None:
    (command,) = re.findall(r"^ExecStart=\S+ app\.py (.+)$", unit(), re.MULTILINE)
    assert parse_arguments(command.split()).port == 7860


def test_every_file_that_the_container_copies_is_there_and_let_through() -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").split()
    assert ignored[0] == "*"
    for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE):
        for name in line.split()[:-1]:
            assert (REPOSITORY / name).exists() and f"!{name}" in ignored, name


def test_the_container_is_not_root_keeps_a_volume_and_says_how_it_is() -> None:
    assert re.search(r"^USER 1000$", DOCKERFILE, re.MULTILINE)
    assert "VOLUME /workspace" in DOCKERFILE and "HEALTHCHECK" in DOCKERFILE
    (build,) = re.findall(r"^ARG TORCH=(.+)$", DOCKERFILE, re.MULTILINE)
    assert build in BUILDS
    (entry,) = re.findall(r'^ENTRYPOINT \["python", "app\.py", (.+)\]$', DOCKERFILE, re.MULTILINE)
    assert parse_arguments(re.findall(r'"([^"]+)"', entry)).workspace == "/workspace"


def test_compose_gives_the_training_time_to_save_and_opens_the_port_for_this_computer_alone() -> None:
    (service,) = yaml.safe_load((REPOSITORY / "compose.yaml").read_text(encoding="utf-8"))["services"].values()
    assert service["build"]["args"]["TORCH"] in BUILDS
    assert service["ports"] == ["127.0.0.1:7860:7860"] and service["stop_grace_period"] == "2m"
    assert service["volumes"] == ["workspace:/workspace"]
    assert service["environment"]["TI_AUTH"].startswith("trainer:${TI_PASSWORD:?")


@pytest.mark.parametrize("file", sorted((REPOSITORY / ".github").rglob("*.yml")), ids=lambda path: path.name)
def test_the_files_for_github_can_be_read(file: Path) -> None:
    assert isinstance(yaml.safe_load(file.read_text(encoding="utf-8")), dict)


def test_continuous_integration_runs_the_tests_and_the_reports_ask_for_the_doctor() -> None:
    runs = (REPOSITORY / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    assert "./test.sh" in runs and "windows-latest" in runs and "macos-latest" in runs
    asks = (REPOSITORY / ".github" / "ISSUE_TEMPLATE" / "fault.yml").read_text(encoding="utf-8")
    assert "ti_core doctor" in asks
    hook = (REPOSITORY / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    wanted = (REPOSITORY / "requirements-dev.txt").read_text(encoding="utf-8")
    (version,) = re.findall(r"rev: v(\S+)", hook)
    assert f"ruff=={version}\n" in wanted
