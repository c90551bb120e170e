"""What a job reads and what it writes, so that jobs side by side leave what they would have left in line: of two jobs
on one embedding, dataset or run, of which one writes, the later one waits for the earlier.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ti_core.embeddings.folder import prompt_words
from ti_core.errors import UserError
from ti_core.jobs.kind import JobKind
from ti_core.runs.folder import saved_settings
from ti_core.settings import ResumeSettings
from ti_core.settings.option import Settings
from ti_core.settings.prompts import split_at_names
from ti_core.workspace import Workspace

READ_FOLDERS, WRITTEN_FOLDERS = ("dataset_directory", "source_directory", "run"), ("destination_directory",)


@dataclass(frozen=True)
class Claims:
    """Embeddings and folders, each with what it is in front of its name."""

    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()


def claims_of(
    kind: JobKind | None,
    settings: Settings | None,
    folder: str,
    result: str,
    workspace: Workspace,
    coming: Collection[str] = (),
) -> Claims:
    """What a job reads and writes, by its settings, by the `folder` of its run and by the `result` that it makes.
    `coming` names what jobs before it will have made: a prompt may name that too.
    """
    if kind is None or settings is None:
        return Claims(writes=frozenset(_embeddings([result])))
    values, run = settings.to_dict(), kind.run_folder(settings, folder, workspace)
    if isinstance(settings, ResumeSettings):  # what it trains on stands in its run
        values = {**_settings_of_run(run, workspace), **values}
    makes_folder = any(name in values for name in WRITTEN_FOLDERS)
    trained = kind.trained_embedding(settings, folder, workspace)
    writes = [
        *_embeddings([trained, "" if makes_folder else result]),
        *_folders([run, *(values.get(name) for name in WRITTEN_FOLDERS)], workspace),
    ]
    reads = [
        *_embeddings(_named_in_prompts(values, workspace, coming)),
        *_embeddings([_settings_of_run(values.get("run"), workspace).get("embedding", "")]),
        *_folders((values.get(name) for name in READ_FOLDERS), workspace),
    ]
    return Claims(frozenset(reads), frozenset(writes))


def _settings_of_run(run: Any, workspace: Workspace) -> dict[str, Any]:
    with contextlib.suppress(UserError, OSError, ValueError):
        return saved_settings(workspace.root / str(run)).settings.to_dict() if run else {}
    return {}


def _embeddings(names: Iterable[str]) -> Iterator[str]:
    """Two names that some systems take for one are one."""
    return (f"embedding {name.strip().lower()}" for name in names if name.strip())


def _folders(typed: Iterable[Any], workspace: Workspace) -> Iterator[str]:
    for folder in typed:
        if isinstance(folder, str) and folder.strip():
            with contextlib.suppress(OSError, ValueError, RuntimeError):
                yield f"folder {(workspace.root / folder.strip()).resolve()}"


def _named_in_prompts(values: dict[str, Any], workspace: Workspace, coming: Collection[str]) -> Iterator[str]:
    texts = [text for name, text in values.items() if "prompt" in name and isinstance(text, str) and text.strip()]
    words = [*prompt_words(workspace), *coming] if texts else []
    return (name for text in texts for name, _ in split_at_names(text, words) if name)
