"""Captions that are kept are those that the files hold now."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from ti_core.data.caption_edits import read_captions
from ti_core.data.kept_captions import KeptCaptions
from ti_core.errors import UserError


def test_what_is_kept_is_what_the_files_hold_after_every_change(tmp_path: Path) -> None:
    folder, kept = tmp_path / "anna", KeptCaptions()
    folder.mkdir()
    for name in "ab":
        Image.new("RGB", (8, 8)).save(folder / f"{name}.png")
    (folder / "a.txt").write_text("red shirt")

    def texts() -> list[str]:
        found = kept.read(folder)
        assert found == read_captions(folder)
        return [each.text for each in found]

    assert texts() == texts() == ["red shirt", "b"]
    (folder / "a.txt").write_text("blue shirt, hat")  # read again alone
    assert texts() == ["blue shirt, hat", "b"]
    (folder / "b.txt").write_text("garden")
    assert texts() == ["blue shirt, hat", "garden"]
    (folder / "b.txt").unlink()
    (folder / "metadata.jsonl").write_text('{"file_name": "b.png", "text": "of a table"}\n')
    assert texts() == ["blue shirt, hat", "of a table"]
    (folder / "metadata.jsonl").write_text('{"file_name": "b.png", "text": "of another table"}\n')
    assert texts() == ["blue shirt, hat", "of another table"]
    Image.new("RGB", (8, 8)).save(folder / "c.png")
    assert texts() == ["blue shirt, hat", "of another table", "c"]
    with pytest.raises(UserError, match="gone"):
        kept.read(tmp_path / "gone")
