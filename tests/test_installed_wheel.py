"""`pip install .` brings the programs, the assets and the templates: a recipe runs from an environment outside the
checkout.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from ti_core.workspace import REPOSITORY


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a fresh environment with the wheel in it. torch and the rest are seen by a .pth
    file: they take a minute to install.
    """
    folder = tmp_path_factory.mktemp("install")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-build-isolation",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(REPOSITORY),
    ]
    subprocess.run(build, check=True, timeout=300)
    venv.create(folder / "fresh", with_pip=False)
    fresh = folder / "fresh" / ("Scripts" if os.name == "nt" else "bin")
    paths = {"base": str(folder / "fresh"), "platbase": str(folder / "fresh")}
    site = Path(sysconfig.get_path("purelib", "venv", paths))
    wheel = next(folder.glob("*.whl"))
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(fresh / "python"),
        "install",
        "--quiet",
        "--no-deps",
        str(wheel),
    ]
    subprocess.run(install, check=True, timeout=300)
    (site / "heavy.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return fresh


def test_the_recipe_runs_outside_the_checkout(programs: Path, tmp_path: Path) -> None:
    flags = ["--steps", "2", "--image-every", "2", "--save-every", "2", "--workspace", str(tmp_path)]
    done = subprocess.run(
        [programs / "textual-inversion", "recipe", "assets/sample_photos/anna", "anna", *flags],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "embeddings" / "anna.pt").is_file()
    assert [file.name for file in tmp_path.rglob("anna-2.png") if file.parent.name == "images"] == ["anna-2.png"]


def test_the_page_program_is_there_and_says_its_flags(programs: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [programs / "textual-inversion-webui", "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0
    assert "--workspace" in done.stdout


def test_every_asset_and_template_is_in_the_wheel(programs: Path) -> None:
    site = next(programs.parent.rglob("ti_core"))
    for name in ("assets", "templates"):
        wanted = {path.relative_to(REPOSITORY / name) for path in (REPOSITORY / name).rglob("*") if path.is_file()}
        got = {
            path.relative_to(site / "shipped" / name) for path in (site / "shipped" / name).rglob("*") if path.is_file()
        }
        assert got == wanted
