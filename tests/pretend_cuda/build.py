"""Builds the pretend device against the installed torch, once, into a cache folder of the repository."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = HERE / "device"
SITE = HERE / "site"
CACHE = HERE.parents[1] / ".cache" / "pretend_cuda"
COMPILER = "g++"
BUILD_S = 600


class CannotBuild(Exception):
    """Why there is no pretend device here."""


def library() -> Path:
    """The library, built if it is not there yet. Raises CannotBuild with the reason, where it cannot be."""
    if not sys.platform.startswith("linux"):
        raise CannotBuild(f"the pretend device is for Linux, and this is {sys.platform}")
    if not shutil.which(COMPILER):
        raise CannotBuild(f"the pretend device is built with {COMPILER}, which is not installed")
    if "+cpu" not in (version := importlib.metadata.version("torch")):
        raise CannotBuild(f"the pretend device needs a CPU build of torch, and this is {version}")
    built = CACHE / f"libpretend_cuda-{_key(version)}.so"
    if not built.is_file():
        _build(built)
    return built


def _key(torch_version: str) -> str:
    sources = b"".join(path.read_bytes() for path in sorted(SOURCES.iterdir()))
    return hashlib.sha256(f"{torch_version} ".encode() + sources).hexdigest()[:16]


def _build(built: Path) -> None:
    found = importlib.util.find_spec("torch")  # not imported: whoever builds may not want it
    assert found is not None and found.origin is not None
    torch = Path(found.origin).parent
    built.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=built.parent) as folder:
        unfinished = Path(folder) / built.name
        command = [
            *(COMPILER, "-O1", "-std=c++20", "-shared", "-fPIC", "-w"),
            *(f"-I{torch / 'include'}", f"-I{torch / 'include/torch/csrc/api/include'}"),
            *(str(SOURCES / "pretend_cuda.cpp"), "-o", str(unfinished)),
            *(f"-L{torch / 'lib'}", "-ltorch_cpu", "-lc10", f"-Wl,-rpath,{torch / 'lib'}"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, check=False)
        if done.returncode:
            raise CannotBuild(f"{COMPILER} could not build the pretend device:\n{done.stderr[-2000:]}")
        os.replace(unfinished, built)  # whole or not there, also where two processes build at once


def environment(**card: object) -> dict[str, str]:
    """Variables that give every Python process the pretend device. `card`: mib, count, bf16, flash, as in
    site/pretend_torch.py. Raises CannotBuild.
    """
    paths = [str(SITE), *filter(None, [os.environ.get("PYTHONPATH")])]
    values = {f"PRETEND_{name.upper()}": str(int(value)) for name, value in card.items()}  # type: ignore[call-overload]
    return {"PRETEND_LIBRARY": str(library()), "PYTHONPATH": os.pathsep.join(paths), **values}
