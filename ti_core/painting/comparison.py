"""A finished grid of a run as it lies on disk: its pictures, and comparison.json beside them."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from PIL import Image

from ti_core.files import first_free, load_json, save_atomically, save_text
from ti_core.painting.grid import labelled_grid
from ti_core.workspace import Workspace

OUTPUTS = "outputs/compare"


@dataclass(frozen=True)
class Comparison:
    """A finished grid. `cells` are the files of the pictures, one list for each row, in the order of `steps`; rows
    are (prompt, seed). `photos` are files of some of the training photos.
    """

    run: str
    name: str
    steps: list[int]
    best: int
    rows: list[tuple[str, int]]
    cells: list[list[str]]
    grid: str
    photos: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    """What stands above the columns where they are no steps; then `steps` says of which step each is."""


def save_comparison(
    run: str,
    name: str,
    steps: list[int],
    best: int,
    rows: list[tuple[str, int]],
    pictures: Sequence[Image.Image],
    workspace: Workspace,
    photos: Sequence[Image.Image] = (),
    columns: Sequence[str] = (),
) -> Comparison:
    """Save each picture, the labelled grid and comparison.json in a new folder of today. `pictures` go row by row, one
    for each of `steps`; `photos` are some of the training's; the fields are those of Comparison.
    """
    folder = _new_folder(workspace.root / OUTPUTS / datetime.date.today().isoformat())
    table = [pictures[i : i + len(steps)] for i in range(0, len(pictures), len(steps))]
    cells = [
        [
            _save(folder / f"row-{r + 1:02d}_step-{step}{f'_{c + 1:02d}' if columns else ''}.png", picture)
            for c, (step, picture) in enumerate(zip(steps, line, strict=True))
        ]
        for r, line in enumerate(table)
    ]
    labels = list(columns) or [_step_label(step, best) for step in steps]
    grid = labelled_grid(table, labels, [f"{line}, seed {seed}" for line, seed in rows])
    files = [_save(folder / f"photo-{i:02d}.png", photo) for i, photo in enumerate(photos, 1)]
    whole = _save(folder / f"{name}-grid.png", grid)
    made = Comparison(run, name, steps, best, rows, cells, whole, files, list(columns))
    save_text(folder / "comparison.json", json.dumps(asdict(made), ensure_ascii=False, indent=1))
    return made


def _step_label(step: int, best: int) -> str:
    return f"step {step}" + (" (best)" if step == best else "")


def _new_folder(day: Path) -> Path:
    """Numbered on, so that no comparison is overwritten."""
    return first_free(lambda number: day / f"{number:03d}", Path.exists)


def _save(path: Path, picture: Image.Image) -> str:
    return str(save_atomically(path, lambda part: picture.save(part, "PNG")))


def newest_comparison(workspace: Workspace) -> Comparison | None:
    """The last finished grid, whoever asked for it; None if there is none or its pictures are gone."""
    for file in sorted((workspace.root / OUTPUTS).glob("*/*/comparison.json"), reverse=True):
        found = _kept_comparison(load_json(file))
        if found and Path(found.grid).is_file():
            return found
    return None


def _kept_comparison(kept: dict[str, Any]) -> Comparison | None:
    """What a comparison.json says, whatever version wrote it; None for a damaged one."""
    try:
        newer = ("photos", "columns")  # older ones have none
        known = {each.name: kept[each.name] for each in fields(Comparison) if each.name not in newer}
        known |= {name: kept.get(name, []) for name in newer}
        found = Comparison(**{**known, "rows": [(line, seed) for line, seed in known["rows"]]})
        texts = [
            found.run,
            found.name,
            found.grid,
            *(line for line, _ in found.rows),
            *(cell for row in found.cells for cell in row),
            *found.photos,
            *found.columns,
        ]
        numbers = [found.best, *found.steps, *(seed for _, seed in found.rows)]
        is_whole = len(found.cells) == len(found.rows) and all(len(row) == len(found.steps) for row in found.cells)
        is_whole = is_whole and len(found.columns) in (0, len(found.steps))
    except (ValueError, TypeError, KeyError):
        return None
    is_sound = all(isinstance(text, str) and "\0" not in text for text in texts) and all(
        type(number) is int for number in numbers
    )
    return found if is_whole and is_sound else None
