"""SD1.5 and SDXL at their full size with random weights, through the real loader and loop: one update on a CPU, and
the memory it took.

./test.sh -m slow tests/training/test_full_size.py -s
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ti_core.workspace import REPOSITORY

LIMIT_GB = 16.0


@pytest.mark.slow
@pytest.mark.parametrize(("family", "size_px"), [("sd1", 128), ("sdxl", 64)])
def test_one_update_at_full_size_stays_below_16_gb(family: str, size_px: int, tmp_path: Path) -> None:
    """In a process of its own, so that the peak is this training's alone."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.full_size", "--family", family, "--size", str(size_px), "--work", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    print(done.stdout)
    peak = re.search(r"peak memory ([\d.]+) GB", done.stdout)
    assert peak and float(peak[1]) < LIMIT_GB
    assert "1 update" in done.stdout
