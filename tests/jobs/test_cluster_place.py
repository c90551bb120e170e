"""A device of a cluster whose node is lost, without Ray: the job is taken up elsewhere, and not for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.test_loop import anna, settings_for, train
from ti_core.errors import UserError
from ti_core.events import Emit, Event, Finished, Notice, Started
from ti_core.jobs.cluster.carry import LOST
from ti_core.jobs.cluster.place import NOT_ANSWERED, ClusterPlace
from ti_core.jobs.job import Job
from ti_core.settings import ResumeSettings
from ti_core.settings.option import Settings
from ti_core.workspace import Workspace

Work = Callable[[str, Settings, Emit], str]


class Net:
    """A cluster on which a job ends as `work` says."""

    def __init__(self, workspace: Workspace, work: Work) -> None:
        self.workspace, self.work, self.asked = workspace, work, list[tuple[str, Settings]]()

    def run(
        self, place: ClusterPlace, kind: str, settings: Settings, emit: Emit, stop: threading.Event
    ) -> tuple[str, str]:
        self.asked.append((kind, settings))
        return self.work(kind, settings, emit), "The node ada is gone."

    def say(self, what: dict[str, object]) -> None:
        pass


def job_of(settings: Settings) -> Job:
    return Job("id", "train", "Train anna", lambda *_: None, settings=settings)


def test_a_lost_job_goes_on_from_the_state_that_its_run_has_saved(workspace: Workspace, anna: Path) -> None:
    def lose_once(kind: str, settings: Settings, emit: Emit) -> str:
        if kind == "resume":
            return ""
        for event in train(workspace, steps=2).of(Started):
            emit(event)
        return LOST

    net, events = Net(workspace, lose_once), list[Event]()
    ClusterPlace("ada:0", net).run(job_of(settings_for(steps=2)), events.append)
    (_, first), (kind, second) = net.asked
    assert first == settings_for(steps=2) and kind == "resume" and isinstance(second, ResumeSettings)
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert notices == ["The node ada is gone. The job goes on elsewhere, from step 2."]


def test_a_job_that_comes_no_further_is_given_up_and_one_that_is_to_stop_is_not_taken_up(tmp_path: Path) -> None:
    net, events = Net(Workspace(tmp_path), lambda *_: LOST), list[Event]()
    with pytest.raises(UserError, match=r"The node ada is gone\. This has happened 4 times"):
        ClusterPlace("ada:0", net).run(job_of(settings_for()), events.append)
    assert len(net.asked) == 4 and {kind for kind, _ in net.asked} == {"train"}, "nothing was saved, so it begins anew"
    stopped = job_of(settings_for())
    stopped.stop.set()
    ClusterPlace("ada:0", net).run(stopped, events.append)
    assert events[-1] == Finished(NOT_ANSWERED, interrupted=True) and len(net.asked) == 5
