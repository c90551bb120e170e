"""Runs a bench on the 128 px world, for the model that is being trained; goes when that world takes the other's place.

python bench/next_world.py bench/portraits.py --checkpoint build/portraits/pipeline --json
"""

from __future__ import annotations

import importlib
import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if __name__ == "__main__":
    for name in ("world", "drawing", "pictures", "sample_photos", "classifier"):
        sys.modules[f"ti_core.portraits.{name}"] = importlib.import_module(f"ti_core.portraits.next.{name}")
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
