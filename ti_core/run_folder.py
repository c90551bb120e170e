"""Every path inside `<log directory>/<date>/<name>/`, in A1111's places (reference 2.9), and the run's text files."""

from __future__ import annotations

import csv
import datetime
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ti_core.errors import UserError
from ti_core.events import Evaluated, Event
from ti_core.files import reason, save_text
from ti_core.plan import RunPlan

CSV_COLUMNS = ("step", "epoch", "epoch_step", "loss", "learn_rate")
EVALUATION_COLUMNS = ("step", "loss", "norm", "best_step")


@dataclass(frozen=True)
class RunFolder:
    """One day's folder of one embedding. A number in a file's name is how many updates are in it."""

    root: Path
    name: str
    suffix: str = ".pt"

    @classmethod
    def for_today(cls, log_directory: Path, name: str, fresh: bool = True, suffix: str = ".pt") -> RunFolder:
        """The day's folder; a fresh run whose folder holds an earlier run gets `<name>-2`, so that the two never mix."""
        day = log_directory / datetime.date.today().isoformat()
        root, number = day / name, 2
        while fresh and root.exists() and any(root.iterdir()):
            root, number = day / f"{name}-{number}", number + 1
        return cls(root, name, suffix)

    def copy(self, step: int) -> Path:
        return self.root / "embeddings" / f"{self.name}-{step}{self.suffix}"

    def preview(self, step: int) -> Path:
        return self.root / "images" / f"{self.name}-{step}.png"

    def card(self, step: int) -> Path:
        return self.root / "image_embeddings" / f"{self.name}-{step}.png"

    @property
    def loss_csv(self) -> Path:
        return self.root / "textual_inversion_loss.csv"

    @property
    def evaluation_csv(self) -> Path:
        return self.root / "textual_inversion_evaluation.csv"

    @property
    def tensorboard(self) -> Path:
        return self.root / "tensorboard"

    @property
    def events_file(self) -> Path:
        return self.root / "events.jsonl"

    def save_settings(self, values: dict[str, Any]) -> Path:
        now = datetime.datetime.now()
        content = {"datetime": now.strftime("%Y-%m-%d %H:%M:%S"), **values}
        return save_text(self.root / now.strftime("settings-%Y-%m-%d-%H-%M-%S.json"), json.dumps(content, indent=4, ensure_ascii=False))

    def add_loss(self, plan: RunPlan, step: int, loss: float, rate: float) -> None:
        """Append a row to the loss table; the header comes with the first."""
        epoch, epoch_step = divmod(step - 1, plan.steps_per_epoch)
        self._append_row(self.loss_csv, CSV_COLUMNS, (step, epoch, epoch_step, f"{loss:.7f}", f"{rate:g}"))

    def add_evaluation(self, event: Evaluated) -> None:
        self._append_row(self.evaluation_csv, EVALUATION_COLUMNS, (event.step, f"{event.loss:.7f}", f"{event.norm:.4f}", event.best))

    def add_event(self, event: Event) -> None:
        self._append(self.events_file, event.to_json() + "\n")

    def _append_row(self, path: Path, columns: Sequence[str], values: Sequence[Any]) -> None:
        row = io.StringIO()
        writer = csv.writer(row, lineterminator="\n")
        if not path.exists():
            writer.writerow(columns)
        writer.writerow(values)
        self._append(path, row.getvalue())

    def _append(self, path: Path, text: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise UserError(f"'{path.name}' could not be written in {path.parent}: {reason(error)}.", "Make room, then train again: it continues.") from error
