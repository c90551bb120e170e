"""Tests marked `pretend_card` run in one process of their own, which has the pretend device: a torch that was
imported without it cannot get it later.

This process hands the marked tests over, all in one go and in their order, and shows each one's report as its own.
Where the device cannot be built, they are skipped and say why. Where there is a real card they run on it, in this
process, apart from what only a pretend card can do (card.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

import pytest
import torch

from tests.pretend_cuda.build import CannotBuild, environment

MARK = "pretend_card"
REPORTS = "PRETEND_REPORTS"
"""In the child: the descriptor to which the reports go, one a line."""
HAS_CARD = bool(os.environ.get("PRETEND_LIBRARY"))
LAST_LINES = 4000


class ChildEnded(Exception):
    """The process with the card ended before all its tests did."""


class Child:
    """The process with the card, which runs the tests in the given order."""

    def __init__(self, node_ids: list[str], root: Path) -> None:
        variables = environment()  # raises CannotBuild
        self.has_reported = False
        self.output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        reading, writing = os.pipe()
        with tempfile.NamedTemporaryFile("w", suffix=".txt", delete=False, encoding="utf-8") as tests:
            tests.write("\n".join(node_ids))
        self.list = Path(tests.name)
        flags = ["-m", "", "-p", "no:cacheprovider", "-p", "no:randomly", "--rootdir", str(root)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *flags, f"@{tests.name}"],
            cwd=root,
            env={**os.environ, "OMP_NUM_THREADS": "1", **variables, REPORTS: str(writing)},
            pass_fds=[writing],
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )
        os.close(writing)
        self.reports = open(reading, encoding="utf-8")  # noqa: SIM115 - as long as the process

    def report_of(self, node_id: str) -> list[dict[str, Any]]:
        """The reports of a test, the last of which is its end. Raises ChildEnded with the process's last words."""
        found = []
        for line in self.reports:
            report = json.loads(line)
            assert report["nodeid"] == node_id, f"{report['nodeid']} is reported where {node_id} was to come"
            found.append(report)
            self.has_reported = True
            if report["when"] == "teardown":
                return found
        self.process.wait()  # it is asked again and again where it never began
        self.output.seek(0)
        words = self.output.read().decode(errors="replace")[-LAST_LINES:]
        raise ChildEnded(f"The process with the pretend card ended with {self.process.returncode}:\n{words}")

    def end(self) -> None:
        self.reports.close()
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)
        self.output.close()
        self.list.unlink(missing_ok=True)


class InTheChild:
    """The side of the process with the card: tells its reports."""

    def __init__(self, descriptor: int) -> None:
        self.out = open(descriptor, "w", encoding="utf-8", buffering=1)  # noqa: SIM115 - as long as the process

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self.config.hook.pytest_report_to_serializable(config=self.config, report=report)
        self.out.write(json.dumps(data, default=str) + "\n")

    def pytest_configure(self, config: pytest.Config) -> None:
        self.config = config


class InTheParent:
    """The side of the process without it: asks for them."""

    def __init__(self) -> None:
        self.child: Child | None = None
        self.why_not = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if not item.get_closest_marker(MARK):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in self._reports(item):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _reports(self, item: pytest.Item) -> list[pytest.TestReport]:
        if self.child is None and not self.why_not:
            marked = [other.nodeid for other in item.session.items if other.get_closest_marker(MARK)]
            try:
                self.child = Child(marked[marked.index(item.nodeid) :], item.config.rootpath)
            except CannotBuild as error:
                self.why_not = str(error)
        if self.child is None:
            path, line, _ = item.location
            skipped: Any = (path, line or 0, f"Skipped: {self.why_not}")
            return [_report(item, "skipped", skipped, "setup"), _report(item, "passed", None, "teardown")]
        try:
            rows = self.child.report_of(item.nodeid)
        except ChildEnded as error:
            if self.child.has_reported:
                self.child.end()
                self.child = None  # the next test gets another one
            return [_report(item, "failed", str(error), "call"), _report(item, "passed", None, "teardown")]
        hook = item.config.hook
        return [hook.pytest_report_from_serializable(config=item.config, data=row) for row in rows]

    def pytest_sessionfinish(self) -> None:
        if self.child is not None:
            self.child.end()


def _report(item: pytest.Item, outcome: Any, what: Any, when: Any) -> pytest.TestReport:
    return pytest.TestReport(item.nodeid, item.location, {MARK: True}, outcome, what, when)


def register(config: pytest.Config) -> None:
    """From tests/conftest.py, at the start of pytest."""
    if not HAS_CARD and not torch.cuda.is_available():
        config.pluginmanager.register(InTheParent(), "pretend_card_parent")
    elif descriptor := os.environ.pop(REPORTS, ""):
        side = InTheChild(int(descriptor))
        side.pytest_configure(config)
        config.pluginmanager.register(side, "pretend_card_child")
