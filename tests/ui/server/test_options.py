"""app.py itself, opened to others: nobody comes in without the password that it made and printed once."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ui.journey import ANSWER_S, running_app
from ti_core import webui as app
from ti_core.errors import UserError
from ti_core.ui.server import server


def test_a_page_opened_to_others_makes_a_password_and_lives_on_without_the_share_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody answers there: as on a machine without a network
    with running_app(tmp_path, "--listen", "--share") as (url, lines):
        logins = [line for line in lines if line.startswith("Login for this page:")]
        assert len(logins) == 1
        user, password = logins[0].removeprefix("Login for this page: ").split(" / ")
        assert len(password) >= 12
        assert httpx.get(f"{url}/config", timeout=ANSWER_S).status_code == 401
        assert (
            httpx.post(f"{url}/login", data={"username": user, "password": "guess"}, timeout=ANSWER_S).status_code
            == 400
        )
        with httpx.Client(timeout=ANSWER_S) as person:
            assert person.post(f"{url}/login", data={"username": user, "password": password}).status_code == 200
            assert person.get(f"{url}/config").status_code == 200
        end = time.monotonic() + 60
        while not any(line.startswith("Public page: none") for line in lines) and time.monotonic() < end:
            time.sleep(0.2)
        assert any(line.startswith("Public page: none") for line in lines)
        assert httpx.get(f"{url}/config", timeout=ANSWER_S).status_code == 401


@pytest.mark.parametrize(
    ("flags", "confined"),
    [
        ([], False),
        (["--auth", "anna:right"], True),
        (["--auth-look", "eve:looks"], True),
        (["--listen"], True),
        (["--share"], True),
    ],
)
def test_whoever_comes_in_by_a_login_stays_in_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], confined: bool
) -> None:
    def instead(workspace: Any, options: server.ServerOptions, jobs: Any, checkpoint: str, device: Any) -> None:
        jobs.close()
        raise UserError(f"confined: {workspace.confined}, login: {bool(options.user)}")

    monkeypatch.setattr(server, "start_page", instead)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    with pytest.raises(UserError, match=f"confined: {confined}, login: {confined}"):
        app.serve(app.parse_arguments(["--workspace", str(tmp_path), *flags]))


def test_a_short_password_of_a_public_page_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def instead(workspace: Any, options: Any, jobs: Any, checkpoint: str, device: Any) -> None:
        jobs.close()
        raise UserError("enough")

    monkeypatch.setattr(server, "start_page", instead)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    for flags, told in (
        (["--share", "--auth", "anna:short"], True),
        (["--share", "--auth", "anna:a-long-password"], False),
        (["--auth", "anna:short"], False),
    ):
        with pytest.raises(UserError, match="enough"):
            app.serve(app.parse_arguments(["--workspace", str(tmp_path), *flags]))
        assert ("password of anna is short" in capsys.readouterr().out) == told


@pytest.mark.parametrize(
    "flags",
    [
        ("--auth-look", "eve"),
        ("--auth", "anna:a", "--auth-look", "anna:b"),
        ("--auth", "anna:a", "--auth", "ben:b", "--auth-look", "ben:c"),
    ],
)
def test_logins_that_cannot_be_are_refused_with_a_sentence(
    flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["--port", "7999", *flags]) == 2
    assert "--auth-look" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("mcp") is not None, reason="the package is there")
def test_mcp_without_its_package_says_what_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["--port", "7999", "--mcp"]) == 2
    assert "gradio[mcp]==6.31.0" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="the package is there")
def test_a_cluster_without_its_package_says_what_to_install(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["--port", "7999", "--workspace", str(tmp_path), "--ray", "auto"]) == 2
    assert '--ray needs Ray, which is not installed. Install it: .venv/bin/pip install ".[cluster]"' in (
        capsys.readouterr().err.replace("\\", "/").replace("Scripts", "bin")
    )


def test_mcp_is_closed_without_its_token(tmp_path: Path) -> None:
    with running_app(tmp_path) as (url, _):
        for path in ("/gradio_api/mcp", "/gradio_api/mcp/", "/gradio_api/mcp/schema"):
            assert httpx.post(url + path, headers={"authorization": "Bearer x"}, timeout=ANSWER_S).status_code == 401


@pytest.mark.parametrize(("version", "is_told"), [("12.3.0", True), ("13.0.0", False), ("14.1", False)])
def test_a_pillow_with_known_faults_is_told_on_a_shared_page(
    version: str, is_told: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: version)
    app._warn_of_old_pillow()
    assert (f"Pillow {version} has known faults" in capsys.readouterr().out) == is_told
