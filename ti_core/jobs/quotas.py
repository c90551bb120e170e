"""How much each login may have, on a page that is open to others: jobs that wait, room on the disk, minutes of a
device. All are off by default.
"""

from __future__ import annotations

import argparse
import datetime
import json
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from ti_core.errors import UserError
from ti_core.jobs.job import Job
from ti_core.jobs.table import JobTable

FILE = "used.jsonl"
"""In jobs/: a line of JSON for each job that has ended (owner, day, minutes, folders)."""
GB = 1e9
NO_LOGIN = ("", "local")
"""Owners of jobs that nobody had to sign in for."""
BIN = "bin"


@dataclass(frozen=True)
class Quotas:
    """What each login may have at most; 0 for no limit."""

    waiting: int = 0
    disk_gb: float = 0.0
    device_minutes: float = 0.0
    """In a day of the server's calendar."""

    @property
    def are_on(self) -> bool:
        """Whether there is a limit at all."""
        return bool(self.waiting or self.disk_gb or self.device_minutes)


def add_quota_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of `quotas_of`."""
    each = "for each login; 0 for no limit (default)"
    parser.add_argument("--most-waiting", metavar="JOBS", type=int, default=0, help=f"jobs that may wait, {each}")
    parser.add_argument(
        "--most-disk", metavar="GB", type=float, default=0.0, help=f"gigabytes of runs and datasets, {each}"
    )
    parser.add_argument(
        "--most-minutes", metavar="MINUTES", type=float, default=0.0, help=f"minutes of a device in a day, {each}"
    )


def quotas_of(options: argparse.Namespace) -> Quotas:
    """The quotas of the flags. Raises UserError for a negative one."""
    quotas = Quotas(options.most_waiting, options.most_disk, options.most_minutes)
    if not (quotas.waiting >= 0 and quotas.disk_gb >= 0 and quotas.device_minutes >= 0):
        raise UserError("A quota cannot be negative.", "Give 0 for no limit.")
    return quotas


class Usage:
    """What each login has used, kept in jobs/, and the quotas that it is held against. It watches the table."""

    def __init__(self, table: JobTable, quotas: Quotas) -> None:
        self.quotas, self._table = quotas, table
        self._file = table.store.folder / FILE
        self._began: dict[str, float] = {}
        self._minutes: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._folders: dict[str, set[str]] = {}
        if quotas.are_on:
            self._read()
            table.watch = self._see

    def check(self, owner: str) -> None:
        """Before a job is ordered. Raises UserError where the owner has all that a login may have."""
        if not self.quotas.are_on or owner in NO_LOGIN:
            return
        self.check_waiting(owner)
        used = self.minutes(owner)
        if self.quotas.device_minutes and used >= self.quotas.device_minutes:
            raise UserError(
                f"Your jobs have used {used:.0f} minutes of the device today, and each login may use"
                f" {self.quotas.device_minutes:g} a day here.",
                "Go on tomorrow: what was interrupted can be resumed.",
            )
        if self.quotas.disk_gb and (taken := self.disk_bytes(owner) / GB) >= self.quotas.disk_gb:
            raise UserError(
                f"Your runs and datasets take {taken:.2g} GB, and each login may have {self.quotas.disk_gb:g} GB here.",
                "Delete runs that you no longer need, and empty the bin.",
            )

    def check_waiting(self, owner: str) -> None:
        """Before quick work is ordered, which takes no device and no room to speak of, but a place in the line. Raises
        UserError.
        """
        waiting = sum(job.owner == owner for job in self._table.waiting())
        if self.quotas.waiting and owner not in NO_LOGIN and waiting >= self.quotas.waiting:
            raise UserError(
                f"You have {waiting} jobs waiting, and each login may have {self.quotas.waiting} here.",
                "Wait until one of them has begun, or cancel one under Jobs.",
            )

    def minutes(self, owner: str) -> float:
        """Of a device today, with those of the jobs that run."""
        now = time.monotonic()
        with self._table.lock:
            running = [job.id for job in self._table.running() if job.owner == owner]
            return self._minutes[owner, _today()] + sum(now - self._began.get(name, now) for name in running) / 60

    def disk_bytes(self, owner: str) -> int:
        """Of what the owner's jobs have made and is still there, or lies in the bin."""
        with self._table.lock:
            folders = sorted(self._folders.get(owner, ()))
        root = self._table.workspace.root
        return sum(_bytes_in(place / folder) for folder in folders for place in (root, root / BIN))

    # ---- watching

    def _see(self, job: Job) -> None:
        """A job of the table has changed, which is locked."""
        if job.owner in NO_LOGIN or job.settings is None:
            return
        if job.state == "running":
            self._began.setdefault(job.id, time.monotonic())
            most = self.quotas.device_minutes
            if most and not job.stop.is_set() and self.minutes(job.owner) >= most:
                job.notices.append(
                    f"It was interrupted, because your jobs have used the {most:g} minutes of the device that each"
                    " login may use in a day. Resume goes on with it tomorrow."
                )
                job.stop.set()
        elif job.has_ended and (began := self._began.pop(job.id, None)) is not None:
            made = [job.run_folder, str(getattr(job.settings, "destination_directory", ""))]
            line = {
                "owner": job.owner,
                "day": _today(),
                "minutes": round((time.monotonic() - began) / 60, 3),
                "folders": [folder for folder in made if folder],
            }
            self._take(line)
            try:
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
            except OSError as error:
                print(f"What '{job.owner}' has used could not be written down: {error}", flush=True)

    def _take(self, line: dict[str, object]) -> None:
        owner = str(line["owner"])
        self._minutes[owner, str(line["day"])] += float(str(line["minutes"]))
        folders = line["folders"]
        self._folders.setdefault(owner, set()).update(map(str, folders if isinstance(folders, list) else ()))

    def _read(self) -> None:
        """What was written down by this server or one before it; lines that were cut short are left out."""
        for line in self._file.read_text("utf-8", "replace").splitlines() if self._file.is_file() else ():
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError):
                print(f"A line of jobs/{FILE} cannot be read, and is left out.", flush=True)


def _today() -> str:
    return datetime.date.today().isoformat()


def _bytes_in(path: Path) -> int:
    return sum(_size(file) for file in path.rglob("*")) if path.is_dir() else 0


def _size(file: Path) -> int:
    try:
        return file.stat().st_size if file.is_file() else 0
    except OSError:  # it has just gone
        return 0
