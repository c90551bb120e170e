"""Which job begins next, and where: nothing is done here, so that it can be read and tested by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ti_core.jobs.job import Job
from ti_core.jobs.place import BIG, QUICK, SMALL, Place
from ti_core.jobs.table import JobTable
from ti_core.models.chosen_device import CPU

Order = Callable[[Sequence[Job], Sequence[Job]], Iterable[Job]]
"""(the jobs that wait, in line; the jobs that run) -> those that may begin, the first one first. One that is left out
goes on waiting.
"""


def in_line(waiting: Sequence[Job], running: Sequence[Job]) -> Iterable[Job]:
    """The usual order: as they stand in the line."""
    return waiting


@dataclass(eq=False)
class Lane:
    """A place and what becomes of it: its `job`, or that it is kept free beside the first device of another job."""

    place: Place
    job: Job | None = None
    beside: list[Lane] = field(default_factory=list)
    """For a job on several devices the lanes of the others."""
    kept_for: Job | None = None
    is_released: bool = False
    """Whether it is giving back what it holds, at this moment."""
    release_asked: bool = False
    idle_since: float = 0.0
    is_gone: bool = False
    """It takes no job any more, and ends with the one that it has."""

    @property
    def is_free(self) -> bool:
        """Whether a job can begin on it."""
        return not (self.job or self.kept_for or self.is_released or self.is_gone)


def work_of(job: Job, table: JobTable) -> str:
    """QUICK, SMALL or BIG."""
    if job.settings is None:
        return QUICK
    return SMALL if table.is_small(job) else BIG


def blocked(waiting: Sequence[Job], running: Sequence[Job]) -> dict[str, Job]:
    """Ids of the jobs that cannot begin yet -> the job before each that makes what it needs, or reads or writes what
    it writes. The order in which they were ordered counts, whose turn it may be: so jobs side by side leave what one
    after the other would.
    """
    found: dict[str, Job] = {}
    before: dict[str, Job] = {}
    readers: dict[str, Job] = {}
    writers: dict[str, Job] = {}
    for job in sorted((*running, *waiting), key=lambda job: (job.state == "waiting", job.order)):
        if job.state == "waiting":
            needed = [before[name] for name in job.needs if name in before]
            written = [writers[one] for one in (*job.claims.writes, *job.claims.reads) if one in writers]
            read = [readers[one] for one in job.claims.writes if one in readers]
            if met := [*needed, *written, *read]:
                found[job.id] = met[0]
        before[job.id] = job
        readers.update(dict.fromkeys(job.claims.reads, job))
        writers.update(dict.fromkeys(job.claims.writes, job))
    return found


def lanes_for(job: Job, work: str, lanes: Sequence[Lane]) -> list[Lane] | None:
    """The lanes on which the job begins now, the one that works on it first; empty if it has to wait. None if it waits
    for several devices at once: then no later one may take any of them.
    """
    able = [lane for lane in lanes if work in lane.place.works and not lane.is_gone]
    free = [lane for lane in able if lane.is_free]
    cards = [lane for lane in free if BIG in lane.place.works and _is_card(lane)]
    if work == SMALL and job.gains_by_device and cards:
        return sorted(cards, key=lambda lane: _cost(job, lane, cards))[:1]
    if work != BIG:  # no second device is begun for what is done in a moment
        return sorted(free, key=lambda lane: (not lane.place.is_ready, BIG in lane.place.works))[:1]
    if not able:
        return []
    if job.count > 1:
        wanted = min(job.count, len(able))
        return free[:wanted] if len(free) >= wanted else None
    asked = [lane for lane in able if lane.place.name == job.device]
    suited = [lane for lane in asked or _that_fit(job, able) if lane.is_free]
    return sorted(suited, key=lambda lane: _cost(job, lane, suited))[:1]


def _cost(job: Job, lane: Lane, others: Sequence[Lane]) -> tuple[bool, bool, bool, bool, int]:
    """The smaller the better: the one that is preferred, one that has the model loaded, one with at least half as much
    memory as another, one that runs already, one with much memory.
    """
    place, free = lane.place, _free_bytes(lane)
    is_cramped = 2 * free < max(map(_free_bytes, others))
    return place.name != job.prefers, place.holds != job.checkpoint, is_cramped, not place.is_ready, -free


def _that_fit(job: Job, lanes: Sequence[Lane]) -> Sequence[Lane]:
    """Those on which it fits by the memory plan, as far as it is known; else the largest ones, where it is tried."""
    if job.fits is None:
        return lanes
    states = [(lane, lane.place.device.latest()) for lane in lanes]
    fitting = [lane for lane, state in states if state is None or job.fits(state)]
    most = max(map(_free_bytes, lanes))
    return fitting or [lane for lane in lanes if _free_bytes(lane) == most]


def _is_card(lane: Lane) -> bool:
    state = lane.place.device.latest()
    return state is not None and state.kind != CPU


def _free_bytes(lane: Lane) -> int:
    state = lane.place.device.latest()
    return state.free_bytes if state else 0
