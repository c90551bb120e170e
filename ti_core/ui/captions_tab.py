"""The Captions tab: look at a dataset's pictures and their words, and correct them one by one or all at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ti_core.data.caption_edits import (
    Captioned,
    ChangedMeanwhile,
    adding,
    change_captions,
    count_tags,
    dataset_folders,
    find_captioned,
    read_captions,
    removing,
    replacing,
    save_caption,
    state_of_picture,
)
from ti_core.data.caption_undo import last_edit, undo_edit
from ti_core.errors import UserError
from ti_core.ui.captions_layout import NOTHING_TO_UNDO, CaptionsLayout, Opened
from ti_core.ui.part import JobEnd, PageContext, Part
from ti_core.ui.server.roles import check_may_train, read_only
from ti_core.ui.thumbnails import figure, thumbnail, words_below
from ti_core.ui.widgets import QUEUED, Updates, accepted, refused

GALLERY_PICTURES = 200
SHOWN_TITLE = 60
"""Characters of an edit's title on the button that undoes it."""
THUMBNAIL_PX, LARGE_PX = 256, 768


HOLD_CAPTION = """(arrived, ...rest) => {
  const box = document.querySelector("#captions_text textarea");
  // what is typed until the answer would be lost, or stand with another picture
  if (arrived && box) box.readOnly = true;
  return [arrived, ...rest];
}"""
RELEASE_CAPTION = (
    "() => { const box = document.querySelector('#captions_text textarea'); if (box) box.readOnly = false; }"
)


