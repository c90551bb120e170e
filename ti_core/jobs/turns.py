"""In which order jobs of several people begin: they take turns, so that nobody waits behind somebody's hundred jobs."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterable

from ti_core.jobs.job import Job


def in_turn(jobs: Iterable[Job], counts: Callable[[Job], bool] = lambda job: True) -> list[Job]:
    """The waiting ones of all known `jobs`, which come by their rank; the next one first.

    Next is the person who has the fewest jobs running; of several, the one whose last job ended longest ago, or who has
    had none; of several, the one whose first job was ordered first. Each one's own jobs keep their order, and with one
    person nothing else matters. A job that another one makes something for comes after it, whosever they are. Jobs for
    which `counts` is false use up no turn, because they take no time to speak of.
    """
    queues: dict[str, deque[Job]] = {}
    running: Counter[str] = Counter()
    last_ended: dict[str, float] = {}
    for job in jobs:
        if job.state == "waiting":
            queues.setdefault(job.owner, deque()).append(job)
        elif job.state == "running":
            running[job.owner] += counts(job)
        elif job.state != "cancelled" and counts(job):
            last_ended[job.owner] = max(job.order, last_ended.get(job.owner, job.order))
    if len(queues) < 2:
        return [job for queue in queues.values() for job in queue]

    left = {job.id: job for queue in queues.values() for job in queue}
    turns = [(running[name], last_ended.get(name, -1.0), queue[0].order, name) for name, queue in queues.items()]
    heapq.heapify(turns)
    ordered: list[Job] = []
    while turns:
        taken, ended, _, name = heapq.heappop(turns)
        queue = queues[name]
        while queue and queue[0].id not in left:  # taken before its turn, because another one needs it
            queue.popleft()
        if not queue:
            continue
        ordered += _with_what_it_needs(queue.popleft(), left)
        if queue:
            heapq.heappush(turns, (taken + counts(ordered[-1]), ended, queue[0].order, name))
    return ordered


def _with_what_it_needs(job: Job, left: dict[str, Job]) -> list[Job]:
    """What of `left` it needs, the first one first, and itself; all of them are taken out of `left`. Files may say
    that two need each other.
    """
    del left[job.id]
    before = [needed for name in job.needs if name in left for needed in _with_what_it_needs(left[name], left)]
    return [*before, job]
