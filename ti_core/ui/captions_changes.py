"""What the Captions tab does to many pictures at once: texts replaced, tags added and removed, pictures deleted. A
preview says before what a change will do, and the pictures that are marked are meant alone.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from ti_core.data.caption_edits import (
    Captioned,
    Change,
    adding,
    change_captions,
    pictures_with,
    preview_changes,
    prune_traits,
    removing,
    replacing,
)
from ti_core.data.caption_undo import undo_edit
from ti_core.data.picture_bin import delete_pictures, put_back_pictures
from ti_core.errors import UserError
from ti_core.settings import TrainSettings
from ti_core.ui.captions_layout import CaptionsLayout, Opened
from ti_core.ui.server.roles import read_only
from ti_core.ui.widgets import QUEUED, Updates, accepted, refused

PREVIEWED = 50
"""So many changes are shown; the others are counted."""
REMOVE_COLUMN = 2


class CaptionChanges(CaptionsLayout):
    """The half of the tab that changes all captions, or those of the marked pictures (`only`, their names; no name
    means all).
    """

    if TYPE_CHECKING:  # what the other half, CaptionsTab, brings

        def open(self, folder: str | None, text: str = "", picture: str = "") -> Updates: ...
        def _folder(self, folder: str, to_write: bool = False) -> Path: ...
        def _read(self, folder: str) -> list[Captioned]: ...
        def _save_typed(self, opened: Sequence[Any], text: str, in_step: bool, again: bool = False) -> str: ...
        def _settled(self, opened: Sequence[Any]) -> Updates: ...
        def _refused_edit(self, opened: Sequence[Any], error: UserError) -> Updates: ...
        def settle_after(self, answered: Any) -> None: ...

    def _wire_changes(self, shown: Sequence[Any]) -> None:
        typed, which = [self.opened, self.text], [self.in_step, self.only]
        for event, handler, given in (
            (self.replace.click, self.replace_everywhere, [*typed, self.find, self.replacement, *which]),
            (self.add.click, self.add_everywhere, [*typed, self.tag, self.at_front, *which]),
            (self.remove.click, self.remove_everywhere, [*typed, self.tag, *which]),
            (self.prune.click, self.prune_everywhere, [*typed, *which]),
            (self.tags.select, self.tag_clicked, [*typed, *which]),
            (self.delete.click, self.delete_chosen, [*typed, *which]),
            (self.put_back_button.click, self.put_back_deleted, typed),
            (self.undo.click, self.undo_last, typed),
        ):
            self.settle_after(event(handler, given, list(shown), **QUEUED))
        changing = [self.opened, self.find, self.replacement, *which]
        self.preview_button.click(self.preview, changing, [self.previewed, self.message], **QUEUED)
        self.mark_open.click(self.mark_opened, [self.opened, self.only], [self.only, self.message], **QUEUED)
        self.mark_tag.click(self.mark_tagged, [self.opened, self.tag], [self.only, self.message], **QUEUED)
        self.marks.mark(
            self.mark_clicked, [self.opened, self.only], [self.only, self.message], trigger_mode="multiple", **QUEUED
        )
        self.findings.html.mark_found(self.mark_found, self.opened, [self.only, self.message], **QUEUED)
        self.only.change(self.drawn_marks, [self.opened, self.only], self.marks, **QUEUED)

    # ---- changes of captions

    def replace_everywhere(
        self, opened: Sequence[Any], text: str, find: str, replacement: str, in_step: bool = True, only: Any = None
    ) -> Updates:
        """Replace a text in the captions of the open dataset."""
        title = f"'{find}' replaced by '{replacement}'"
        return self._change(opened, text, in_step, only, lambda: replacing(find, replacement), title)

    def add_everywhere(
        self, opened: Sequence[Any], text: str, tag: str, at_front: bool, in_step: bool = True, only: Any = None
    ) -> Updates:
        """Add tags to the captions of the open dataset, where they are not there yet."""
        return self._change(opened, text, in_step, only, lambda: adding(tag, at_front), f"'{tag}' added")

    def remove_everywhere(
        self, opened: Sequence[Any], text: str, tag: str, in_step: bool = True, only: Any = None
    ) -> Updates:
        """Take tags out of the captions of the open dataset."""
        return self._change(opened, text, in_step, only, lambda: removing(tag), f"'{tag}' removed")

    def tag_clicked(self, opened: Sequence[Any], text: str, in_step: bool, only: Any, event: gr.SelectData) -> Updates:
        """A click on a tag of the list puts it into the field Tag; one on its cross takes it out of the captions."""
        tag = str(event.row_value[0])
        if event.index[1] != REMOVE_COLUMN:
            return {self.tag: tag}
        return self.remove_everywhere(opened, text, tag, in_step, only)

    def prune_everywhere(self, opened: Sequence[Any], text: str, in_step: bool = True, only: Any = None) -> Updates:
        """Take the tags out that say how a character looks."""
        folder, picture = Opened(*opened)[:2]
        try:
            self._save_typed(opened, text, in_step)
            changed, _ = prune_traits(self._folder(folder, to_write=True), in_step, _meant(only))
        except UserError as error:
            return self._refused_edit(opened, error)
        return {**self.open(folder, _changed_sentence(changed), picture), **self._settled(opened)}

    def _change(
        self,
        opened: Sequence[Any],
        text: str,
        in_step: bool,
        only: Any,
        make: Callable[[], Callable[[str], str]],
        title: str,
    ) -> Updates:
        folder, picture = Opened(*opened)[:2]
        try:
            self._save_typed(opened, text, in_step)
            writable = self._folder(folder, to_write=True)
            changed, _ = change_captions(writable, make(), title, in_step, _meant(only))
        except UserError as error:
            return self._refused_edit(opened, error)
        return {**self.open(folder, _changed_sentence(changed), picture), **self._settled(opened), self.previewed: ""}

    @read_only
    def preview(
        self, opened: Sequence[Any], find: str, replacement: str, in_step: bool = True, only: Any = None
    ) -> Updates:
        """What a replacement would change; nothing is written."""
        try:
            captions = self._read(Opened(*opened).folder)
            changes = preview_changes(captions, replacing(find, replacement), in_step, _meant(only))
        except UserError as error:
            return {self.previewed: "", **refused(error, self.message)}
        return {self.previewed: render_changes(changes), **accepted(self.message)}

    def undo_last(self, opened: Sequence[Any], text: str) -> Updates:
        """Take the last edit of the open dataset back, whoever made it."""
        shown = Opened(*opened)
        try:
            if shown.picture and text != shown.caption:
                raise UserError(
                    f"What you typed for '{shown.picture}' is not saved yet.",
                    "Press Save or Discard first.",
                )
            message = undo_edit(self._folder(shown.folder, to_write=True))
        except UserError as error:
            return refused(error, self.message)
        return self.open(shown.folder, message, shown.picture)

    # ---- which pictures are meant

    @read_only
    def mark_opened(self, opened: Sequence[Any], only: Any) -> Updates:
        """Mark the open picture, or unmark it."""
        return self._toggled(only, Opened(*opened).picture)

    @read_only
    def mark_clicked(self, opened: Sequence[Any], only: Any, event: gr.EventData) -> Updates:
        """The pictures of the gallery that were clicked with Ctrl held are marked."""
        sent, names = event.marked, self._names(opened)
        indices = (
            [each for each in sent if type(each) is int and 0 <= each < len(names)] if isinstance(sent, list) else []
        )
        known = set(names)
        unseen = [name for name in _names_in(only) if name not in known]  # typed by hand, or deleted meanwhile
        return {self.only: gr.update(value=[*unseen, *(names[each] for each in indices)]), **accepted(self.message)}

    def _toggled(self, only: Any, name: str) -> Updates:
        marked = _names_in(only)
        now = [each for each in marked if each != name] if name in marked else [*marked, name]
        return {self.only: gr.update(value=[each for each in now if each]), **accepted(self.message)}

    @read_only
    def mark_tagged(self, opened: Sequence[Any], tag: str) -> Updates:
        """Mark the pictures whose captions hold the tag."""
        try:
            found = pictures_with(self._read(Opened(*opened).folder), tag.strip()) if tag.strip() else []
        except UserError as error:
            return refused(error, self.message)
        if not found:
            problem = UserError(f"No caption has the tag '{tag.strip()}'.", "Click one in the list below.", field="tag")
            return refused(problem, self.message)
        return {self.only: gr.update(value=found), **accepted(self.message, f"Marked pictures: {len(found)}.")}

    @read_only
    def mark_found(self, opened: Sequence[Any]) -> Updates:
        """Mark the pictures that are pointed out."""
        try:
            found = self.findings.names(Opened(*opened).folder)
        except UserError as error:
            return refused(error, self.message)
        return {self.only: gr.update(value=found), **accepted(self.message, f"Marked pictures: {len(found)}.")}

    @read_only
    def drawn_marks(self, opened: Sequence[Any], only: Any) -> Any:
        """The update of what marks pictures in the gallery."""
        marked = set(_names_in(only))
        return gr.update(marked=[i for i, name in enumerate(self._names(opened)) if name in marked])

    def _names(self, opened: Sequence[Any]) -> list[str]:
        try:
            return self._picture_names(self._folder(Opened(*opened).folder))
        except UserError:
            return []

    # ---- deleting

    def delete_chosen(self, opened: Sequence[Any], text: str, in_step: bool = True, only: Any = None) -> Updates:
        """Move the marked pictures, or the open one if none is marked, into the bin."""
        shown = Opened(*opened)
        try:
            folder = self._folder(shown.folder, to_write=True)
            self._check_unused(folder)
            names = _names_in(only) or [shown.picture]
            if shown.picture not in names:
                self._save_typed(opened, text, in_step)
            gone, place = delete_pictures(folder, names, self.context.workspace, in_step)
        except UserError as error:
            return self._refused_edit(opened, error)
        where = self.context.workspace.shown(place)
        message = f"Moved to {where}: {', '.join(gone)}. They can be put back."
        stays = shown.picture if shown.picture not in gone else ""
        return {**self.open(shown.folder, message, stays), **self._settled(opened), self.only: gr.update(value=[])}

    def put_back_deleted(self, opened: Sequence[Any], text: str) -> Updates:
        """Take the last deletion from the open dataset back."""
        folder, picture = Opened(*opened)[:2]
        try:
            self._save_typed(opened, text, False)
            back = put_back_pictures(self._folder(folder, to_write=True), self.context.workspace)
        except UserError as error:
            return self._refused_edit(opened, error)
        return {**self.open(folder, f"Put back: {', '.join(back)}.", picture), **self._settled(opened)}

    def _check_unused(self, folder: Path) -> None:
        for job in (*self.context.jobs.running(), *self.context.jobs.waiting()):
            settings = job.settings
            typed = settings.dataset_directory if isinstance(settings, TrainSettings) else ""
            if typed and self.context.workspace.path(typed, "Dataset directory") == folder:
                raise UserError(
                    f"'{job.title}' needs the pictures of '{folder.name}'.", "Interrupt or cancel that job first."
                )


def _changed_sentence(count: int) -> str:
    return f"Changed {count} caption{'s' * (count != 1)}."


def _names_in(only: Any) -> list[str]:
    """The names in a list that comes from a browser."""
    return [str(name) for name in only] if isinstance(only, list) else []


def _meant(only: Any) -> list[str] | None:
    return _names_in(only) or None


def render_changes(changes: Sequence[Change]) -> str:
    """HTML: each caption as it is and as it would be."""
    if not changes:
        return '<p class="changes-count">No caption would change.</p>'
    rows = "".join(
        f'<li><span class="changes-name" translate="no">{html.escape(each.picture.name)}</span>'
        f'<p class="words"><del>{html.escape(each.before)}</del></p>'
        f'<p class="words"><ins>{html.escape(each.after) or "&nbsp;"}</ins></p></li>'
        for each in changes[:PREVIEWED]
    )
    count = f"Captions that would change: {len(changes)}."
    more = f" The first {PREVIEWED} are shown." if len(changes) > PREVIEWED else ""
    return f'<p class="changes-count">{count}{more}</p><ul class="changes">{rows}</ul>'
