"""Several places: which job begins where, and that jobs side by side leave what jobs in line would."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ti_core.events import Emit
from ti_core.jobs.demands import note_demands
from ti_core.jobs.job import Job
from ti_core.jobs.kind import JobKind
from ti_core.jobs.kinds import KINDS
from ti_core.jobs.place import BIG, SMALL, ServerPlace
from ti_core.jobs.queue import JobQueue
from ti_core.models.device import DeviceState
from ti_core.settings import CreateSettings, PreprocessSettings, ResumeSettings, TrainSettings, Txt2ImgSettings
from ti_core.settings.option import Settings
from ti_core.workspace import Workspace

GIB = 2**30


class Card(ServerPlace):
    """A place with a memory, whose jobs end when the test says so."""

    def __init__(self, name: str, free_gib: int = 8, works: frozenset[str] = frozenset({BIG, SMALL})) -> None:
        super().__init__(name, works)
        self.device.report(DeviceState("cuda", name, free_gib * GIB, 2))
        self.ran: list[tuple[str, tuple[str, ...]]] = []
        self.released = 0

    def run(self, job: Job, emit: Emit, beside: Sequence[str] = ()) -> None:
        self.ran.append((job.title, tuple(beside)))
        self.holds = job.checkpoint
        job.stop.wait(60)

    def release(self) -> None:
        self.holds = ""
        self.released += 1


def no_check(settings: Settings, workspace: Workspace, coming: object) -> tuple[str, str]:
    return getattr(settings, "embedding", "") or getattr(settings, "name", ""), getattr(settings, "name", "")


def kinds(fits: Callable[[DeviceState], bool] | None = None) -> dict[str, JobKind]:
    plan = (lambda settings, workspace: fits) if fits else None
    train = JobKind(TrainSettings, no_check, lambda *_: None, run_of=lambda settings, folder: folder, fits=plan)
    return {
        "train": train,
        "create": JobKind(CreateSettings, no_check, lambda *_: None, is_small=True),
        "preprocess": replace(KINDS["preprocess"], check=no_check),
        "txt2img": JobKind(Txt2ImgSettings, no_check, lambda *_: None),
    }


@pytest.fixture
def line(tmp_path: Path) -> Iterable[Callable[..., JobQueue]]:
    made: list[JobQueue] = []

    def make(*places: ServerPlace, fits: Callable[[DeviceState], bool] | None = None) -> JobQueue:
        made.append(JobQueue(Workspace(tmp_path), kinds(fits), places=places))
        return made[-1]

    yield make
    for jobs in made:
        for job in [*jobs.waiting(), *jobs.running()]:
            jobs.cancel(job.id)
        jobs.close()


def train(jobs: JobQueue, name: str, **more: object) -> Job:
    values = {"embedding": name, "dataset_directory": f"data/{name}", **more}
    return jobs.order("train", TrainSettings.from_dict(values))


def paint(jobs: JobQueue, owner: str = "") -> Job:
    return jobs.order("txt2img", Txt2ImgSettings(prompt="a cat"), owner)


def until(happened: Callable[[], object]) -> None:
    end = threading.Event()
    for _ in range(2000):
        if happened():
            return
        end.wait(0.005)
    pytest.fail("never")


def test_two_trainings_run_side_by_side_and_the_third_waits(line: Callable[..., JobQueue]) -> None:
    jobs = line(Card("cuda:0"), Card("cuda:1"))
    a, b, c = (train(jobs, name) for name in ("a", "b", "c"))
    until(lambda: [job.state for job in (a, b, c)] == ["running", "running", "waiting"])
    assert {a.place, b.place} == {"cuda:0", "cuda:1"}
    jobs.cancel(b.id)
    until(lambda: c.state == "running")
    assert (a.state, b.state, c.place) == ("running", "finished", b.place), "the other one goes on"


def test_two_jobs_never_write_the_same_embedding_or_dataset(line: Callable[..., JobQueue]) -> None:
    jobs = line(Card("cuda:0"), Card("cuda:1"), Card("small", works=frozenset({SMALL})))
    first, second = train(jobs, "anna"), train(jobs, "Anna", steps=7)
    other = train(jobs, "berta")
    until(lambda: other.state == "running")
    assert (first.state, second.state) == ("running", "waiting"), "it waits, and the one behind it does not"
    assert jobs.behind()[second.id] is first
    jobs.cancel(first.id)
    until(lambda: second.state == "running")


def test_a_job_runs_where_it_fits_and_else_on_the_largest(line: Callable[..., JobQueue]) -> None:
    jobs = line(Card("small", 4), Card("large", 12), fits=lambda state: state.free_bytes > 6 * GIB)
    a, b = train(jobs, "a"), train(jobs, "b")
    until(lambda: a.state == "running")
    assert (a.place, b.state) == ("large", "waiting"), "the free one is too small for it"
    jobs.close()
    jobs = line(Card("small", 4), Card("large", 12), fits=lambda state: False)
    c = train(jobs, "c")
    until(lambda: c.state == "running")
    assert c.place == "large"


def test_a_small_job_never_waits_for_a_training(line: Callable[..., JobQueue]) -> None:
    jobs = line(Card("cuda:0"), Card("small", works=frozenset({SMALL})))
    training = train(jobs, "a")
    until(lambda: training.state == "running")
    small = jobs.order("create", CreateSettings(name="b"))
    quick = jobs.submit("download", "a download", lambda emit, stop: None)
    until(lambda: small.state == "running" and quick.state == "finished")
    assert small.place == "small" and training.state == "running"


def test_a_job_on_all_devices_waits_for_all_and_none_is_taken_from_it(line: Callable[..., JobQueue]) -> None:
    cards = Card("cuda:0"), Card("cuda:1")
    jobs = line(*cards)
    a = train(jobs, "a")
    until(lambda: a.state == "running")
    both, later = train(jobs, "both", gpus=2), train(jobs, "later")
    assert (both.state, later.state) == ("waiting", "waiting"), "the later one would hold the first one up for ever"
    cards[1].holds = "a model of before"
    jobs.cancel(a.id)
    until(lambda: both.state == "running" and cards[0].ran[-1] == ("both", ("cuda:1",)))
    assert later.state == "waiting" and cards[1].released == 1, "its card is empty for the training"
    jobs.cancel(both.id)
    until(lambda: later.state == "running")


def test_interrupt_stops_the_job_that_is_meant_and_never_another_one(line: Callable[..., JobQueue]) -> None:
    jobs = line(Card("cuda:0"), Card("cuda:1"))
    a, b = train(jobs, "a"), train(jobs, "b")
    until(lambda: a.state == b.state == "running")
    assert jobs.interrupt(["train"]).startswith("2 of these jobs are running.")
    assert not a.stop.is_set() and not b.stop.is_set()
    assert jobs.interrupt(["train"], b.id) == "Stopping: b."
    until(lambda: b.has_ended)
    assert a.state == "running" and jobs.interrupt(["train"]) == "Stopping: a.", "of one there is no doubt"


def test_a_device_that_is_gone_is_told_and_another_one_taken(line: Callable[..., JobQueue]) -> None:
    jobs = line()
    job = train(jobs, "a", device="cuda:1")
    jobs.worker.add(Card("cuda:0"))
    until(lambda: job.state == "running")
    assert job.notices == ["There is no device cuda:1 any more, so this runs on cuda:0."]


def test_places_come_and_go_and_the_order_can_be_another(line: Callable[..., JobQueue]) -> None:
    jobs = line()
    a, b = train(jobs, "a"), train(jobs, "b")
    assert a.state == b.state == "waiting"
    jobs.worker.order = lambda waiting, running: reversed(waiting)
    jobs.worker.add(Card("node 1"))
    until(lambda: b.state == "running")
    jobs.worker.remove("node 1")
    jobs.cancel(b.id)
    until(lambda: b.state == "finished" and [lane.place.name for lane in jobs.worker.lanes] == ["server"])
    assert a.state == "waiting"


def test_what_is_kept_is_given_back_when_asked_and_when_nobody_comes(line: Callable[..., JobQueue]) -> None:
    card = Card("cuda:0")
    jobs = line(card)
    a = train(jobs, "a", checkpoint="sd15")
    until(lambda: card.holds == "sd15")
    assert jobs.worker.release() == [], "not while it works"
    jobs.cancel(a.id)
    until(lambda: a.has_ended and jobs.worker.lanes[1].is_free)
    assert jobs.worker.release("cuda:0") == ["cuda:0"]
    until(lambda: not card.holds)
    jobs.worker.free_after_min = 0.001
    b = train(jobs, "b", checkpoint="sd15")
    until(lambda: card.holds)
    jobs.cancel(b.id)
    until(lambda: card.released == 2)


def test_the_kinds_say_what_they_read_and_write(tmp_path: Path) -> None:
    from ti_core.jobs.claims import claims_of

    workspace = Workspace(tmp_path)
    made = KINDS["preprocess"], PreprocessSettings(source_directory="photos", destination_directory="data/anna")
    trained = KINDS["train"], TrainSettings(embedding="anna", dataset_directory="data/../data/anna")
    painted = KINDS["txt2img"], Txt2ImgSettings(prompt="a photo of Anna, smiling")
    making, training, painting = [
        claims_of(kind, settings, "", "", workspace, coming=["anna"]) for kind, settings in (made, trained, painted)
    ]
    assert making.writes & training.reads and painting.reads == training.writes == {"embedding anna"}
    assert not making.writes & painting.reads and not painting.writes, "what only reads may run twice"


def test_what_asks_for_no_device_follows_the_one_chosen_for_the_last_training(line: Callable[..., JobQueue]) -> None:
    jobs = line(Card("cuda:0"), Card("cuda:1"))
    painted = paint(jobs)
    until(lambda: painted.state == "running")
    assert painted.place == "cuda:0", "nobody has chosen one"
    jobs.cancel(painted.id)
    trained = train(jobs, "a", device="cuda:1")
    until(lambda: trained.state == "running")
    beside = paint(jobs)
    until(lambda: beside.state == "running")
    assert beside.place == "cuda:0", "the chosen one is busy, so the free one does it"
    for job in (trained, beside):
        jobs.cancel(job.id)
    until(lambda: trained.has_ended and beside.has_ended and all(lane.is_free for lane in jobs.worker.lanes))
    after, of_another = paint(jobs), paint(jobs, "berta")
    until(lambda: after.state == of_another.state == "running")
    assert (after.place, of_another.place) == ("cuda:1", "cuda:0")
    jobs.cancel(after.id)
    automatic = train(jobs, "b")
    until(lambda: automatic.state == "running" and after.has_ended)
    jobs.cancel(of_another.id)
    jobs.cancel(automatic.id)
    until(lambda: of_another.has_ended and automatic.has_ended and all(lane.is_free for lane in jobs.worker.lanes))
    last = paint(jobs)
    until(lambda: last.state == "running")
    assert last.place == "cuda:0", "Automatic was chosen since"


def test_a_card_that_is_nearly_full_is_left_alone(line: Callable[..., JobQueue]) -> None:
    full, empty = Card("cuda:0", 2), Card("cuda:1", 20)
    empty.is_ready = False
    jobs = line(full, empty)
    painted = paint(jobs)
    until(lambda: painted.state == "running")
    assert painted.place == "cuda:1", "its process has to be started first, and it has the room"


def test_captions_by_a_model_take_a_free_card_and_else_never_wait(line: Callable[..., JobQueue]) -> None:
    jobs = line(Card("cuda:0"), Card("small", works=frozenset({SMALL})))
    by_model = PreprocessSettings(source_directory="a", destination_directory="b", blip_caption=True)
    first = jobs.order("preprocess", by_model)
    until(lambda: first.state == "running")
    second = jobs.order("preprocess", replace(by_model, destination_directory="c"))
    crops = jobs.order("create", CreateSettings(name="b"))
    until(lambda: second.state == "running")
    assert (first.place, second.place, crops.state) == ("cuda:0", "small", "waiting")


def test_a_run_goes_on_on_as_many_devices_and_on_the_one_that_was_chosen(tmp_path: Path) -> None:
    trained = TrainSettings(embedding="anna", device="cuda:1", gpus=2, checkpoint="sd15")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "settings-1.json").write_text(json.dumps({"settings": trained.to_dict()}))
    job = Job("id", "resume", "Resume anna", lambda *_: None, settings=ResumeSettings("run"))
    note_demands(job, KINDS["resume"], Workspace(tmp_path))
    assert (job.device, job.count, job.checkpoint) == ("cuda:1", 2, "sd15")
