"""bench/card.py runs to its end, and writes its table, on the pretend card with tiny networks. What it measures there
means nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ti_core.workspace import REPOSITORY


@pytest.mark.slow
@pytest.mark.pretend_card
def test_the_bench_of_a_card_ends_with_a_table_and_its_numbers(tmp_path: Path) -> None:
    command = [sys.executable, "bench/card.py", "--tiny", "--parts", "speed", "recipe", "script", "--minutes", "60"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, timeout=3600
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "Pretend-GPU-0.json").read_text(encoding="utf-8"))
    for family in ("sd1", "sdxl"):
        speed, recipe = found[f"speed {family}"], found[f"recipe {family}"]
        assert "problem" not in speed and "problem" not in recipe, found
        assert {"step, as it is", "step, TF32", "preview, as it is", "step_over_floor", "peak_over_plan"} <= set(speed)
        assert "not possible" in speed["preview, CUDA graphs"], "the pretend card has none"
        assert recipe["first_picture_s"] > 0
    assert "left out" in found["script"]["problem"]
    assert "| speed sd1 | step, as it is |" in (tmp_path / "Pretend-GPU-0.md").read_text(encoding="utf-8")
