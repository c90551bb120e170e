"""A port that is taken is passed over."""

from __future__ import annotations

import pytest

from ti_core.program.ports import HERE, first_free_port, open_socket


@pytest.mark.parametrize("listen", [False, True])
def test_the_next_free_port_is_taken(listen: bool) -> None:
    with open_socket(HERE, 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        assert port < first_free_port(port, listen) <= port + 100
        with pytest.raises(OSError):
            open_socket(HERE, port)
