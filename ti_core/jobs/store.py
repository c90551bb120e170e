"""Jobs on disk: one small JSON file each in `<workspace>/jobs/`, so that the queue outlives a crash, kill -9 or a
reboot.

A file may be damaged, or written by another version: what can be used of it is used, and the rest is told.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ti_core.errors import UserError
from ti_core.files import save_text
from ti_core.jobs.job import KEPT_FIELDS, STATES
from ti_core.settings.option import shown_value

MAX_FILE_BYTES = 4 * 2**20
MAX_NUMBER = 2**53
"""Above it, whole numbers are not exact any more in JSON."""


@dataclass(frozen=True)
class KeptJob:
    """What could be used of a job's file. `fields` has all of KEPT_FIELDS; `order` is None where it is not known.
    `problems` are sentences.
    """

    fields: dict[str, Any]
    problems: list[str]


class JobStore:
    """The files of one workspace. Only one server may work in it: the second would start the first one's waiting
    jobs again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = _locked(folder)

    def load(self) -> tuple[list[KeptJob], list[str]]:
        """What was kept, in the order of the queue, and a sentence for each file that is left alone because it
        cannot be read.
        """
        jobs, problems = [], []
        for path in sorted(self.folder.glob("*.json")):
            record = _read(path)
            if isinstance(record, str):
                problems.append(f"'{path.name}' in jobs/ {record}, and is left alone.")
            else:
                jobs.append(_kept_job(path.stem, record))
        return sorted(jobs, key=lambda job: math.inf if job.fields["order"] is None else job.fields["order"]), problems

    def save(self, record: dict[str, Any]) -> None:
        """Write a job's file anew. Raises UserError where the disk takes nothing."""
        save_text(self.folder / f"{record['id']}.json", json.dumps(record, indent=1))

    def forget(self, job_id: str) -> None:
        """Delete a job's file."""
        with contextlib.suppress(OSError):  # a disk that takes no changes; it is forgotten after the next start
            (self.folder / f"{job_id}.json").unlink(missing_ok=True)

    def close(self) -> None:
        """Let another server have the workspace."""
        self._lock.close()


def printable(text: str) -> str:
    """For the terminal, which obeys what foreign text may hold."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _read(path: Path) -> dict[str, Any] | str:
    """The object in the file, or why it cannot be used."""
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            return "is no file"
        if path.stat().st_size > MAX_FILE_BYTES:
            return "is too long for a job"
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return "cannot be read"
    if not isinstance(record, dict):
        return "holds no job"
    if isinstance(record.get("id"), str) and record["id"] != path.stem:
        return "is the copy of another job's file"
    return record


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_NUMBER


def _is_order(value: Any) -> bool:
    return type(value) in (int, float) and -MAX_NUMBER <= value <= MAX_NUMBER


def _is_list_of_ids(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


_FITS: dict[str, tuple[Callable[[Any], bool], Any]] = {
    "kind": (_is_text, ""),
    "title": (_is_text, ""),
    "owner": (_is_text, ""),
    "result": (_is_text, ""),
    "order": (_is_order, None),
    "state": (
        lambda value: _is_text(value) and value in STATES,
        "interrupted",
    ),  # of all states the one that begins nothing and keeps all
    "text": (_is_text, ""),
    "folder": (_is_text, ""),
    "done": (_is_count, 0),
    "total": (_is_count, 0),
    "needs": (_is_list_of_ids, []),
}
"""Which values a field takes, and what is used for all others. The settings are looked at by those who know them."""


def _kept_job(job_id: str, record: dict[str, Any]) -> KeptJob:
    fields: dict[str, Any] = {"id": job_id, "settings": record.get("settings")}
    problems = []
    if "place" in record and "order" not in record:  # until version 0.1 the order was the time
        record = {**record, "order": record["place"]}
    for name, (fits, otherwise) in _FITS.items():
        value = record.get(name, otherwise)
        fields[name] = value if fits(value) else otherwise
        if name not in record:
            problems.append(f"The file of this job says nothing of '{name}'.")
        elif not fits(value):
            problems.append(f"The file of this job says {shown_value(value)} for '{name}', which cannot be.")
    if not isinstance(record.get("id"), str):
        problems.append(
            f"The file of this job says {shown_value(record.get('id'))} for 'id', so it is called as its file is."
        )
    unknown = [name[:60] for name in record if name not in KEPT_FIELDS and name != "place"]
    if unknown:
        problems.append(
            "The file of this job was written by another version of this program, and also says"
            f" {', '.join(map(repr, unknown[:10]))}."
        )
    return KeptJob(fields, problems)


def _locked(folder: Path) -> IO[str]:
    """Hold a lock that the system gives back however the program ends. Raises UserError if another server has it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / "lock").open("w", encoding="utf-8")
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise UserError(
            "Another server works in this workspace.", "Use that one, or give this one another folder: --workspace DIR"
        ) from error
    return file
