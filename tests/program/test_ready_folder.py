"""The folder that a server works in: made, tried, and refused in one sentence."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ti_core.errors import UserError
from ti_core.program.ready_folder import ready_folder


def test_a_missing_folder_is_made_and_told_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "ä b" / "workspace"
    assert ready_folder(folder, "--workspace") == f"Made the folder {folder}."
    assert ready_folder(folder, "--workspace") == ""
    assert list(folder.iterdir()) == []


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is not a folder"):
        ready_folder(tmp_path / "file", "--workspace")
    with pytest.raises(UserError, match=r"cannot be made.*--workspace DIR"):
        ready_folder(tmp_path / "file" / "below", "--workspace")


@pytest.mark.parametrize(
    ("number", "why", "next_step"),
    [
        (errno.ENOSPC, "the disk is full", "Make room"),
        (errno.EROFS, "writing there is not allowed", "Choose a folder that you may write in: --workspace DIR"),
        (errno.EACCES, "writing there is not allowed", "Choose a folder"),
    ],
)
def test_a_full_or_closed_disk_is_one_sentence(
    number: int, why: str, next_step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(file: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refused)
    with pytest.raises(UserError) as told:
        ready_folder(tmp_path, "--workspace")
    assert why in told.value.problem and next_step in told.value.hint and "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []
