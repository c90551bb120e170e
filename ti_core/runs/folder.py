"""Every path inside a run's folder, `<log directory>/<date>/<name>/`, laid out as A1111's (A1111 1.10.1,
textual_inversion.py: train_embedding), and the run's text files.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ti_core.checkpoints.tensor_headers import read_header
from ti_core.embeddings.formats import SAVED_BY_TRAINING
from ti_core.errors import UserError
from ti_core.events import Evaluated, Event
from ti_core.files import load_json, reason, save_text, sendable
from ti_core.runs.plan import RunPlan
from ti_core.settings import TrainSettings
from ti_core.settings.option import KeptSettings
from ti_core.workspace import Workspace, is_file_name

STATE, EVENTS = "state.safetensors", "events.jsonl"
COPIES, PREVIEWS, CARDS = "embeddings", "images", "image_embeddings"
STATE_PARTS = ("vectors.", "average.", "optimizer.")
"""Prefixes of the names of the tensors in a state file (training/run_state.py)."""
_COPY = re.compile(rf"(.+)-(\d+)({'|'.join(map(re.escape, SAVED_BY_TRAINING))})")
_PICTURE = re.compile(r"(.+)-(\d+)\.png")
_PREVIEW = re.compile(r"(.+)-(\d+)(?:-prompt(\d))?\.png")
MAX_STEP = 2**53
"""Above it, whole numbers are not exact any more in JSON."""
CSV_COLUMNS = ("step", "epoch", "epoch_step", "loss", "learn_rate")
EVALUATION_COLUMNS = ("step", "loss", "norm", "best_step")


def complete_settings(path: Path, model_hash: str) -> None:
    """Put the checkpoint's hash into a settings file that was written before it was known. A run whose folder has gone
    meanwhile is none of its business.
    """
    with contextlib.suppress(UserError):
        if kept := load_json(path):
            save_text(path, json.dumps(kept | {"model_hash": model_hash}, indent=4))


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run: an embedding's training on one day. The number in a file's name counts the updates that
    the embedding had then.

    Raises UserError for a name or a suffix that would lead out of the folder, because both may come from a file.
    """

    root: Path
    name: str
    suffix: str = SAVED_BY_TRAINING[0]

    def __post_init__(self) -> None:
        if not is_file_name(self.name) or self.suffix not in SAVED_BY_TRAINING:
            shown = (self.name + self.suffix)[:100]
            raise UserError(
                f"{shown!r} is no file name of an embedding.", "Train again, or train on from the run's latest copy."
            )

    @classmethod
    def for_today(
        cls, log_directory: Path, name: str, first_step: int = 0, suffix: str = SAVED_BY_TRAINING[0]
    ) -> RunFolder:
        """Today's folder of the embedding, or `<name>-2`, `-3`, ... if there are earlier runs, so that runs never mix.

        Training on from `first_step` stays in the latest of today's folders whose run ended at that step. From
        another step, one that was put to use again, it gets a folder of its own.
        """
        day = log_directory / datetime.date.today().isoformat()
        root, ended_there, number = day / name, None, 2
        while root.exists() and any(root.iterdir()):
            facts = saved_facts(root) or {}
            # The name is compared too, because another embedding may itself be called <name>-2.
            if first_step and (facts.get("name"), facts.get("step")) == (name, str(first_step)):
                ended_there = root
            root, number = day / f"{name}-{number}", number + 1
        return cls(ended_there or root, name, suffix)

    # ---- paths

    def copy(self, step: int) -> Path:
        """The embedding as it was after `step` updates."""
        return self.root / COPIES / f"{self.name}-{step}{self.suffix}"

    def preview(self, step: int, number: int = 1) -> Path:
        """The preview of that step with a prompt of that number, from 1; the first has A1111's name."""
        return self.root / PREVIEWS / f"{self.name}-{step}{f'-prompt{number}' if number > 1 else ''}.png"

    def card(self, step: int) -> Path:
        """The preview with the embedding of that step inside."""
        return self.root / CARDS / f"{self.name}-{step}.png"

    @property
    def loss_csv(self) -> Path:
        """A1111's table of losses, one row a step, with the columns CSV_COLUMNS."""
        return self.root / "textual_inversion_loss.csv"

    @property
    def evaluation_csv(self) -> Path:
        """One row an evaluation, with the columns EVALUATION_COLUMNS."""
        return self.root / "textual_inversion_evaluation.csv"

    @property
    def tensorboard(self) -> Path:
        """The folder of TensorBoard's event files."""
        return self.root / "tensorboard"

    @property
    def state(self) -> Path:
        """The latest state: vectors, optimizer, step and settings in one file, so that they always belong together."""
        return self.root / STATE

    @property
    def events_file(self) -> Path:
        """All events of the run, one JSON object a line."""
        return self.root / EVENTS

    # ---- writing

    def save_settings(self, values: dict[str, Any]) -> Path:
        """Write `settings-<date>-<time>.json` beside those of earlier starts of the run. Raises UserError."""
        now = datetime.datetime.now()
        content = {"datetime": now.strftime("%Y-%m-%d %H:%M:%S"), **values}
        return save_text(self.root / now.strftime("settings-%Y-%m-%d-%H-%M-%S.json"), json.dumps(content, indent=4))

    def add_loss(self, plan: RunPlan, step: int, loss: float, rate: float) -> None:
        """Append a row to the loss table, with the header before the first. Epochs are counted from 0, as in A1111."""
        epoch, epoch_step = divmod(step - 1, plan.steps_per_epoch)
        self._append_row(self.loss_csv, CSV_COLUMNS, (step, epoch, epoch_step, f"{loss:.7f}", f"{rate:g}"))

    def add_evaluation(self, event: Evaluated) -> None:
        """Append a row to the table of evaluations, with the header before the first."""
        self._append_row(
            self.evaluation_csv, EVALUATION_COLUMNS, (event.step, f"{event.loss:.7f}", f"{event.norm:.4f}", event.best)
        )

    def add_event(self, event: Event) -> None:
        """Append the event to the run's events. Raises UserError."""
        self._append(self.events_file, event.to_json() + "\n")

    def _append_row(self, path: Path, columns: Sequence[str], values: Sequence[Any]) -> None:
        row = io.StringIO()
        writer = csv.writer(row, lineterminator="\n")
        if not path.exists():
            writer.writerow(columns)
        writer.writerow(values)
        self._append(path, row.getvalue())

    def cut_back_to(self, step: int) -> None:
        """Remove from the tables and the events what came after `step`, and lines that a crash cut short. Called before
        the run is resumed from that step.
        """
        is_after = False

        def stays(line: str) -> bool:
            nonlocal is_after
            at = json.loads(line).get("step")
            is_after = is_after or (at is not None and at > step)
            # Events without a step stay as long as no later step came before them. A picture is saved behind the
            # loop's back, so its event may follow those of later steps.
            return not is_after if at is None else bool(at <= step)

        _cut_lines(self.events_file, stays)
        for table, columns in ((self.loss_csv, CSV_COLUMNS), (self.evaluation_csv, EVALUATION_COLUMNS)):
            _cut_lines(table, partial(_is_row_until, step, len(columns)))

    def check_there(self) -> None:
        """Raises UserError if the folder was removed: the run must stop and say so, not create it again."""
        if not self.root.is_dir():
            raise UserError(
                f"The run's folder '{self.root.name}' is not there any more.",
                "Train again, and leave the folder in its place.",
            )

    def _append(self, path: Path, text: str) -> None:
        self.check_there()
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise UserError(
                f"'{path.name}' could not be written in {path.parent.name}/: {reason(error)}.",
                "Make room, then press Resume: it continues.",
            ) from error


def _is_row_until(step: int, columns: int, line: str) -> bool:
    """Whether the line is the header, or a complete row of a step up to `step`."""
    return line.startswith("step,") or (line.count(",") == columns - 1 and int(line.split(",")[0]) <= step)


def _cut_lines(path: Path, stays: Callable[[str], bool]) -> None:
    """Rewrite the file with the complete lines for which `stays` is true. A line that cannot be parsed is dropped."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    except FileNotFoundError:
        return
    kept = []
    for line in lines:
        with contextlib.suppress(ValueError, AttributeError, TypeError, RecursionError):
            if line.endswith("\n") and stays(line):
                kept.append(line)
    if len(kept) < len(lines):
        save_text(path, "".join(kept))


# ---- reading


def read_events(file: Path, kind: str) -> Iterator[dict[str, Any]]:
    """The events of one kind in a run's events.jsonl as dicts, oldest first; none if there is no such file. Lines that
    were cut short are skipped.
    """
    if not file.is_file():
        return
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith(f'{{"event": "{kind}"'):
            with contextlib.suppress(ValueError, RecursionError):
                yield json.loads(line)


def saved_facts(folder: Path) -> dict[str, str] | None:
    """The metadata in the header of a run's state file (name, suffix, step), read without torch; None if there is no
    such file, or if it is damaged or was not written by a run.

    Anybody's upload can carry the same metadata, so a settings file must lie beside it: a training writes that first.
    """
    try:
        header = read_header(folder / STATE)
        facts = header.metadata
        RunFolder(folder, facts["name"], facts["suffix"])
        is_state = (
            bool(header.shapes)
            and all(name.startswith(STATE_PARTS) for name in header.shapes)
            and any(folder.glob("settings-*.json"))
        )
        return facts if is_state and 0 <= int(facts["step"]) < MAX_STEP else None
    except (UserError, ValueError, KeyError):
        return None


def saved_step(folder: Path) -> int | None:
    """The step from which the run in this folder can be resumed; None if it cannot be."""
    facts = saved_facts(folder)
    return int(facts["step"]) if facts else None


def saved_settings(folder: Path) -> KeptSettings[TrainSettings]:
    """The settings of the run in this folder, written by this version, another one, or A1111. Raises UserError if there
    are none, or if values in them cannot be read.
    """
    files = sorted(folder.glob("settings-*.json"))
    content = load_json(files[-1]) if files else {}
    is_ours = "settings" in content
    kept = TrainSettings.from_kept(content["settings"] if is_ours else _of_a1111(content))
    if not is_ours:  # A1111 has only some of our settings, so those that are missing are no news
        kept = replace(kept, missing=())
    if kept.wrong:
        raise UserError(
            f"The settings file of run '{folder.name}' is damaged. {' '.join(kept.wrong)}",
            "Correct the file, or choose another run.",
        )
    if not kept.settings.embedding:
        raise UserError(
            f"Run '{folder.name}' has no settings file that can be read.", "Choose a run that this program has trained."
        )
    return kept


def _of_a1111(content: dict[str, Any]) -> dict[str, Any]:
    """The values of A1111's settings file under our names (A1111 1.10.1, textual_inversion/saving_settings.py)."""
    named = {name: content[option.a1111] for name, option in TrainSettings.options().items() if option.a1111 in content}
    return {**named, "checkpoint": content["model_name"]} if "model_name" in content else named


