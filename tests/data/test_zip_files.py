"""A zip of photos is unpacked into its folder alone, and bombs are refused before they fill the disk."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from ti_core.data import zip_files
from ti_core.data.zip_files import unpack
from ti_core.errors import UserError

WANTED = {".jpg", ".png", ".txt"}


def packed(folder: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(folder / "photos.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return folder / "photos.zip"


def into(folder: Path) -> Path:
    (folder / "out").mkdir()
    return folder / "out"


def test_folders_stay_together_masks_get_their_name_and_the_rest_is_named(tmp_path: Path) -> None:
    names = ["a/x.jpg", "a/x.txt", "b/x.jpg", "a/masks/x.png", "a/._x.jpg", "__MACOSX/x.jpg", "a/notes.docx", "a/"]
    archive = packed(tmp_path, {name: name.encode() for name in names})
    found, left_out = unpack(archive, into(tmp_path), WANTED)
    assert [str(path.relative_to(tmp_path / "out")) for path in found] == [
        "00000/x.jpg",
        "00000/x.txt",
        "00001/x.jpg",
        "00000/x-masklabel.png",
    ]
    assert found[0].read_bytes() == b"a/x.jpg" and left_out == ["notes.docx"]


@pytest.mark.parametrize(
    "name", ["../../evil.jpg", "/etc/evil.jpg", "..\\..\\evil.jpg", "C:\\evil.jpg", "a/../../../evil.jpg"]
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    found, _ = unpack(packed(inside, {name: b"1"}), into(inside), WANTED)
    assert [path.name for path in found] == ["evil.jpg"]
    assert {path for path in tmp_path.rglob("evil.jpg")} == set(found)
    assert found[0].is_relative_to(inside / "out")


def test_links_are_left_out(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link.jpg")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    assert unpack(tmp_path / "photos.zip", into(tmp_path), WANTED) == ([], ["link.jpg"])


def test_a_bomb_is_refused_by_the_bytes_that_come_and_not_by_those_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zip_files, "ALWAYS_BYTES", 0)
    archive = packed(tmp_path, {"a.jpg": bytes(30_000_000)})
    with pytest.raises(UserError, match="holds too much to unpack"):
        unpack(archive, into(tmp_path), WANTED)
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file()) < 10_000_000
    monkeypatch.setattr(zip_files, "MOST_FILES", 1)
    (tmp_path / "second").mkdir()
    with pytest.raises(UserError, match="holds 2 files, more than 1"):
        unpack(packed(tmp_path, {"a.jpg": b"", "b.jpg": b""}), tmp_path / "second", WANTED)


def test_what_is_no_zip_or_encrypted_is_named_and_a_damaged_file_left_out(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").write_bytes(b"no zip")
    with pytest.raises(UserError, match=r"'photos.zip' is no zip file that can be read"):
        unpack(tmp_path / "photos.zip", into(tmp_path), WANTED)
    archive = packed(tmp_path, {"a.jpg": bytes(range(256)) * 99, "b.jpg": b"good"})
    content = bytearray(archive.read_bytes())
    content[60:70] = b"x" * 10  # inside of the first file
    archive.write_bytes(content)
    found, left_out = unpack(archive, tmp_path / "out", WANTED)
    assert [path.name for path in found] == ["b.jpg"] and left_out == ["a.jpg"]
    content = bytearray(packed(tmp_path, {"a.jpg": b"secret"}).read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    (tmp_path / "third").mkdir()
    with pytest.raises(UserError, match="is encrypted"):
        unpack(archive, tmp_path / "third", WANTED)


def test_a_name_that_windows_takes_for_another_disk_is_left_out(tmp_path: Path) -> None:
    names = ["C:evil.jpg", "a.jpg:stream.jpg", "a\n.jpg", "good.jpg"]
    found, left_out = unpack(packed(tmp_path, dict.fromkeys(names, b"1")), into(tmp_path), WANTED)
    assert [path.name for path in found] == ["good.jpg"] and left_out == names[:3]


def test_a_list_of_millions_of_files_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zip_files, "_MOST_LIST_BYTES", 4000)
    archive = packed(tmp_path, {f"{number:040d}.jpg": b"" for number in range(100)})
    with pytest.raises(UserError, match="lists too many files"):
        unpack(archive, into(tmp_path), WANTED)


def test_several_zips_share_the_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_files, "MOST_BYTES", 150)
    archive = packed(tmp_path, {"a.jpg": bytes(100)})
    assert len(unpack(archive, into(tmp_path), WANTED)[0]) == 1
    (tmp_path / "second").mkdir()
    with pytest.raises(UserError, match="holds too much to unpack"):
        unpack(archive, tmp_path / "second", WANTED, used_bytes=100)
