"""The commands about checkpoints: models lists them, download fetches one."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import Any

from ti_core.checkpoints.hashes import short_hash
from ti_core.checkpoints.library import CheckpointFile, find_checkpoints
from ti_core.cli.flags import AddCommand
from ti_core.cli.printer import watch
from ti_core.settings import prediction_label
from ti_core.workspace import Workspace

COLUMNS = ("title", "family", "prediction", "size_px", "precision", "bytes", "hash", "problem")


def add_model_commands(command: AddCommand) -> None:
    """models and download."""
    models = command(
        "models",
        _models,
        "list the checkpoints: family, what they predict, size, precision, hash, and what is wrong with a file",
    )
    models.add_argument("--json", action="store_true", help="print a JSON list, with all that is known")
    models.add_argument(
        "--no-hash",
        action="store_true",
        help="leave out the hashes, which are computed once for each file, 7 GB in about 15 s",
    )
    download = command(
        "download",
        _download,
        "fetch a checkpoint from the Hugging Face hub into models/Stable-diffusion",
    )
    download.add_argument(
        "name", metavar="NAME", help="OWNER/NAME for a diffusers folder, OWNER/NAME/file.safetensors for a single file"
    )
    download.add_argument("--revision", default="main", metavar="R", help="branch, tag or commit (default: main)")


def _models(args: argparse.Namespace, workspace: Workspace) -> int:
    rows = [
        _row(checkpoint, "" if args.no_hash else _hash(checkpoint, workspace))
        for checkpoint in find_checkpoints(workspace)
    ]
    if args.json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return 0
    table = [COLUMNS, *(tuple(_cell(row, column) for column in COLUMNS) for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(COLUMNS) - 1)]
    for line in table:
        print("  ".join([f"{cell:<{width}}" for cell, width in zip(line, widths, strict=False)] + [line[-1]]))
    return 0


def _cell(row: dict[str, Any], column: str) -> str:
    value = prediction_label(row["prediction"], row["zero_terminal_snr"]) if column == "prediction" else row[column]
    return str(value) or "-"


def _row(checkpoint: CheckpointFile, hash: str) -> dict[str, Any]:
    facts = dataclasses.asdict(checkpoint.facts)
    del facts["trainer_classes"], facts["prediction_type"]
    return {
        "title": checkpoint.title,
        "path": str(checkpoint.path),
        **facts,
        "prediction": checkpoint.facts.prediction,
        "hash": hash,
    }


def _hash(checkpoint: CheckpointFile, workspace: Workspace) -> str:
    """Of checkpoints alone; progress goes to the error stream, so that the list can be read by a program."""
    if checkpoint.facts.kind != "checkpoint":
        return ""

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(
                f"\rhash of {checkpoint.title}: {100 * done // max(total, 1)} %   ",
                end="" if done < total else "\n",
                file=sys.stderr,
                flush=True,
            )
        elif done == total:
            print(f"hash of {checkpoint.title}: done", file=sys.stderr)

    return short_hash(checkpoint.path, workspace.hashes_file, show)


def _download(args: argparse.Namespace, workspace: Workspace) -> int:
    from ti_core.models.hub import download_checkpoint

    return watch(lambda emit, stop: download_checkpoint(args.name, workspace, emit, stop, args.revision))
