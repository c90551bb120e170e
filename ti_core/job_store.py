"""Jobs on disk: one small JSON file each in `<workspace>/jobs/`, so that the line outlives a crash, kill -9 or a reboot."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import IO, Any

from ti_core.errors import UserError
from ti_core.files import load_json, save_text


class JobStore:
    """The files of one workspace. Only one server may work in it: the second would start the first one's waiting jobs again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = _locked(folder)

    def load(self) -> list[dict[str, Any]]:
        """What was kept, in the order of the line. A file that cannot be read is left alone."""
        records = []
        for path in sorted(self.folder.glob("*.json")):
            record = load_json(path)
            if record.get("id") == path.stem:
                records.append(record)
        return sorted(records, key=lambda record: (_number(record.get("place")), record["id"]))

    def save(self, record: dict[str, Any]) -> None:
        save_text(self.folder / f"{record['id']}.json", json.dumps(record, indent=1))

    def forget(self, job_id: str) -> None:
        with contextlib.suppress(OSError):  # a disk that takes no changes; it is forgotten after the next start
            (self.folder / f"{job_id}.json").unlink(missing_ok=True)

    def close(self) -> None:
        self._lock.close()


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
        raise UserError("Another server works in this workspace.", "Use that one, or give this one another folder: --workspace DIR") from error
    return file


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0.0
