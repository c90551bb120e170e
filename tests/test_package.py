"""What happens as soon as anything of ours is imported: another Python is refused, and the environment is set."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ti_core.workspace import REPOSITORY


def test_another_python_is_refused_with_a_sentence() -> None:
    """Of an old one, as it comes with many systems; what it reads before it is refused has to be its language too."""
    code = "import sys; sys.version_info = (3, 10, 13, 'final', 0); import ti_core"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("error: Python 3.10 is not supported.") and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "None")],
)
def test_threads_wait_for_each_other_for_a_short_while_unless_somebody_says_how(
    given: dict[str, str], spins: str
) -> None:
    code = "import os, sys, ti_core; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    left = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env={**left, **given}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [spins, "False"]  # OpenMP reads it when torch is loaded, and not later
