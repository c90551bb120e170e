"""bench/speed.py runs from end to end on a tiny architecture. What it measures is for people; no test looks at a
time.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ti_core.workspace import REPOSITORY


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_the_bench_ends_with_one_line_of_ratios(family: str) -> None:
    command = [
        sys.executable,
        "bench/speed.py",
        "--tiny",
        "--family",
        family,
        "--size",
        "64",
        "--repeats",
        "1",
        "--parts",
        "steps",
        "previews",
        "--json",
    ]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for name in (
        "step_over_floor",
        "a1111_over_ours",
        "diffusers_over_ours",
        "recipe_a1111_over_ours",
        "preview_rest_s",
        "snapshot_s",
    ):
        assert found[name] > 0
    assert found["preview_step_s"] >= 0  # a difference of two times
    assert found["family"] == family and found["size_px"] == 64
