from __future__ import annotations

import threading

import pytest

from ti_core.data.read_ahead import read_ahead
from ti_core.errors import Interrupted


def test_results_come_in_order_and_only_a_few_wait() -> None:
    begun: list[int] = []
    for taken, result in enumerate(read_ahead(lambda i: begun.append(i) or i * i, range(1000))):
        assert result == taken * taken
        assert len(begun) - taken < 100
    assert len(begun) == 1000


def test_an_error_and_interrupt_end_it() -> None:
    with pytest.raises(ZeroDivisionError):
        list(read_ahead(lambda i: 1 // (i - 5), range(10)))
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        list(read_ahead(str, range(10), stop))