def saved_prediction(folder: Path) -> tuple[str, bool] | None:
    """The run's prediction type (epsilon, v_prediction) and whether its noise schedule had zero terminal SNR; None for
    a run of a version that did not save them.
    """
    files = sorted(folder.glob("settings-*.json"))
    kept = load_json(files[-1]) if files else {}
    return (
        (str(kept["prediction"]), bool(kept["zero_terminal_snr"]))
        if {"prediction", "zero_terminal_snr"} <= kept.keys()
        else None
    )


# ---- the copies of a run


def saved_steps(folder: Path) -> dict[int, Path]:
    """The copies of a run by their step, in rising order."""
    return _by_step(folder / COPIES, _COPY)


def _by_step(folder: Path, name: re.Pattern[str], step: str = "*") -> dict[int, Path]:
    found = {int(match[2]): path for path in folder.glob(f"*-{step}.*") if (match := name.fullmatch(path.name))}
    return dict(sorted(found.items()))


def files_of_step(folder: Path, step: int) -> dict[str, Path]:
    """As one row of `files_of_steps`, for a page that looks at one step of many."""
    kinds = {"copy": (COPIES, _COPY), "card": (CARDS, _PICTURE), "picture": (PREVIEWS, _PICTURE)}
    found = {kind: _by_step(folder / place, name, str(step)) for kind, (place, name) in kinds.items()}
    return {kind: files[step] for kind, files in found.items() if step in files}


def files_of_steps(folder: Path) -> dict[int, dict[str, Path]]:
    """Step -> the files that the run has saved of it ("copy", "card", "picture"), in rising order of the steps. Of
    several previews of a step the picture is that of the first prompt.
    """
    kinds = {
        "copy": saved_steps(folder),
        "card": _by_step(folder / CARDS, _PICTURE),
        "picture": _by_step(folder / PREVIEWS, _PICTURE),
    }
    steps = sorted({step for files in kinds.values() for step in files})
    return {step: {kind: files[step] for kind, files in kinds.items() if step in files} for step in steps}


def previews_of_steps(folder: Path) -> dict[int, dict[int, Path]]:
    """Step -> number of the prompt, from 1 -> the preview, both in rising order."""
    found: dict[int, dict[int, Path]] = {}
    for path in (folder / PREVIEWS).glob("*-*.png"):
        if match := _PREVIEW.fullmatch(path.name):
            found.setdefault(int(match[2]), {})[int(match[3] or 1)] = path
    return {step: dict(sorted(found[step].items())) for step in sorted(found)}


def embedding_name(copy: Path) -> str:
    """The name of the embedding of which `copy` is a step's copy."""
    match = _COPY.fullmatch(copy.name)
    assert match, f"{copy.name} is no copy of a step"
    return match[1]


def find_runs(workspace: Workspace) -> list[str]:
    """Run folders with copies in the default log directory, newest first, as paths relative to the workspace; none that
    a browser could not name.
    """
    found = [path for path in (workspace.root / TrainSettings().log_directory).glob("*/*") if saved_steps(path)]
    newest = sorted(found, key=lambda path: (path / COPIES).stat().st_mtime, reverse=True)
    return [shown for path in newest if (shown := workspace.shown(path)) == sendable(shown)]
