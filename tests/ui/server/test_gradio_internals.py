"""What we use of gradio, starlette and uvicorn beyond their documentation is there, in the versions that we know."""

from __future__ import annotations

import asyncio
import re
from importlib.metadata import version
from pathlib import Path

import gradio as gr
import pytest
import uvicorn
from gradio import http_server
from uvicorn.server import ServerState

from tests.ui.journey import free_port
from ti_core.errors import UserError
from ti_core.jobs.queue import JobQueue
from ti_core.ui.server import gradio_internals
from ti_core.ui.server.server import ServerOptions, start_page
from ti_core.workspace import REPOSITORY, Workspace

OF_A_CONNECTION = ("client", "cycle", "conn", "loop", "app_state", "transport")
OF_A_HANDLER = ("fn", "inputs", "api_name", "api_visibility")


@pytest.mark.parametrize("package", gradio_internals.SEEN_IN)
def test_the_installed_versions_are_those_that_were_looked_at(package: str) -> None:
    seen = gradio_internals.SEEN_IN[package]
    assert version(package) == seen, (
        f"{package} {version(package)} is installed, and ti_core/ui/server/gradio_internals.py was written for {seen}."
        " Read there what we use, compare it with the new version's source, then write the new version into SEEN_IN."
    )
    pinned = (REPOSITORY / "requirements.txt").read_text("utf-8")
    assert re.search(rf"^{package}=={re.escape(seen)}$", pinned, re.MULTILINE), (
        f"requirements.txt pins another {package}"
    )


def test_no_part_is_missing() -> None:
    assert not gradio_internals.missing_parts(), "gradio_internals.py uses these parts, which are no longer there"


def test_a_missing_part_is_named_before_the_page_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(http_server, "start_server")
    assert gradio_internals.missing_parts() == ["gradio.http_server.start_server"]
    with pytest.raises(UserError, match=r"lacks gradio\.http_server\.start_server.*requirements\.txt"):
        gradio_internals.check_parts()


def test_a_handler_and_the_queue_have_what_we_set_and_read() -> None:
    with gr.Blocks() as blocks:
        gr.Button().click(lambda: None)
    (handler,) = gradio_internals.handlers_of(blocks)
    assert all(hasattr(handler, name) for name in OF_A_HANDLER)
    gradio_internals.calm_queue(blocks)
    for name, pause_s in gradio_internals.IDLE_PAUSES_S.items():
        assert getattr(blocks._queue, name) == pause_s, f"gradio's queue has no '{name}' any more: it would not be idle"


def test_an_app_keeps_its_logins_where_we_look_for_them() -> None:
    with gr.Blocks() as blocks:
        app = gr.routes.App.create_app(blocks)
    assert gradio_internals.logins_by_token(app) is app.tokens
    assert gradio_internals.login_cookies(app)[0] == f"access-token-{app.cookie_id}"


def test_a_connection_has_what_its_limits_need() -> None:
    async def attributes() -> list[str]:
        config = uvicorn.Config(lambda: None, http=gradio_internals.HttpConnection)
        config.load()
        connection = gradio_internals.HttpConnection(config, ServerState(), {})
        return [name for name in OF_A_CONNECTION if not hasattr(connection, name)]

    assert asyncio.run(attributes()) == [], "connections.py reads these of uvicorn's connection"


def test_a_computer_that_is_slow_to_answer_gets_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """gradio asks for the page once, and gave up for ever when that took 3 s."""
    monkeypatch.setattr("gradio.networking.url_ok", lambda url: False)
    workspace = Workspace(tmp_path)
    jobs = JobQueue(workspace)
    start_page(workspace, ServerOptions(free_port()), jobs).close()
    jobs.close()
