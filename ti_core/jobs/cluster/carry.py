"""A workspace that is carried to a node: what a job needs goes there by content hash, so that nothing travels twice,
and what it writes comes back while it works. The node's side; `carrier.py` is the server's.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ti_core.errors import UserError
from ti_core.files import reason

PIECE_BYTES = 4 * 2**20
ANSWER_BYTES = 8 * 2**20
"""Of results that are handed over at once."""
LINKED_BYTES = 64 * 2**20
"""Larger files, which no job writes into, are linked instead of copied."""
NOT_RESULTS = ("models", ".cache", "bin", "jobs", ".gradio")
STATE = "state.safetensors"
LOST = "lost"
"""How a job has ended that the server has lost: it was stopped and saved, and goes on elsewhere."""

File = tuple[str, str, int]
"""Path below the workspace, with /; content hash; bytes."""


def cache_folder() -> Path:
    """Where carried files are kept from job to job: TI_CLUSTER_CACHE, else the user's cache. May always be deleted."""
    given = os.environ.get("TI_CLUSTER_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "textual-inversion-cluster"


def digest_of(path: Path) -> str:
    """The content hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Carried:
    """What of the server's workspace is here: `contents/<hash>` for all jobs, and a folder for the one that runs.

    `there` is the server's folder, by which events name their files. All methods raise UserError where the disk takes
    nothing.
    """

    def __init__(self, cache: Path, there: str) -> None:
        self._contents, self._folder, self._there = cache / "contents", cache / f"job-{os.getpid()}", there
        self._known: dict[str, tuple[int, int]] = {}
        """Path -> size and time of what the server has."""
        self._sent: dict[str, tuple[int, Any]] = {}
        """Path -> bytes that the server has, and the hash that has read them."""

    def missing(self, files: list[File]) -> list[str]:
        """The hashes of the contents that are not here, each once."""
        with _disk_errors():
            self._contents.mkdir(parents=True, exist_ok=True)
            return list(dict.fromkeys(digest for _, digest, _ in files if not (self._contents / digest).is_file()))

    def put(self, digest: str, offset: int, data: bytes) -> None:
        """A piece of a missing content, in order; one without data ends it. Raises UserError for another content."""
        part = self._contents / f"{digest}.{os.getpid()}.part"
        with _disk_errors():
            if data:
                with part.open("r+b" if offset else "wb") as file:
                    file.seek(offset)
                    file.write(data)
                return
            part.touch()
            if digest_of(part) != digest:
                part.unlink()
                raise UserError("A file changed while it was carried to the node.", "Start the job again.")
            part.replace(self._contents / digest)

    def lay_out(self, files: list[File]) -> Path:
        """A fresh folder with the files; what the job writes there comes back by `results`."""
        with _disk_errors():
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
            self._known, self._sent = {}, {}
            for name, digest, size in files:
                target, content = self._folder / name, self._contents / digest
                target.parent.mkdir(parents=True, exist_ok=True)
                if size < LINKED_BYTES or not _is_linked(content, target):
                    shutil.copyfile(content, target)
                self._known[name] = _state_of(target.stat())
        return self._folder

    def as_there(self, line: str) -> str:
        """A line of JSON with the server's folder in place of the one here."""
        return line.replace(json.dumps(str(self._folder))[1:-1], json.dumps(self._there)[1:-1])

    def clear(self) -> None:
        """Remove the folder of the job."""
        shutil.rmtree(self._folder, ignore_errors=True)

    # ---- results

    def results(self) -> list[dict[str, Any]]:
        """The next pieces of what was written since the last time; empty if the server has all.

        A run's state comes after what it counts, and is read before: so at any moment the server can go on from the
        state that it has.
        """
        changed = self._changed()
        states = {
            name: content for name in changed if name.endswith(STATE) and (content := self._read(name)) is not None
        }
        pieces: list[dict[str, Any]] = []
        size = 0
        for name, known in changed.items():
            if name in states:
                continue
            for piece in self._pieces(name):
                pieces.append(piece)
                size += len(piece["data"])
            self._known[name] = known
            if size > ANSWER_BYTES:
                return pieces
        for name, content in states.items():
            pieces.append({"path": name, "offset": 0, "data": content, "ends": True})
            self._known[name] = changed[name]
        return pieces

    def _changed(self) -> dict[str, tuple[int, int]]:
        found = {}
        for place, folders, names in os.walk(self._folder):
            if Path(place) == self._folder:
                folders[:] = [name for name in folders if name not in NOT_RESULTS]
            for name in names:
                path = Path(place) / name
                with contextlib.suppress(OSError):  # a temporary file that has just got its name
                    status = path.stat()
                    shown = path.relative_to(self._folder).as_posix()
                    if stat.S_ISREG(status.st_mode) and self._known.get(shown) != _state_of(status):
                        found[shown] = _state_of(status)
        return found

    def _read(self, name: str) -> bytes | None:
        with contextlib.suppress(OSError):
            return (self._folder / name).read_bytes()
        return None

    def _pieces(self, name: str) -> list[dict[str, Any]]:
        """The file in pieces; of one that has only grown, what is new."""
        content = self._read(name)
        if content is None:
            return []
        had, digest = self._sent.get(name, (0, b""))
        if not had or hashlib.sha256(content[:had]).digest() != digest:
            had = 0
        self._sent[name] = (len(content), hashlib.sha256(content).digest())
        starts = range(had, len(content), PIECE_BYTES) or (had,)
        return [
            {
                "path": name,
                "offset": start,
                "data": content[start : start + PIECE_BYTES],
                "ends": start + PIECE_BYTES >= len(content),
            }
            for start in starts
        ]


def _state_of(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _is_linked(content: Path, target: Path) -> bool:
    with contextlib.suppress(OSError):
        target.hardlink_to(content)
        return True
    return False


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"Files could not be kept on the node, in {cache_folder()}: {reason(error)}.",
            "Make room there, or set TI_CLUSTER_CACHE on it to another folder.",
        ) from error
