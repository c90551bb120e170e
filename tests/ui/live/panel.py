"""A page in this process whose jobs need no model, in a real browser: shared by the tests of the run panel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.ui.journey import free_port, open_chromium, open_page
from ti_core.jobs.queue import JobQueue
from ti_core.ui.server.server import ServerOptions, start_page
from ti_core.workspace import Workspace


@contextmanager
def panel(folder: Path, **context: Any) -> Iterator[tuple[Page, JobQueue]]:
    """The page on this workspace, open in a browser, and its jobs."""
    jobs = JobQueue(Workspace(folder))
    blocks = start_page(Workspace(folder), ServerOptions(free_port()), jobs)
    try:
        with open_chromium() as browser:
            yield open_page(browser, f"http://127.0.0.1:{blocks.server_port}", **context), jobs
    finally:
        blocks.close()
        jobs.close()
