"""Pictures deleted from a dataset lie in the bin with what belongs to them, and come back."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageOps

from ti_core.data.picture_bin import BIN, delete_pictures, deleted_pictures, put_back_pictures
from ti_core.errors import UserError
from ti_core.workspace import Workspace


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    dataset = tmp_path / "datasets" / "anna"
    dataset.mkdir(parents=True)
    for number in range(3):
        picture = Image.new("RGB", (8, 8), (number * 50, 0, 0))
        picture.putpixel((0, number), (255, 255, 255))
        picture.save(dataset / f"0000{number}-0-x.png")
        ImageOps.mirror(picture).save(dataset / f"0000{number}-1-x.png")
        (dataset / f"0000{number}-0-x.txt").write_text("smiling\n")
        (dataset / f"0000{number}-0-x-masklabel.png").write_bytes((dataset / f"0000{number}-0-x.png").read_bytes())
    return dataset


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_picture_goes_with_its_caption_mask_and_copy_and_all_come_back(folder: Path, tmp_path: Path) -> None:
    workspace, before = Workspace(tmp_path), content(folder)
    names, place = delete_pictures(folder, ["00001-0-x.png"], workspace, with_copies=True)
    assert names == ["00001-0-x.png", "00001-1-x.png"] and place.parent == tmp_path / BIN
    gone = {"00001-0-x.png", "00001-1-x.png", "00001-0-x.txt", "00001-0-x-masklabel.png"}
    assert content(folder) == {name: data for name, data in before.items() if name not in gone}
    alone, _ = delete_pictures(folder, ["00002-0-x.png"], workspace)
    assert alone == ["00002-0-x.png"] and len(deleted_pictures(folder, workspace)) == 2
    assert "00002-0-x.txt" in put_back_pictures(folder, workspace)  # the last deletion first
    assert set(put_back_pictures(folder, workspace)) == gone and content(folder) == before
    assert deleted_pictures(folder, workspace) == [] and not any((tmp_path / BIN).iterdir())
    with pytest.raises(UserError, match="in the bin"):
        put_back_pictures(folder, workspace)


def test_nothing_is_moved_where_something_is_wrong(folder: Path, tmp_path: Path) -> None:
    workspace, before = Workspace(tmp_path), content(folder)
    every = [name for name in before if name.endswith("-x.png")]
    for names, sentence in ((["../anna/00001-0-x.png"], "not in"), ([], "No picture"), (every, "all pictures")):
        with pytest.raises(UserError, match=sentence):
            delete_pictures(folder, names, workspace)
    assert content(folder) == before and not (tmp_path / BIN).exists()
    delete_pictures(folder, ["00001-0-x.png"], workspace)
    (folder / "00001-0-x.txt").write_text("another")
    with pytest.raises(UserError, match="again"):
        put_back_pictures(folder, workspace)
    assert not (folder / "00001-0-x.png").exists()


def test_what_was_deleted_elsewhere_does_not_come_here(folder: Path, tmp_path: Path) -> None:
    workspace, other = Workspace(tmp_path), tmp_path / "datasets" / "boris"
    delete_pictures(folder, ["00001-0-x.png"], workspace)
    other.mkdir()
    assert deleted_pictures(other, workspace) == []
