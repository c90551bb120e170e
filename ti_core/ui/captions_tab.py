"""The Captions tab: look at a dataset's pictures and their words, and correct them one by one or all at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ti_core.data.caption_edits import (
    Captioned,
    ChangedMeanwhile,
    dataset_folders,
    find_captioned,
    find_twin,
    save_caption,
)
from ti_core.data.caption_undo import editing, last_edit
from ti_core.data.captions import CaptionFiles, mirrored_caption
from ti_core.data.picture_bin import deleted_pictures
from ti_core.errors import UserError, about
from ti_core.ui.captions_changes import CaptionChanges
from ti_core.ui.captions_layout import NOTHING_TO_UNDO, PAGE_PICTURES, Opened, first_of_page
from ti_core.ui.drafts import KEEP, KEEP_PASTED, SETTLE, last_place, waiting_drafts
from ti_core.ui.part import JobEnd, PageContext, Part
from ti_core.ui.server.roles import check_may_train, read_only
from ti_core.ui.widgets import EACH_TIME, QUEUED, Updates, accepted, refused

SHOWN_TITLE = 60
"""Characters of an edit's title on the button that undoes it."""

HOLD_CAPTION = """(arrived, ...rest) => {
  const box = document.querySelector("#captions_text textarea");
  // what is typed until the answer would be lost, or stand with another picture
  if (arrived && box) box.readOnly = true;
  window.captionAnswersDue = (window.captionAnswersDue ?? 0) + 1;
  return [arrived, ...rest];
}"""
RELEASE_CAPTION = """() => {
  const box = document.querySelector("#captions_text textarea");
  window.captionAnswersDue -= 1;
  if (box && !window.captionAnswersDue) box.readOnly = false;
}"""


