"""app.py in the places and with the networks that people have: it starts, or says in one sentence why not."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.ui.journey import ANSWER_S, APP, START_S
from ti_core import webui
from ti_core.jobs.store import JobStore
from ti_core.program.ports import HERE, open_socket
from ti_core.workspace import REPOSITORY

PROXIES = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "ALL_PROXY": "socks5://127.0.0.1:9"}
"""Nobody answers there."""


@pytest.mark.parametrize(
    ("no_proxy", "flags", "end"),
    [
        ("", [], signal.SIGTERM),
        ("intranet.example,[::1]", ["--listen", "--auth", "anna:long-password"], getattr(signal, "SIGHUP", 15)),
    ],
)
def test_with_proxies_set_a_missing_workspace_a_closed_home_and_a_taken_port_the_page_opens(
    no_proxy: str, flags: list[str], end: int, tmp_path: Path
) -> None:
    """And it leaves nothing in the temporary folder, however it is ended."""
    workspace, temporary = tmp_path / "größer und neu" / "workspace", tmp_path / "tmp"
    temporary.mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        **PROXIES,
        "NO_PROXY": no_proxy,
        "TMPDIR": str(temporary),
        "HOME": "/proc/nobody",  # cannot be made, not even by root
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    usual = _taken_port()
    process = subprocess.Popen(
        [*APP, "--workspace", str(workspace), *flags],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        lines: list[str] = []
        for line in process.stdout or []:
            lines.append(line.rstrip())
            if line.startswith("Local page:"):
                break
        told = "\n".join(lines)
        assert "Local page:" in told and "Traceback" not in told, told
        assert f"Made the folder {workspace}." in lines
        assert "ALL_PROXY is not used: a SOCKS proxy" in told
        assert ("[::1] is not used" in told) == ("[::1]" in no_proxy)
        assert "Port 7860 is taken by another program, so the page is at " in told
        url = lines[-1].removeprefix("Local page: ")
        assert not url.endswith(":7860")
        is_shared = bool(list(temporary.glob("ti-uploads-*")))
        assert is_shared == bool(flags)
        answer = httpx.get(f"{url}/config", timeout=ANSWER_S, trust_env=False)
        assert answer.status_code == (401 if is_shared else 200)
        process.send_signal(end)
        assert process.wait(START_S) == 0
        assert not list(temporary.glob("ti-uploads-*"))
    finally:
        process.kill()
        process.wait()
        if usual:
            usual.close()


def _taken_port():  # type: ignore[no-untyped-def]
    """The usual port, kept from the page; None where another program has it anyway."""
    try:
        taken = open_socket(HERE, webui.USUAL_PORT)
    except OSError:
        return None
    taken.listen()
    return taken


def test_a_port_that_was_asked_for_and_is_taken_is_refused_with_one_that_is_free(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    with open_socket(HERE, 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        assert webui.main(["--port", str(port), "--workspace", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert f"Port {port} is taken by another program. Choose another one: --port " in told
    assert f"--port {port}\n" not in told and len(told.splitlines()) == 1


def test_a_second_server_and_a_workspace_that_is_a_file_are_one_sentence_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    store = JobStore(tmp_path / "jobs")
    try:
        assert webui.main(["--workspace", str(tmp_path)]) == 2
    finally:
        store.close()
    told = capsys.readouterr().err
    assert told.startswith("error: Another server works in this workspace.") and len(told.splitlines()) == 1
    (tmp_path / "file").touch()
    assert webui.main(["--workspace", str(tmp_path / "file")]) == 2
    told = capsys.readouterr().err
    assert "is not a folder" in told and len(told.splitlines()) == 1


def test_the_start_scripts_give_all_flags_on() -> None:
    assert 'app.py "$@"' in (REPOSITORY / "webui.sh").read_text()
    assert "app.py %rest%" in (REPOSITORY / "webui.bat").read_text()
