"""People take turns: nobody waits behind somebody's hundred jobs."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ti_core.jobs.job import Job, State
from ti_core.jobs.queue import JobQueue
from ti_core.jobs.turns import in_turn
from ti_core.jobs.view import queue_rows, snapshot
from ti_core.workspace import Workspace


def job(number: int, owner: str, state: State = "waiting", kind: str = "train", needs: tuple[str, ...] = ()) -> Job:
    return Job(str(number), kind, f"job {number}", print, owner, order=number, state=state, needs=list(needs))


def ids(jobs: list[Job]) -> str:
    return " ".join(one.id for one in jobs)


def test_one_person_keeps_the_order_of_the_line() -> None:
    assert ids(in_turn([job(n, "anna") for n in range(4)])) == "0 1 2 3"


def test_nobody_waits_behind_a_hundred_jobs_of_another() -> None:
    jobs = [*(job(n, "anna") for n in range(100)), job(100, "ben"), job(101, "cleo"), job(102, "ben")]
    assert ids(in_turn(jobs)[:6]) == "0 100 101 1 102 2"


def test_who_has_jobs_running_or_just_had_one_comes_later() -> None:
    jobs = [job(1, "cleo", "finished"), job(2, "ben", "interrupted"), job(3, "anna", "running"), job(4, "anna")]
    jobs += [job(5, "ben"), job(6, "cleo"), job(7, "dora")]
    assert ids(in_turn(jobs)) == "7 6 5 4"
    assert (
        ids(in_turn([job(1, "ben", "cancelled"), job(2, "anna", "finished"), job(3, "anna"), job(4, "ben")])) == "4 3"
    )


def test_what_takes_no_time_uses_up_no_turn() -> None:
    jobs = [job(1, "anna", kind="create"), job(2, "anna", kind="create"), job(3, "anna"), job(4, "ben"), job(5, "anna")]
    assert ids(in_turn(jobs, lambda one: one.kind == "train")) == "1 2 3 4 5"


def test_what_a_job_needs_comes_before_it_whosever_it_is() -> None:
    jobs = [job(1, "anna"), job(2, "anna"), job(3, "anna"), job(4, "ben", needs=("3",)), job(5, "ben")]
    assert ids(in_turn(jobs)) == "1 3 4 2 5"
    around = [job(1, "anna", needs=("2",)), job(2, "ben", needs=("1",))]
    assert sorted(ids(in_turn(around)).split()) == ["1", "2"]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 30)), max_size=30))
def test_all_are_there_once_each_keeps_its_order_and_nobody_is_two_turns_ahead(made: list[tuple[str, int]]) -> None:
    jobs = [job(n, owner, needs=(str(needed),) if needed < n else ()) for n, (owner, needed) in enumerate(made)]
    ordered = in_turn(jobs)
    assert sorted(one.order for one in ordered) == [one.order for one in jobs]
    seen: set[str] = set()
    for one in ordered:
        assert seen.issuperset(one.needs)
        seen.add(one.id)
    free = [job(n, owner) for n, (owner, _) in enumerate(made)]
    had: Counter[str] = Counter()
    waits = Counter(one.owner for one in free)
    for one in in_turn(free):
        assert all(had[one.owner] <= had[other] for other in waits if waits[other])
        had[one.owner] += 1
        waits[one.owner] -= 1
    for name in "abcd":
        own = [one.order for one in in_turn(free) if one.owner == name]
        assert own == sorted(own)


def test_the_line_takes_turns_and_moving_up_takes_nobody_elses(workspace: Workspace) -> None:
    jobs = JobQueue(workspace, is_paused=True)
    try:

        def submit(owner: str, title: str) -> Job:
            return jobs.submit("train", title, lambda emit, stop: None, owner)

        first, second, third = (submit("anna", f"anna {n}") for n in range(3))
        other = submit("ben", "ben 0")
        assert [one.title for one in jobs.waiting()] == ["anna 0", "ben 0", "anna 1", "anna 2"]
        assert jobs.move_up(third.id) == "Moved up: anna 2."
        assert [one.title for one in jobs.waiting()] == ["anna 0", "ben 0", "anna 2", "anna 1"]
        assert "among yours, and people take turns" in jobs.move_up(other.id)
        assert jobs.move_up(first.id) == "'anna 0' is next already."
        jobs.begin()
        assert jobs.wait_for(second).state == "finished"
        began = sorted((one for one in jobs.table.ordered()), key=lambda one: one.order)
        assert [one.title for one in began] == ["anna 0", "ben 0", "anna 2", "anna 1"]
    finally:
        jobs.close()


def test_a_page_is_shown_the_next_jobs_and_how_many_more_wait(workspace: Workspace) -> None:
    jobs = JobQueue(workspace, is_paused=True)
    try:
        for number in range(100):
            jobs.submit("train", f"job {number}", lambda emit, stop: None, "anna")
        jobs.submit("train", "of ben", lambda emit, stop: None, "ben")
        shown = snapshot(jobs)
        titles = [row["title"] for row in shown["line"]]
        assert (titles[:3], len(titles), shown["more_waiting"]) == (["job 0", "of ben", "job 1"], 60, 41)
        assert len(queue_rows(jobs)) == 101, "programs see all"
    finally:
        jobs.close()
