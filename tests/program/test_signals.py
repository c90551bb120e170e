"""SIGTERM, SIGHUP and Ctrl+C all let the work be saved, on the command line as on the page (tests/ui/test_end.py)."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import TINY
from tests.training.test_loop import anna
from ti_core.embeddings.formats import load_embedding
from ti_core.program.signals import asked_to_end
from ti_core.workspace import REPOSITORY, Workspace

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def as_in_a_terminal() -> None:
    """Whoever started the tests may ignore some of them (nohup, a shell's background), which programs inherit."""
    for number in ENDING:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture
def fresh_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ENDING}
    as_in_a_terminal()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_first_signal_asks_and_only_ctrl_c_ends_what_still_saves(
    first: signal.Signals, fresh_signals: None
) -> None:
    asked: list[int] = []
    before = {number: signal.getsignal(number) for number in ENDING}
    with pytest.raises(KeyboardInterrupt), asked_to_end(lambda: asked.append(1)):
        for number in (first, signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)
        assert asked == [1]
        os.kill(os.getpid(), signal.SIGINT)
    assert {number: signal.getsignal(number) for number in before} == before


def test_a_hangup_that_is_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """As nohup asks."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    asked: list[int] = []
    try:
        with asked_to_end(lambda: asked.append(1)):
            os.kill(os.getpid(), signal.SIGHUP)
            assert not asked
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("how", ["docker stop", "closed terminal"])
def test_a_training_on_the_command_line_saves(workspace: Workspace, anna: Path, how: str) -> None:
    flags = (
        f"--dataset-directory datasets/anna --template subject.txt --ckpt {TINY} --steps 100000 --image-every 0"
        " --save-every 5".split()
    )
    command = [sys.executable, "-m", "ti_core", "train", "anna", "--workspace", str(workspace.root), *flags]
    ours, theirs = pty.openpty()
    training = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=as_in_a_terminal,
    )
    os.close(theirs)
    try:
        for _ in range(3000):
            if list(workspace.root.rglob("anna-5.pt")):
                break
            assert training.poll() is None
            os.read(ours, 100_000)
            time.sleep(0.05)
        if how == "closed terminal":
            os.close(ours)  # from here, every line that it prints is refused
            training.send_signal(signal.SIGHUP)
        else:
            training.send_signal(signal.SIGTERM)
        assert training.wait(60) == 130
    finally:
        training.kill()
        training.wait()
    step = load_embedding(anna).step
    assert step is not None and step >= 5
    (events,) = workspace.root.rglob("events.jsonl")
    assert f"Training interrupted at {step} steps" in events.read_text(encoding="utf-8")
