"""A child that works, dies, hangs or talks nonsense, over a pipe as a job's process and over a file as the processes of
several devices.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ti_core.errors import Interrupted, UserError
from ti_core.events import Alive, Event, Notice, Progress
from ti_core.program import conversation
from ti_core.program.child import end_child, start_child
from ti_core.program.control import Control
from ti_core.program.conversation import DIED, INTERRUPTED, SILENT, Child, ended_by, lines_of_file

SPEAKING = """
import os, sys, threading, time
from ti_core.events import Notice, Progress
from ti_core.program import conversation
from ti_core.program.conversation import Voice
conversation.ALIVE_EVERY_S = 0.1
place = sys.argv[1]
file = os.dup(1) if place == "-" else os.open(place, os.O_WRONLY | os.O_APPEND)
stop = threading.Event()
"""
WORKS = """
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
voice = Voice(file)
voice.emit(Notice("x" * 100_000))
stop.wait(60)
voice.say({"ended": "interrupted"})
voice.close()
"""
DIES = """
voice = Voice(file)
voice.emit(Notice("on"))
os._exit(3)
"""
HANGS = """
import signal
voice = Voice(file)
voice.emit(Progress("begun", 0, 1))
os.kill(os.getpid(), signal.SIGSTOP)
"""
HEARS = """
voice = Voice(file)
voice.emit(Notice("begun"))
voice.emit(Notice(sys.stdin.readline().strip()))
voice.say({"ended": ""})
voice.close()
"""
GETS_NO_FURTHER = """
voice = Voice(file)
voice.emit(Progress("begun", 0, 1))
time.sleep(600)
"""
TALKS_NONSENSE = r"""
for line in ("5", "[]", "{no json", '{"event": "Unheard"}', '{"device": {"color": "red"}}', '{"ended": 5}'):
    os.write(file, line.encode() + b"\n")
os.write(file, b"M\xfcller\n")
voice = Voice(file)
voice.emit(Notice("on"))
voice.say({"ended": ""})
voice.close()
"""
Start = Callable[[str], Child]


@pytest.fixture(params=["pipe", "file"])
def start(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a child that says what the code says."""
    monkeypatch.setattr(conversation, "ANSWERS_WITHIN_S", 2.0)
    monkeypatch.setattr(conversation, "ALIVE_EVERY_S", 0.1)
    children: list[Child] = []

    def make(code: str) -> Child:
        said, module = tmp_path / "said.jsonl", tmp_path / "speaks.py"
        module.write_text(SPEAKING + code, encoding="utf-8")
        said.touch()
        by_pipe = request.param == "pipe"
        process = start_child("tests.program.run_file", str(module), "-" if by_pipe else str(said), listens=by_pipe)
        lines = None if by_pipe else lines_of_file(said, process)
        children.append(Child(process, lines, starts_silent=not by_pipe))
        return children[-1]

    yield make
    for child in children:
        end_child(child.process, 5)


def followed(child: Child, stop_at: type[Event] | None = None) -> tuple[str, list[Event]]:
    """How it ended, and what it said; it is asked to stop when it has said an event of this kind."""
    events: list[Event] = []
    stop = threading.Event()

    def take(event: Event) -> None:
        events.append(event)
        if stop_at and isinstance(event, stop_at):
            stop.set()

    ended = child.follow(take, stop, child.stop_all, lambda wish: None)
    return ended, events


def test_a_child_is_heard_and_stops_when_it_is_asked_to(start: Start) -> None:
    ended, events = followed(start(WORKS), Notice)
    assert ended == INTERRUPTED and Notice("x" * 100_000) in events
    assert any(isinstance(event, Alive) for event in events)


def test_what_is_wished_in_between_reaches_the_child_and_ends_nothing(start: Start) -> None:
    child, control, heard = start(HEARS), Control(), list[Event]()
    control.ask("picture")
    ended = child.follow(heard.append, control, child.stop_all, lambda wish: child.say({"ask": wish}))
    assert ended == "" and not control.is_set() and not control.take()
    assert Notice('{"ask": "picture"}') in heard


def test_a_child_that_dies_is_told_with_what_it_said_before(start: Start) -> None:
    child = start(DIES)
    ended, events = followed(child)
    assert ended == DIED and Notice("on") in events and child.process.returncode == 3


def test_a_child_that_hangs_is_ended_when_it_was_asked_to_stop(start: Start) -> None:
    child = start(HANGS)
    assert followed(child, Progress)[0] == SILENT and child.process.poll() is not None


def test_a_child_that_lives_and_gets_no_further_is_ended_later(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "SAVES_WITHIN_S", 4.0)
    child = start(GETS_NO_FURTHER)
    assert followed(child, Progress)[0] == SILENT and child.process.poll() is not None


def test_nonsense_is_shown_in_the_terminal_or_ignored_and_hides_nothing(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    ended, events = followed(start(TALKS_NONSENSE))
    assert ended == "" and Notice("on") in events
    shown = capsys.readouterr().err
    assert 'Not an event: {"event": "Unheard"}' in shown and 'Not an end: {"ended": 5}' in shown
    assert "color" in shown
    assert "no json" not in shown


def test_one_of_several_processes_that_is_heard_no_more_is_missed_and_one_that_has_ended_is_not() -> None:
    process = start_child("timeit", "-n1", "-r1", "import sys; sys.stdin.read()")
    lines = [Alive(0).to_json(), Alive(1).to_json(), Alive(2, ends=True).to_json()]
    child = Child(process, lines, starts_silent=True)
    assert child.said.get(timeout=60) == DIED  # no more lines
    assert sorted(child.heard_at) == [0, 1, 2]
    now = child.heard_at[0]
    child.heard_at[1] = now - 1000
    assert child._is_lost(now - 999, now) and not child._is_lost(now, now)
    child.heard_at[1] = float("inf")
    child.heard_at[0] = now + 1000
    assert not child._is_lost(now - 999, now)


def test_how_work_ends_is_one_word_or_sentence() -> None:
    def fail(error: Exception) -> None:
        raise error

    assert ended_by(lambda: None) == ""
    assert ended_by(lambda: fail(Interrupted())) == INTERRUPTED
    assert ended_by(lambda: fail(UserError("No.", "Yes."))) == "No. Yes."
    with pytest.raises(ZeroDivisionError):
        ended_by(lambda: 1 / 0)