class CaptionsTab(CaptionsLayout, Part):
    """What is typed is saved when another picture is chosen, unless the caption or the picture is another by then.

    `opened` travels with the text from the browser: kept here, it would be that of the next picture when somebody
    clicks faster than the network is.
    """

    id, title = "captions", "Captions"

    def __init__(self, page: PageContext) -> None:
        super().__init__(page.app)
        self._wire()

    def _wire(self) -> None:
        self.shown = shown = [
            self.opened,
            self.arrived,
            self.folder,
            self.gallery,
            self.one,
            self.picture,
            self.text,
            self.all,
            self.tags,
            self.undo,
            self.message,
        ]
        edited = [self.opened, self.text, self.gallery]
        typed = [self.opened, self.text]
        self.open_button.click(self.open_other, [*typed, self.folder], shown, **QUEUED)
        self.folder.input(self.open_other, [*typed, self.folder], shown, **QUEUED)
        self.gallery.select(self.pick, edited, shown, **QUEUED)
        self.save.click(self.save_one, edited, shown, **QUEUED)
        self.previous.click(self.go_back, edited, shown, **QUEUED)
        self.next.click(self.go_on, edited, shown, **QUEUED)
        self.replace.click(self.replace_everywhere, [*typed, self.find, self.replacement], shown, **QUEUED)
        self.add.click(self.add_everywhere, [*typed, self.tag, self.at_front], shown, **QUEUED)
        self.remove.click(self.remove_everywhere, [*typed, self.tag], shown, **QUEUED)
        self.undo.click(self.undo_last, typed, shown, **QUEUED)

    def wire(self, page: PageContext) -> None:
        """The tab reads the disk when it is chosen. It opens a dataset that was just made; what is typed there
        meanwhile is saved first.
        """
        self.item.select(self.enter, [self.opened, self.folder], self.shown, **QUEUED)
        typed = [self.arrived, self.opened, self.text]
        followed = page.job_ended.then(self.follow, typed, self.shown, js=HOLD_CAPTION, **QUEUED)
        released = followed.then(None, None, None, js=RELEASE_CAPTION)
        arrived = [self.opened, self.folder, self.message, page.kept_tab]
        released.then(self.arrive, arrived, self.shown, **QUEUED)

    @property
    def gives(self) -> list[Any]:
        return [self.arrived]

    def on_job_finished(self, end: JobEnd, *given: Any) -> Updates:
        """The new dataset is opened next."""
        made = end.result_of("preprocess")
        return {self.arrived: made} if made else {}

    # ---- one folder

    @read_only
    def enter(self, opened: Sequence[Any], folder: str | None) -> Updates:
        """The tab is chosen: fresh lists, and the newest dataset if none is open yet."""
        folders = dataset_folders(self.context.workspace)
        wanted = folder or (folders[0] if folders else "")
        if not wanted:
            return accepted(
                self.message, "There is no dataset yet. Preprocess your photos first, or type the path of a folder."
            )
        if Opened(*opened).folder == wanted:
            return {self.folder: gr.update(choices=folders)}
        return {**self.open(wanted), self.folder: gr.update(choices=folders, value=wanted)}

    @read_only
    def open_other(self, opened: Sequence[Any], text: str, folder: str | None) -> Updates:
        """Another folder is chosen. What was typed before is saved, by those who may; what was refused before is
        told once more.
        """
        if Opened(*opened).found is not None and _is_typed(opened, text):
            return self.open(
                folder,
                f"Not saved for {Opened(*opened).picture} of {Opened(*opened).folder}. Copy it from here if you need"
                f" it:\n{text}",
            )
        try:
            if _is_typed(opened, text):
                check_may_train()
                self._save_typed(opened, text)
        except UserError as error:
            return self._refused_edit(opened, error)
        return self.open(folder)

    @read_only
    def follow(self, folder: str, opened: Sequence[Any], text: str) -> Updates:
        """A preprocessing that this page ordered has ended: its dataset is chosen, because what is typed next is
        meant for it.

        What was typed for the one before is saved there; where that is refused, it stays open. The folder is read
        by `arrive`, or when the tab is chosen.
        """
        if not folder:
            return {self.arrived: ""}
        told = ""
        try:
            if _is_typed(opened, text):
                check_may_train()
                told = f"Saved: {self._save_typed(opened, text)} of {Opened(*opened).folder}."
        except UserError as error:
            return {self.arrived: "", **self._refused_edit(opened, error)}
        chosen = gr.update(choices=dataset_folders(self.context.workspace), value=folder)
        return {
            self.arrived: "",
            self.opened: list(Opened()),
            self.text: "",
            self.folder: chosen,
            **self._hidden(),
            **accepted(self.message, told),
        }

    @read_only
    def arrive(self, opened: Sequence[Any], folder: str | None, told: str, tab: str) -> Updates:
        """Open what `follow` has chosen if this tab is in front by now."""
        if tab != "captions" or Opened(*opened).folder or not folder:
            return {self.message: gr.update()}
        return self.open(folder, "\n".join(filter(None, [told, f"Now open: {folder}, which was just preprocessed."])))

    def _hidden(self) -> Updates:
        return {part: gr.update(visible=False) for part in (self.gallery, self.one, self.all, self.tags, self.undo)}

    @read_only
    def open(self, folder: str | None, text: str = "", picture: str = "") -> Updates:
        """Read the whole folder and show the picture of that name, else the first one. `text` is told in the
        message box.
        """
        try:
            captions = self._read(folder or "")
        except UserError as error:
            return {self.opened: list(Opened()), **self._hidden(), **refused(error, self.message)}
        index = next((i for i, captioned in enumerate(captions) if captioned.picture.name == picture), 0)
        thumbnails = [(thumbnail(c, THUMBNAIL_PX), words_below(c)) for c in captions[:GALLERY_PICTURES]]
        count = (
            f"the first {GALLERY_PICTURES} of {len(captions)}"
            if len(captions) > GALLERY_PICTURES
            else str(len(captions))
        )
        told = "\n".join([*([text] if text else []), *(c.problem for c in captions if c.problem)])
        return {
            self.gallery: gr.update(
                value=thumbnails,
                visible=True,
                label=f"Pictures and their captions ({count}): click one",
                selected_index=index,
            ),
            self.one: gr.update(visible=True),
            self.all: gr.update(visible=True),
            self.tags: self._counted(captions),
            **self._show(folder or "", captions[index]),
            **self._undoable(folder or ""),
            **accepted(self.message, told),
        }

    def _folder(self, folder: str, to_write: bool = False) -> Path:
        find = self.context.workspace.writable_folder if to_write else self.context.workspace.folder
        return find(folder, "Dataset folder")

    def _read(self, folder: str) -> list[Captioned]:
        return read_captions(self._folder(folder))

    def _counted(self, captions: list[Captioned]) -> Any:
        return gr.update(value=[list(row) for row in count_tags(c.caption for c in captions)], visible=True)

    def _show(self, folder: str, captioned: Captioned) -> Updates:
        name = captioned.picture.name
        return {
            self.opened: self._opened(folder, captioned),
            self.text: captioned.text,
            self.picture: figure(thumbnail(captioned, LARGE_PX), name),
        }

    def _opened(self, folder: str, captioned: Captioned) -> list[Any]:
        return list(Opened(folder, captioned.picture.name, captioned.text, state_of_picture(captioned.picture)))

    def _undoable(self, folder: str) -> Updates:
        """The button says what it takes back."""
        title = last_edit(self._folder(folder))
        return {
            self.undo: gr.update(
                value=f"Undo: {_shortened(title)}" if title else NOTHING_TO_UNDO, interactive=bool(title), visible=True
            )
        }

    def _save_typed(self, opened: Sequence[Any], text: str, again: bool = False) -> str:
        """Write the caption if it was changed here, and give the file's name. Raises UserError where caption or
        picture are others meanwhile.

        `again` replaces what somebody else wrote, where that was told before.
        """
        shown = Opened(*opened)
        if not _is_typed(opened, text):
            return ""
        expected = shown.found if again and shown.found is not None else shown.caption
        return save_caption(self._folder(shown.folder, to_write=True), shown.picture, text, expected, shown.state).name

    def _refused_edit(self, opened: Sequence[Any], error: UserError) -> Updates:
        """The text stays in its box. After somebody else's edit the next Save replaces it."""
        found = error.now if isinstance(error, ChangedMeanwhile) else Opened(*opened).found
        return {self.opened: list(Opened(*opened)._replace(found=found)), **refused(error, self.message)}

    # ---- one picture

    def pick(self, opened: Sequence[Any], text: str, gallery: Any, event: gr.SelectData) -> Updates:
        """Save what was typed, and show the picture that was clicked."""
        return self.move(opened, text, gallery, to=int(event.index))

    def go_back(self, opened: Sequence[Any], text: str, gallery: Any) -> Updates:
        """Save what was typed, and show the picture before."""
        return self.move(opened, text, gallery, by=-1)

    def go_on(self, opened: Sequence[Any], text: str, gallery: Any) -> Updates:
        """Save what was typed, and show the next picture."""
        return self.move(opened, text, gallery, by=1)

    def move(self, opened: Sequence[Any], text: str, gallery: Any, by: int = 0, to: int = -1) -> Updates:
        """Save what was typed and show another picture."""
        folder, name = Opened(*opened)[:2]
        try:
            updates, captions = self._saved(opened, text, gallery)
        except UserError as error:  # stay
            return self._refused_edit(opened, error)
        at = [c.picture.name for c in captions].index(name)
        index = (at + by) % len(captions) if by else max(0, min(len(captions) - 1, to))
        if index == at:  # the gallery also tells of a choice that was made here
            return updates
        shown = {**self._show(folder, captions[index]), **accepted(self.message, captions[index].problem)}
        return {**updates, **shown, self.gallery: _selected(updates.get(self.gallery), index)}

    def save_one(self, opened: Sequence[Any], text: str, gallery: Any) -> Updates:
        """Write the caption if it was changed here, and show what is in the file now."""
        try:
            return self._saved(opened, text, gallery, by_button=True)[0]
        except UserError as error:
            return self._refused_edit(opened, error)

    def _saved(
        self, opened: Sequence[Any], text: str, gallery: Any, by_button: bool = False
    ) -> tuple[Updates, list[Captioned]]:
        """Write what was typed; what is to be shown then, and all captions. Raises UserError with nothing written."""
        folder, name, as_read = Opened(*opened)[:3]
        self._save_typed(opened, text, again=by_button)
        captions = self._read(folder)
        now = find_captioned(self._folder(folder), name)
        index = [c.picture.name for c in captions].index(name)
        told = now.problem or (f"Saved: {now.file.name}." if by_button else "")
        updates = {**accepted(self.message, told), self.opened: self._opened(folder, now)}
        if now.text != text:  # tidied, or written by somebody else meanwhile, whose words must not be saved over later
            updates[self.text] = now.text
        if now.text != as_read:
            updates[self.tags] = self._counted(captions)
            updates.update(self._undoable(folder))
            if gallery and index < len(gallery):
                rows = [(row[0], row[1]) for row in gallery]
                rows[index] = (rows[index][0], words_below(now))
                updates[self.gallery] = gr.update(value=rows)
        return updates, captions

    # ---- all pictures

    def replace_everywhere(self, opened: Sequence[Any], text: str, find: str, replacement: str) -> Updates:
        """Replace a text in all captions of the open dataset."""
        return self._change(opened, text, lambda: replacing(find, replacement), f"'{find}' replaced by '{replacement}'")

    def add_everywhere(self, opened: Sequence[Any], text: str, tag: str, at_front: bool) -> Updates:
        """Add tags to all captions of the open dataset, where they are not there yet."""
        return self._change(opened, text, lambda: adding(tag, at_front), f"'{tag}' added to all")

    def remove_everywhere(self, opened: Sequence[Any], text: str, tag: str) -> Updates:
        """Take tags out of all captions of the open dataset."""
        return self._change(opened, text, lambda: removing(tag), f"'{tag}' removed from all")

    def _change(
        self, opened: Sequence[Any], text: str, make: Callable[[], Callable[[str], str]], title: str
    ) -> Updates:
        folder, picture = Opened(*opened)[:2]
        try:
            self._save_typed(opened, text)
            changed, _ = change_captions(self._folder(folder, to_write=True), make(), title)
        except UserError as error:
            return self._refused_edit(opened, error)
        return self.open(folder, f"Changed {changed} caption{'s' * (changed != 1)}.", picture)

    def undo_last(self, opened: Sequence[Any], text: str) -> Updates:
        """Take the last edit of the open dataset back, whoever made it."""
        folder, picture = Opened(*opened)[:2]
        try:
            if _is_typed(opened, text):
                raise UserError(
                    f"What you typed for '{picture}' is not saved yet.",
                    "Press Save first, or take it back in the box with Ctrl+Z.",
                )
            told = undo_edit(self._folder(folder, to_write=True))
        except UserError as error:
            return refused(error, self.message)
        return self.open(folder, told, picture)


def _shortened(title: str) -> str:
    return title if len(title) <= SHOWN_TITLE else title[: SHOWN_TITLE - 3] + "..."


def _is_typed(opened: Sequence[Any], text: str) -> bool:
    """Whether the caption box holds something that was not read from the picture's file."""
    shown = Opened(*opened)
    return bool(shown.picture) and text != shown.caption


def _selected(update: Any, index: int) -> Any:
    selected = index if index < GALLERY_PICTURES else None
    return gr.update(**{**(update if isinstance(update, dict) else {}), "selected_index": selected})
