"""Photos out of a zip file: they never leave the folder they are unpacked to, and never fill the disk."""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from ti_core.data.images import MASK_ENDING
from ti_core.data.masks import MASK_FOLDERS
from ti_core.errors import UserError

MOST_FILES = 20_000
MOST_BYTES = 4 * 2**30
"""Of all files together, unpacked."""
MOST_TIMES = 200
"""How many times larger than the zip its files may be: photos hardly get smaller in one, bombs a thousand times."""
ALWAYS_BYTES = 64 * 2**20
_CHUNK = 2**20
_MOST_LIST_BYTES = 16 * 2**20
"""Of the list of files at its end, which is read as a whole; 20,000 long names take 4 MB."""
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError)
"""What zipfile raises for damaged and encrypted files, and methods that it does not know."""


class _TooLong(Exception):
    """A list of files that nobody means."""


class _Read(io.FileIO):
    """The zip's file. Its list of files is read in one go, before anything of it is known: millions of entries would
    take gigabytes of memory.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        """As FileIO; without a size zipfile reads what stands behind the list, 64 KB at most."""
        if size is not None and size > _MOST_LIST_BYTES:
            raise _TooLong
        return super().read(size)


def unpack(archive: Path, into: Path, suffixes: Collection[str], used_bytes: int = 0) -> tuple[list[Path], list[str]]:
    """Unpack the files with one of these (lower-case) suffixes into the empty folder `into`; returns them in the zip's
    order, and the names of those left out. Files of one of its folders stay together; a picture in a folder `masks`
    becomes `name-masklabel.png`. Names lead nowhere: only their last part is used. Links and hidden files are left out.
    `used_bytes` is what zips unpacked before it take.

    Raises UserError for what is no zip, is encrypted, or holds too much.
    """
    try:
        with _Read(archive) as file, zipfile.ZipFile(file) as opened:
            return _unpack(opened, archive, into, suffixes, used_bytes)
    except _TooLong:
        raise UserError(f"'{archive.name}' lists too many files.", f"Pack {MOST_FILES} at most.") from None
    except (*_BROKEN, OSError) as error:
        if isinstance(error, OSError) and not isinstance(error, zipfile.BadZipFile):
            raise UserError(
                f"'{archive.name}' could not be unpacked: {error.strerror or error}.", "Make room, then drop it again."
            ) from error
        raise UserError(f"'{archive.name}' is no zip file that can be read.", "Pack the photos anew.") from error


def _unpack(
    opened: zipfile.ZipFile, archive: Path, into: Path, suffixes: Collection[str], used_bytes: int
) -> tuple[list[Path], list[str]]:
    infos = [info for info in opened.infolist() if not info.is_dir()]
    if len(infos) > MOST_FILES:
        raise UserError(f"'{archive.name}' holds {len(infos)} files, more than {MOST_FILES}.", "Pack it in parts.")
    room = min(MOST_BYTES - used_bytes, MOST_TIMES * archive.stat().st_size + ALWAYS_BYTES)
    found: list[Path] = []
    left_out: list[str] = []
    folders: dict[str, Path] = {}
    for info in infos:
        path = PurePosixPath(info.filename.replace("\\", "/"))
        if path.name.startswith(".") or "__MACOSX" in path.parts:
            continue  # what systems write for themselves
        is_plain = ":" not in path.name and path.name.isprintable()  # Windows takes C:a.jpg for another place
        if path.suffix.lower() not in suffixes or stat.S_ISLNK(info.external_attr >> 16) or not is_plain:
            left_out.append(path.name)
            continue
        if info.flag_bits & 1:
            raise UserError(f"'{archive.name}' is encrypted.", "Unpack it yourself, and drop the photos.")
        folder, name = str(path.parent), path.name
        if path.parent.name.lower() in MASK_FOLDERS and not path.stem.lower().endswith(MASK_ENDING):
            folder, name = str(path.parent.parent), f"{path.stem}{MASK_ENDING}{path.suffix}"
        target = folders.setdefault(folder, into / f"{len(folders):05d}")
        target.mkdir(exist_ok=True)
        try:
            room -= _write(opened, info, target / name, room, archive)
        except (*_BROKEN, OSError) as error:  # this one is damaged, or has a name that no disk takes
            if isinstance(error, OSError) and error.errno == 28:  # ENOSPC
                raise
            (target / name).unlink(missing_ok=True)
            left_out.append(path.name)
            continue
        found.append(target / name)
    return found, left_out


def _write(opened: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, room: int, archive: Path) -> int:
    """The bytes written. What the zip says of its sizes is not believed: they are counted."""
    written = 0
    with opened.open(info) as source, target.open("xb") as file:
        while chunk := source.read(_CHUNK):
            written += len(chunk)
            if written > room:
                raise UserError(
                    f"'{archive.name}' holds too much to unpack here.", "Pack it in parts, or unpack it yourself."
                )
            file.write(chunk)
    return written
