"""What a killed program left in the system's temporary folder goes at the next start; nothing of anybody else's
does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ti_core.program.temporary_folders import LOCK, clear_left_over, temporary_folder
from ti_core.workspace import REPOSITORY


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary folder, for this test and the programs it starts."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


HOLDER = (
    "import time; from ti_core.program.temporary_folders import temporary_folder as f\nwith f('uploads') as p: print(p,"
    " flush=True); time.sleep(1000)"
)


@pytest.fixture
def held(place: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """The folder of another program, which was made a while ago."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert holder.stdout is not None
    folder = Path(holder.stdout.readline().strip())
    (folder / "photo.jpg").write_bytes(b"a photo")
    age(folder)
    yield holder, folder
    holder.kill()
    holder.wait()


def age(folder: Path) -> None:
    os.utime(folder / LOCK, (0, 0))


def test_the_folder_of_a_running_program_stays_and_that_of_a_killed_one_goes(
    held: tuple[subprocess.Popen[str], Path],
) -> None:
    holder, folder = held
    clear_left_over("uploads")
    assert (folder / "photo.jpg").is_file()
    holder.kill()
    holder.wait()
    clear_left_over("launch")
    assert (folder / "photo.jpg").is_file(), "of another kind"
    with temporary_folder("uploads") as new:
        assert not folder.exists() and new.is_dir()
    assert not new.exists()


def test_what_is_not_certainly_ours_stays(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ti-uploads-none", "ti-uploads-new", "uploads-old", "elsewhere"):
        (place / name).mkdir()
        (place / name / "file").touch()
        if name != "ti-uploads-none":
            (place / name / LOCK).touch()
    for name in ("uploads-old", "elsewhere"):
        age(place / name)
    (place / "ti-uploads-link").symlink_to(place / "elsewhere")
    (place / "ti-uploads-file").touch()
    clear_left_over("uploads")
    assert len(list(place.rglob("file"))) == 4
    age(place / "ti-uploads-new")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    clear_left_over("uploads")
    assert (place / "ti-uploads-new").is_dir(), "another user's"
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    clear_left_over("uploads")
    assert not (place / "ti-uploads-new").exists()
