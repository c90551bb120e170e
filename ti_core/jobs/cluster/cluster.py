"""A Ray cluster as the places of a queue, beside one of this computer for small jobs; used as `Devices` is."""

from __future__ import annotations

from collections.abc import Mapping

from ti_core.jobs.cluster.link import Link
from ti_core.jobs.device_place import BESIDE, DevicePlace
from ti_core.jobs.kind import JobKind
from ti_core.jobs.kinds import KINDS
from ti_core.jobs.place import SMALL
from ti_core.jobs.process import JobProcess
from ti_core.jobs.queue import JobQueue
from ti_core.models.device import DeviceMonitor
from ti_core.models.devices import CPU
from ti_core.workspace import Workspace


class Cluster:
    """Connects at once. Raises UserError if the cluster cannot be used."""

    def __init__(self, address: str, workspace: Workspace, carries: bool, without_token: bool) -> None:
        self.monitor = DeviceMonitor()
        self._link = Link(address, workspace, without_token, carries)
        self._link.open()
        self._beside = DevicePlace(BESIDE, workspace, JobProcess(CPU), frozenset({SMALL}))

    def kinds(self, kinds: Mapping[str, JobKind] = KINDS) -> dict[str, JobKind]:
        """The kinds; which device a job will get is not known when its settings are checked."""
        return dict(kinds)

    def open(self, jobs: JobQueue) -> None:
        """Have the queue's jobs run there."""
        jobs.worker.add(self._beside)
        self._link.serve(jobs.worker)

    def close(self) -> None:
        """The server ends: so does its work on the cluster."""
        self._link.close()
        self._beside.close()
