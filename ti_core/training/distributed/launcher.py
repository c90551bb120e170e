"""Trains on several devices from the page or the command line: a child of accelerate's launcher, whose events are
passed on as if they were ours.

accelerate's launcher stands between, and its processes share one standard input and output. So the child learns
everything from one file, hears in a second what is wished of it in between, tells its events in a third, and ends,
saving, when its standard input is closed by Interrupt.
When this program is no more, they end at once.
"""

from __future__ import annotations

import json
import os
import threading
from functools import partial
from pathlib import Path
from typing import Any

from ti_core.errors import UserError
from ti_core.events import Emit, Finished
from ti_core.models.chosen_device import CHOSEN, TOGETHER
from ti_core.models.device import count_devices
from ti_core.program.child import end_child, start_child
from ti_core.program.conversation import DIED, INTERRUPTED, SAVES_WITHIN_S, SILENT, Child, lines_of_file
from ti_core.program.temporary_folders import temporary_folder
from ti_core.settings import TrainSettings
from ti_core.training.checks import check_count
from ti_core.workspace import Workspace

ORDER, ASKED, SAID = "order.json", "asked.txt", "said.jsonl"
NOT_ANSWERED = (
    "Interrupted: the processes of this training did not answer, so they were ended. Resume goes on from the last saved"
    " step."
)


def is_launched() -> bool:
    """Whether this process is one of several already; every launcher sets the variable."""
    return "LOCAL_RANK" in os.environ


def train_on_several(
    settings: TrainSettings, workspace: Workspace, emit: Emit, stop: threading.Event, run_folder: str = ""
) -> None:
    """Train on `settings.gpus` devices, or go on with the run in `run_folder`. Emits and raises as `train` does."""
    from ti_core.models.warm import release_model  # loads torch

    check_count(settings.gpus, count_devices())
    release_model()  # the child loads the checkpoint anew
    with temporary_folder("launch") as folder:
        for file in (ASKED, SAID):
            (folder / file).touch()
        order = {"settings": settings.to_dict(), "run_folder": run_folder, "workspace": workspace.to_dict()}
        (folder / ORDER).write_text(json.dumps(order), encoding="utf-8")
        module = ["-m", "ti_core.training.distributed.worker", str(folder)]
        # each of its processes has a device of its own, and not the one that was chosen for this process
        environment = {name: value for name, value in os.environ.items() if name != CHOSEN}
        process = start_child(*_launcher(settings.gpus), *module, listens=False, environment=environment)
        child = Child(process, lines_of_file(folder / SAID, process), starts_silent=True)
        try:
            ended = child.follow(emit, stop, child.stop_all, partial(_ask_for, folder))
        finally:
            end_child(process, SAVES_WITHIN_S)  # the others end after the one that tells how it went
    if ended == SILENT:
        emit(Finished(NOT_ANSWERED, interrupted=True))
    elif ended == INTERRUPTED:
        emit(Finished("Interrupted.", interrupted=True))
    elif ended == DIED:
        raise UserError(
            f"The training on {settings.gpus} devices ended by itself (code {process.returncode}); the terminal shows"
            " why.",
            "Press Resume to go on from the last saved step, or set GPUs to 1.",
        )
    elif ended:
        raise UserError(ended)


def _launcher(count: int) -> list[str]:
    several = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", str(count), "--num_machines", "1"]
    numbers = [name.partition(":")[2] for name in os.environ.get(TOGETHER, "").split(",") if ":" in name]
    several += ["--gpu_ids", ",".join(numbers)] if len(numbers) == count else []
    return [*several, "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]


def _ask_for(folder: Path, wish: str) -> None:
    with (folder / ASKED).open("a", encoding="utf-8") as file:
        file.write(wish + "\n")


def asked_of(folder: Path) -> tuple[TrainSettings, Workspace, str]:
    """What `train_on_several` wrote down for its child."""
    asked: dict[str, Any] = json.loads((folder / ORDER).read_text(encoding="utf-8"))
    return TrainSettings.from_dict(asked["settings"]), Workspace.from_dict(asked["workspace"]), asked["run_folder"]
