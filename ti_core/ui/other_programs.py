"""Other programs on the page: the field for their folders, and the row that copies an embedding to one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from ti_core.embeddings.copies import copy_targets, copy_to
from ti_core.errors import UserError, about
from ti_core.other_programs import PROGRAMS, keep_folders, kept_folders, program_in
from ti_core.ui.app_context import AppContext
from ti_core.ui.part import PageContext
from ti_core.ui.server.roles import read_only
from ti_core.ui.widgets import DIRECT, EACH_TIME, QUEUED, Updates, accepted, disk_dropdown, refused


class CopyToProgram:
    """The row "Copy to", for the embedding of a field; hidden where no other program is known."""

    def __init__(self, context: AppContext, embedding: Any, message: Any, elem_id: str) -> None:
        self.context, self.message = context, message
        titles = list(copy_targets(context.workspace))
        with gr.Row(equal_height=True, visible=bool(titles), elem_classes="with-refresh", elem_id=elem_id) as self.row:
            self.program = disk_dropdown(
                titles,
                value=titles[0] if titles else None,
                label="Copy the embedding to",
                info="Puts it where that program looks for embeddings. Press refresh there.",
                elem_id=f"{elem_id}_program",
            )
            self.button = gr.Button("Copy", min_width=90, scale=0, elem_id=f"{elem_id}_button")
        self.button.click(self.copy, [embedding, self.program], message, **QUEUED)

    def wire(self, page: PageContext) -> None:
        """The row knows the programs that were named meanwhile, also after a reload."""
        for event in (page.loaded, page.programs_named):
            event.then(self.refreshed, None, [self.row, self.program], **DIRECT, **EACH_TIME)

    def copy(self, embedding: str | None, title: str | None) -> Updates:
        """Copy the chosen embedding, and say where it lies."""
        try:
            target = copy_to(embedding or "", title or "", self.context.workspace)
        except UserError as error:
            return refused(error, self.message)
        return accepted(self.message, f"Copied to {title}: {self.context.workspace.shown(target)}")

    @read_only
    def refreshed(self) -> Updates:
        """The programs that are known now."""
        titles = list(copy_targets(self.context.workspace))
        return {
            self.row: gr.update(visible=bool(titles)),
            self.program: gr.update(choices=titles, value=titles[0] if titles else None),
        }


class ProgramFolders:
    """The field with the folders of other programs: typing one adds it, its cross takes it out. A shared page has none,
    because these folders lie outside of the workspace.
    """

    def __init__(self, context: AppContext, message: Any) -> None:
        self.context, self.message = context, message
        folders = self._kept()
        self.field = disk_dropdown(
            folders,
            value=folders,  # type: ignore[arg-type]
            multiselect=True,
            label="Folders of other programs",
            info=(
                f"Type the folder of {', '.join(PROGRAMS[:-1])} or {PROGRAMS[-1]} and press Enter. Its checkpoints and"
                " VAEs get into the lists, and embeddings can be copied to it."
            ),
            elem_id="program_folders",
            visible=not context.workspace.confined,
        )

    def _kept(self) -> list[str]:
        if self.context.workspace.confined:  # they tell where things lie on this computer
            return []
        return [str(folder) for folder in kept_folders(self.context.workspace.programs_file)]

    def wire(self, page: PageContext, read_lists: Callable[[], Updates]) -> None:
        """Let what is typed count in the lists of checkpoints and VAEs, which are the keys of what `read_lists` gives,
        and in the rows that copy.
        """
        self.read_lists = read_lists
        # `change`, because gradio tells of a typed choice by no other event
        changed = [self.field, *read_lists(), self.message]
        page.programs_named = self.field.change(self.follow, self.field, changed, **DIRECT)
        page.loaded.then(self.read_again, None, self.field, **DIRECT)

    @read_only
    def read_again(self) -> Any:
        """The folders that are kept now."""
        return gr.update(choices=self._kept(), value=self._kept())

    def follow(self, typed: list[str] | None) -> Updates:
        """Keep these folders. One that has no known program is refused, and taken out again."""
        workspace = self.context.workspace
        if workspace.confined or list(typed or []) == self._kept():
            return {self.field: gr.update()}
        try:
            with about(self.field.elem_id):
                programs = [
                    program_in(Path(text.strip().strip("\"'")).expanduser().resolve(), text, self.field.label)
                    for text in typed or []
                ]
                if any(program.root == workspace.root.resolve() for program in programs):
                    raise UserError("That is this page's own folder.", "Give the folder of another program.")
                keep_folders(workspace.programs_file, list(dict.fromkeys(program.root for program in programs)))
        except UserError as error:
            return {self.field: self.read_again(), **refused(error, self.message)}
        sentences = " ".join(f"{program.sentence}." for program in programs)
        return {self.field: self.read_again(), **self.read_lists(), **accepted(self.message, sentences)}
