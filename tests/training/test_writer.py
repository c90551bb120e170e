"""The writer does things in order and behind the loop's back, and a failure is never lost."""

from __future__ import annotations

import threading
import time

import pytest

from ti_core.errors import UserError
from ti_core.training.writer import MOST_WAITING, Writer


def test_things_are_written_in_order_while_the_loop_goes_on() -> None:
    may_write, written = threading.Event(), list[int]()
    with Writer() as writer:
        for number in range(MOST_WAITING):
            writer.put(lambda number=number: (may_write.wait(120), written.append(number)))
        assert written == []
        may_write.set()
        writer.finish()
        assert written == list(range(MOST_WAITING))


def test_a_failure_comes_with_the_next_thing_and_nothing_is_written_after_it() -> None:
    written = list[str]()

    def fail() -> None:
        raise UserError("The disk is full.")

    with Writer() as writer:
        writer.put(fail)
        with pytest.raises(UserError, match="disk is full"):
            for _ in range(1000):
                writer.put(lambda: written.append("later"))
                threading.Event().wait(0.01)
    assert written == []


def test_the_last_failure_comes_at_the_end() -> None:
    with Writer() as writer:
        writer.put(lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            writer.finish()


def test_a_slow_disk_makes_the_loop_wait_before_memory_fills() -> None:
    may_write, put = threading.Event(), list[int]()
    with Writer() as writer:

        def loop() -> None:
            for number in range(3 * MOST_WAITING):
                writer.put(lambda: may_write.wait(120))
                put.append(number)

        training = threading.Thread(target=loop)
        training.start()
        ends = time.monotonic() + 60
        while len(put) < MOST_WAITING and time.monotonic() < ends:
            time.sleep(0.01)
        time.sleep(0.2)
        assert training.is_alive() and len(put) == MOST_WAITING
        may_write.set()
        training.join(60)
        assert len(put) == 3 * MOST_WAITING