class CaptionsTab(CaptionChanges, Part):
    """What is typed is saved when another picture is chosen, unless the caption or the picture is another by then.

    `opened` travels with the text from the browser: kept here, it would be that of the next picture when somebody
    clicks faster than the network is.
    """

    id, title = "captions", "Captions"
    kinds = ("masks",)

    def __init__(self, page: PageContext) -> None:
        super().__init__(page.app)
        self._wire()

    def _wire(self) -> None:
        self.shown = shown = [
            self.opened,
            self.arrived,
            self.folder,
            self.gallery,
            self.pages,
            self.marks,
            self.one,
            self.picture,
            self.text,
            self.all,
            self.tags,
            self.tag,
            self.only,
            self.previewed,
            self.undo,
            self.put_back_button,
            self.masks.fold,
            self.findings.html,
            self.message,
            self.settled,
        ]
        self.to_enter = [self.opened, self.folder, self.drafts]
        self.to_follow = [self.arrived, self.opened, self.text, self.in_step]
        typed = [self.opened, self.text]
        edited = [*typed, self.in_step]
        for event, handler, given in (
            (self.open_button.click, self.open_other, [*typed, self.folder, self.in_step]),
            (self.folder.input, self.open_other, [*typed, self.folder, self.in_step]),
            (self.gallery.select, self.pick, edited),
            (self.findings.html.open_found, self.open_found, edited),
            (self.save.click, self.save_one, edited),
            (self.previous.click, self.go_back, edited),
            (self.next.click, self.go_on, edited),
            (self.earlier.click, self.go_to_earlier, edited),
            (self.later.click, self.go_to_later, edited),
            (self.discard.click, self.take_back, [self.opened]),
        ):
            self.settle_after(event(handler, given, shown, **QUEUED))
        self._wire_changes(shown)
        kept = [self.opened, self.text, self.drafts]
        for event, script in ((self.text.input, KEEP), (self.text.change, KEEP_PASTED)):
            event(None, kept, [self.drafts, self.note], js=script, show_progress="hidden")

    def settle_after(self, answered: Any) -> None:
        """Call for every event that changes what is shown: what was typed before comes back, and is kept on."""
        drafts = [self.opened, self.text, self.drafts, self.settled]
        answered.then(None, drafts, [*drafts, self.note], js=SETTLE, show_progress="hidden", **EACH_TIME)

    def wire(self, page: PageContext) -> None:
        """The tab reads the disk when it is chosen. It opens a dataset that was just made; what is typed there
        meanwhile is saved first.
        """
        self.settle_after(self.item.select(self.enter, self.to_enter, self.shown, **QUEUED))
        often = {**QUEUED, **EACH_TIME}
        followed = page.job_ended.then(self.follow, self.to_follow, self.shown, js=HOLD_CAPTION, **often)
        released = followed.then(None, None, None, js=RELEASE_CAPTION, **EACH_TIME)
        self.settle_after(released)
        self.masks.wire(self.opened, self.in_step, page.my_job)
        arrived = [self.opened, self.folder, self.message, page.kept_tab]
        self.settle_after(released.then(self.arrive, arrived, self.shown, **often))

    @property
    def gives(self) -> list[Any]:
        return [self.arrived]

    def on_job_finished(self, end: JobEnd, *given: Any) -> Updates:
        """The new dataset is opened next."""
        made = end.result_of("preprocess")
        return {self.arrived: made} if made else {}

    # ---- one folder

    @read_only
    def enter(self, opened: Sequence[Any], folder: str | None, kept: Any = None) -> Updates:
        """The tab is chosen: fresh lists, and if none is open yet the dataset and picture that this browser had open
        last, else the newest. `kept` comes from the browser.
        """
        folders = dataset_folders(self.context.workspace)
        last, picture = last_place(kept)
        wanted = folder or (last if last in folders else next(iter(folders), ""))
        if not wanted:
            return accepted(
                self.message, "There is no dataset yet. Preprocess your photos first, or type the path of a folder."
            )
        if Opened(*opened).folder == wanted:
            return {self.folder: gr.update(choices=folders)}
        drafts = [place for place in waiting_drafts(kept) if place != f"{wanted}/{picture}"]
        message = f"Typed and not saved yet: {', '.join(drafts[:5])}{', ...' * (len(drafts) > 5)}." if drafts else ""
        opening = self.open(wanted, message, picture if wanted == last else "")
        return {**opening, self.folder: gr.update(choices=folders, value=wanted)}

    @read_only
    def open_other(self, opened: Sequence[Any], text: str, folder: str | None, in_step: bool = True) -> Updates:
        """Another folder is chosen. What was typed before is saved, by those who may; what was refused before is
        told once more.
        """
        if Opened(*opened).found is not None and _is_typed(opened, text):
            message = (
                f"Not saved for {Opened(*opened).picture} of {Opened(*opened).folder}. Copy it from here if you need"
                f" it:\n{text}"
            )
            return {**self.open(folder, message), **self._settled(opened), **self._unmarked()}
        try:
            if _is_typed(opened, text):
                check_may_train()
                self._save_typed(opened, text, in_step)
        except UserError as error:
            return self._refused_edit(opened, error)
        return {**self.open(folder), **self._settled(opened), **self._unmarked()}

    @read_only
    def take_back(self, opened: Sequence[Any]) -> Updates:
        """Drop what was typed, and show what is in the file now."""
        folder, picture = Opened(*opened)[:2]
        return {**self.open(folder, "", picture), **self._settled(opened)}

    def _settled(self, opened: Sequence[Any]) -> Updates:
        folder, picture = Opened(*opened)[:2]
        return {self.settled: [[folder, picture]]}

    @read_only
    def follow(self, folder: str, opened: Sequence[Any], text: str, in_step: bool = True) -> Updates:
        """A preprocessing that this page ordered has ended: its dataset is chosen, because what is typed next is
        meant for it.

        What was typed for the one before is saved there; where that is refused, it stays open. The folder is read
        by `arrive`, or when the tab is chosen.
        """
        if not folder:  # nor may this answer take away what has arrived meanwhile
            return {self.arrived: gr.update()}
        message = ""
        try:
            if _is_typed(opened, text):
                check_may_train()
                message = f"{self._save_typed(opened, text, in_step)[:-1]} of {Opened(*opened).folder}."
        except UserError as error:
            return {self.arrived: "", **self._refused_edit(opened, error)}
        chosen = gr.update(choices=dataset_folders(self.context.workspace), value=folder)
        return {
            self.arrived: "",
            self.opened: list(Opened()),
            self.text: "",
            self.folder: chosen,
            **self._hidden(),
            **self._unmarked(),
            **accepted(self.message, message),
            **self._settled(opened),
        }

    @read_only
    def arrive(self, opened: Sequence[Any], folder: str | None, message: str, tab: str) -> Updates:
        """Open what `follow` has chosen if this tab is in front by now."""
        if tab != "captions" or Opened(*opened).folder or not folder:
            return {self.message: gr.update()}
        return self.open(
            folder, "\n".join(filter(None, [message, f"Now open: {folder}, which was just preprocessed."]))
        )

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
        message = "\n".join([*([text] if text else []), *(c.problem for c in captions if c.problem)])
        return {
            **self._all_shown(captions, index),
            **self._one_shown(folder or "", captions, index, read_again=True),
            **self._undoable(folder or ""),
            self.put_back_button: gr.update(
                visible=bool(deleted_pictures(self._folder(folder or ""), self.context.workspace))
            ),
            **accepted(self.message, message),
        }

    def _unmarked(self) -> Updates:
        return {self.only: gr.update(value=[]), self.previewed: ""}

    def _folder(self, folder: str, to_write: bool = False) -> Path:
        find = self.context.workspace.writable_folder if to_write else self.context.workspace.folder
        with about("folder"):
            return find(folder, "Dataset folder")

    def _read(self, folder: str) -> list[Captioned]:
        with about("folder"):
            return self.captions.read(self._folder(folder))

    def _undoable(self, folder: str) -> Updates:
        """The button says what it takes back."""
        title = last_edit(self._folder(folder))
        return {
            self.undo: gr.update(
                value=f"Undo: {_shortened(title)}" if title else NOTHING_TO_UNDO, interactive=bool(title), visible=True
            )
        }

    def _save_typed(self, opened: Sequence[Any], text: str, in_step: bool, again: bool = False) -> str:
        """Write the caption if it was changed here, with that of its mirrored copy, and give a sentence. Raises
        UserError where caption or picture are others meanwhile.

        `again` replaces what somebody else wrote, where that was told before.
        """
        shown = Opened(*opened)
        if not _is_typed(opened, text):
            return ""
        expected = shown.found if again and shown.found is not None else shown.caption
        folder = self._folder(shown.folder, to_write=True)
        with editing:  # listed once, and by nobody changed until it is saved
            files = CaptionFiles.of(folder)
            twin = find_twin(folder, shown.picture, files) if in_step else None
            file = save_caption(folder, shown.picture, text, expected, shown.state, in_step, files)
        if twin is None or twin.problem:
            return f"Saved: {file.name}."
        was_other = twin.text not in (mirrored_caption(shown.caption), mirrored_caption(text.strip()))
        return f"Saved: {file.name} and its mirrored copy {twin.file.name}" + (
            f", which was '{_shortened(twin.text)}'. Undo brings both back." if was_other else "."
        )

    def _refused_edit(self, opened: Sequence[Any], error: UserError) -> Updates:
        """The text stays in its box. After somebody else's edit the next Save replaces it."""
        found = error.now if isinstance(error, ChangedMeanwhile) else Opened(*opened).found
        return {self.opened: list(Opened(*opened)._replace(found=found)), **refused(error, self.message)}

    # ---- one picture

    def pick(self, opened: Sequence[Any], text: str, in_step: bool, event: gr.SelectData) -> Updates:
        """Save what was typed, and show the picture that was clicked, which is on the page of the open one."""
        return self.move(opened, text, in_step, lambda at, count: first_of_page(at) + int(event.index))

    def open_found(self, opened: Sequence[Any], text: str, in_step: bool, event: gr.EventData) -> Updates:
        """Save what was typed, and show the picture of a finding."""
        names = self._names(opened)
        if event.name not in names:  # deleted meanwhile
            return accepted(self.message)
        to = names.index(event.name)
        return self.move(opened, text, in_step, lambda at, count: to)

    def go_back(self, opened: Sequence[Any], text: str, in_step: bool = True) -> Updates:
        """Save what was typed, and show the picture before."""
        return self.move(opened, text, in_step, lambda at, count: (at - 1) % count)

    def go_on(self, opened: Sequence[Any], text: str, in_step: bool = True) -> Updates:
        """Save what was typed, and show the next picture."""
        return self.move(opened, text, in_step, lambda at, count: (at + 1) % count)

    def go_to_earlier(self, opened: Sequence[Any], text: str, in_step: bool = True) -> Updates:
        """Save what was typed, and show the page of pictures before; before the first comes the last."""
        return self.move(opened, text, in_step, lambda at, count: first_of_page((first_of_page(at) or count) - 1))

    def go_to_later(self, opened: Sequence[Any], text: str, in_step: bool = True) -> Updates:
        """Save what was typed, and show the next page of pictures; after the last comes the first."""

        def next_page(at: int, count: int) -> int:
            first = first_of_page(at) + PAGE_PICTURES
            return first if first < count else 0

        return self.move(opened, text, in_step, next_page)

    def move(self, opened: Sequence[Any], text: str, in_step: bool, target: Callable[[int, int], int]) -> Updates:
        """Save what was typed and show another picture: `target` gives its index from that of the open one and the
        number of all.
        """
        folder, name = Opened(*opened)[:2]
        try:
            updates, captions = self._saved(opened, text, in_step)
        except UserError as error:  # stay
            return self._refused_edit(opened, error)
        at = next(i for i, each in enumerate(captions) if each.picture.name == name)
        index = max(0, min(len(captions) - 1, target(at, len(captions))))
        if index == at:  # the gallery also tells of a choice that was made here
            return updates
        shown = {**self._one_shown(folder, captions, index), **accepted(self.message, captions[index].problem)}
        if self.gallery in updates or first_of_page(index) != first_of_page(at):
            return {**updates, **shown, **self._page_shown(captions, index)}
        return {**updates, **shown, self.gallery: gr.update(selected_index=index - first_of_page(index))}

    def save_one(self, opened: Sequence[Any], text: str, in_step: bool = True) -> Updates:
        """Write the caption if it was changed here, and show what is in the file now."""
        try:
            return self._saved(opened, text, in_step, by_button=True)[0]
        except UserError as error:
            return self._refused_edit(opened, error)

    def _saved(
        self, opened: Sequence[Any], text: str, in_step: bool, by_button: bool = False
    ) -> tuple[Updates, list[Captioned]]:
        """Write what was typed; what is to be shown then, and all captions. Raises UserError with nothing written."""
        folder, name, as_read = Opened(*opened)[:3]
        saved = self._save_typed(opened, text, in_step, again=by_button)
        captions = self._read(folder)
        at = next((i for i, each in enumerate(captions) if each.picture.name == name), -1)
        now = captions[at] if at >= 0 else find_captioned(self._folder(folder), name)  # which says what is wrong
        message = now.problem or ((saved or f"Saved: {now.file.name}.") if by_button else "")
        updates = {**accepted(self.message, message), self.opened: self._opened(folder, now)}
        if text != as_read:  # else what was typed may wait in the browser: an answer took it out of the box just now
            updates.update(self._settled(opened))
        if now.text != text:  # tidied, or written by somebody else meanwhile, whose words must not be saved over later
            updates[self.text] = now.text
        if now.text != as_read:
            updates[self.tags] = self._counted(captions)
            updates.update(self._undoable(folder))
            updates.update(self._page_shown(captions, at))  # the mirrored copy has other words too
        return updates, captions


def _shortened(title: str) -> str:
    return title if len(title) <= SHOWN_TITLE else title[: SHOWN_TITLE - 3] + "..."


def _is_typed(opened: Sequence[Any], text: str) -> bool:
    """Whether the caption box holds something that was not read from the picture's file."""
    shown = Opened(*opened)
    return bool(shown.picture) and text != shown.caption
