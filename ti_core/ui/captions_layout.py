"""The Captions tab's components and what they show: the gallery, one picture with its caption, and the changes of
all captions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from ti_core.data.caption_edits import Captioned, count_tags, dataset_folders, state_of_picture
from ti_core.data.images import find_images
from ti_core.data.kept_captions import KeptCaptions
from ti_core.ui.app_context import AppContext
from ti_core.ui.findings_panel import FindingsPanel
from ti_core.ui.kept_forms import browser_state
from ti_core.ui.mask_panel import MaskPanel
from ti_core.ui.thumbnails import figure, thumbnail, words_below
from ti_core.ui.widgets import Updates, disk_dropdown, message_box

NOTHING_TO_UNDO = "Nothing to undo"
TAGS_LABEL = "How often each tag occurs: click one to use it, or its cross to remove it"
REMOVE = "\u00d7"
"""In the list of tags: takes the tag out of the captions."""
PAGE_PICTURES = 36
"""So many pictures of a folder are in the gallery at once: those around the open one."""
TAGS_LISTED = 300
"""Captions that are sentences have thousands of tags."""
THUMBNAIL_PX, LARGE_PX = 256, 768


class Opened(NamedTuple):
    """What the caption box belongs to: folder, name of the picture, its caption as it was read, and the picture's
    state then.

    `found` is set after a refused edit: what somebody else had written meanwhile, which the next Save replaces.
    """

    folder: str = ""
    picture: str = ""
    caption: str = ""
    state: str = ""
    found: str | None = None


class CaptionsLayout:
    """The components of the tab, without what they do. `opened` travels with the text from the browser."""

    def __init__(self, context: AppContext) -> None:
        self.context = context
        self.captions = KeptCaptions()
        self.opened = gr.JSON(list(Opened()), visible=False)
        self.arrived = gr.Textbox("", visible=False)
        """The dataset that was just preprocessed, until `follow` has taken it."""
        self.drafts = browser_state({}, "caption-drafts")
        """What was typed and is not saved yet, and the picture that was open last (`drafts.js`)."""
        self.settled = gr.JSON([], visible=False)
        """[folder, picture] of texts that the last answer has saved or told, so that they are drafts no more."""
        gr.Markdown(
            "Write what may change: clothes, place, light. Do not describe the face.",
            elem_classes="hint",
        )
        with gr.Row(equal_height=True, elem_classes="with-refresh"):
            self.folder = disk_dropdown(
                dataset_folders(context.workspace),
                value=None,
                label="Dataset folder",
                info="Choose a folder of pictures, or type its path. The newest comes first.",
                elem_id="captions_folder",
            )
            self.open_button = gr.Button("Open", min_width=70, scale=0, elem_id="captions_open")
        self._build_one_picture()
        self.message = message_box("captions_message")
        self.findings = FindingsPanel(context)
        self.masks = MaskPanel(context, self.message)
        self.gallery = gr.Gallery(
            label="Pictures and their captions: click one",
            visible=False,
            columns=6,
            height="auto",
            object_fit="contain",
            interactive=False,
            allow_preview=False,
            type="filepath",
            buttons=[],
            elem_id="captions_gallery",
            elem_classes="captioned",
        )
        with gr.Row(visible=False, elem_classes="actions") as self.pages:
            self.earlier = gr.Button("Earlier pictures", min_width=70, elem_id="captions_earlier")
            self.later = gr.Button("Later pictures", min_width=70, elem_id="captions_later")
        with gr.Accordion("Change all captions", open=True, visible=False, elem_id="captions_all") as self.all:
            self._build_changes()
        self.tags = gr.Dataframe(
            headers=["Tag", "Pictures", "Remove"],
            datatype=["str", "number", "str"],
            value=[],
            label=TAGS_LABEL,
            interactive=False,
            max_height=260,
            visible=False,
            column_widths=["62%", "20%", "18%"],
            elem_id="captions_tags",
        )

    def _build_changes(self) -> None:
        with gr.Row(equal_height=False, elem_classes="numbers"):
            self.find = gr.Textbox(
                label="Find", info="Text to look for, capital letters or not.", elem_id="captions_find"
            )
            self.replacement = gr.Textbox(
                label="Replace with",
                info="What stands there afterwards. Empty takes it out.",
                elem_id="captions_replacement",
            )
        with gr.Row(elem_classes="actions"):
            self.preview_button = gr.Button("Show what would change", elem_id="captions_preview")
            self.replace = gr.Button("Replace in all captions", elem_id="captions_replace")
        self.previewed = gr.HTML("", elem_id="captions_previewed")
        with gr.Row(equal_height=False):
            self.tag = gr.Textbox(
                label="Tag", info="One part of a caption, or several with commas.", elem_id="captions_tag"
            )
            self.at_front = gr.Checkbox(
                False, label="Add at the front", info="Otherwise a new tag comes last.", elem_id="captions_at_front"
            )
        with gr.Row(elem_classes="actions"):
            self.add = gr.Button("Add the tag to all", elem_id="captions_add")
            self.remove = gr.Button("Remove the tag from all", elem_id="captions_remove")
            self.prune = gr.Button("Remove tags of looks (hair, eyes, ...)", elem_id="captions_prune")
        self._build_marks()

    def _build_marks(self) -> None:
        """Which pictures a change is for; none means all."""
        self.only = gr.Dropdown(
            [],
            value=[],
            multiselect=True,
            allow_custom_value=True,
            label="Only these pictures",
            info="Empty means all. Hold Ctrl and click pictures of the gallery to mark several.",
            elem_id="captions_only",
            elem_classes="of-several",
        )
        with gr.Row(elem_classes="actions"):
            self.mark_open = gr.Button("Mark the open picture", elem_id="captions_mark_open")
            self.mark_tag = gr.Button("Mark those with the tag", elem_id="captions_mark_tag")
        self.marks = gr.HTML(
            "",
            js_on_load=Path(__file__).with_name("captions_marks.js").read_text(encoding="utf-8"),
            marked=[],
            first=0,
            elem_id="captions_marks",
        )

    def _build_one_picture(self) -> None:
        with gr.Row(visible=False, equal_height=False) as self.one:
            with gr.Column(min_width=280, scale=3):
                self.picture = gr.HTML(elem_id="captions_picture")  # gr.Image wraps it in a button without a name
            with gr.Column(min_width=240, scale=2):
                self.text = gr.Textbox(
                    label="Caption",
                    info=(
                        "Parts with commas or new lines between them. Choosing another picture saves what you changed."
                    ),
                    lines=6,
                    elem_id="captions_text",
                )
                self.note = gr.Markdown("", elem_id="captions_note", elem_classes="hint")
                self.in_step = gr.Checkbox(
                    True,
                    label="Keep the mirrored copy in step",
                    info="It gets the same words, with left and right exchanged.",
                    elem_id="captions_in_step",
                )
                with gr.Row(elem_classes="actions"):
                    self.previous = gr.Button("Previous", min_width=70, elem_id="captions_previous")
                    self.save = gr.Button("Save", variant="primary", min_width=70, elem_id="captions_save")
                    self.next = gr.Button("Next", min_width=70, elem_id="captions_next")
                with gr.Row(elem_classes="actions"):
                    self.delete = gr.Button("Delete to the bin", min_width=70, elem_id="captions_delete")
                    self.put_back_button = gr.Button(
                        "Put back what was deleted", visible=False, min_width=70, elem_id="captions_put_back"
                    )
                with gr.Row(elem_classes="actions"):
                    self.discard = gr.Button("Discard what I typed", min_width=70, elem_id="captions_discard")
                    self.undo = gr.Button(
                        NOTHING_TO_UNDO, visible=False, interactive=False, min_width=70, elem_id="captions_undo"
                    )

    # ---- what they show

    def _hidden(self) -> Updates:
        parts = (self.gallery, self.pages, self.one, self.all, self.tags, self.undo, self.put_back_button)
        hidden = {part: gr.update(visible=False) for part in (*parts, self.masks.fold)}
        return {**hidden, self.findings.html: self.findings.shown("", "")}

    def _all_shown(self, captions: Sequence[Captioned], index: int) -> Updates:
        """A folder's pictures, with the one of that index chosen."""
        return {
            **self._page_shown(captions, index),
            self.one: gr.update(visible=True),
            self.all: gr.update(visible=True),
            self.masks.fold: gr.update(visible=True),
            self.tags: self._counted(captions),
        }

    def _page_shown(self, captions: Sequence[Captioned], index: int) -> Updates:
        """The page of pictures that the one of that index is on."""
        first, total = first_of_page(index), len(captions)
        page = captions[first : first + PAGE_PICTURES]
        count = f"{total}" if total <= PAGE_PICTURES else f"{first + 1} to {first + len(page)} of {total}"
        return {
            self.gallery: gr.update(
                value=[(thumbnail(c.picture, THUMBNAIL_PX), words_below(c)) for c in page],
                visible=True,
                label=f"Pictures and their captions ({count}): click one",
                selected_index=index - first,
            ),
            self.pages: gr.update(visible=total > PAGE_PICTURES),
            self.marks: gr.update(first=first),
            self.only: gr.update(choices=[c.picture.name for c in page]),
        }

    def _one_shown(self, folder: str, captions: Sequence[Captioned], index: int, read_again: bool = False) -> Updates:
        """The picture of that index; `read_again` where the folder may hold others than before."""
        one = captions[index]
        return {
            self.opened: self._opened(folder, one),
            self.text: one.text,
            self.picture: figure(one.picture, LARGE_PX, one.picture.name),
            self.findings.html: self.findings.shown(folder, one.picture.name, first_of_page(index), read_again),
        }

    def _opened(self, folder: str, captioned: Captioned) -> list[Any]:
        return list(Opened(folder, captioned.picture.name, captioned.text, state_of_picture(captioned.picture)))

    def _counted(self, captions: Sequence[Captioned]) -> Any:
        counts = count_tags(c.caption for c in captions)
        rows, label = [[*row, REMOVE] for row in counts[:TAGS_LISTED]], TAGS_LABEL
        if len(counts) > TAGS_LISTED:
            label = (
                f"How often each tag occurs (the {TAGS_LISTED} most frequent of {len(counts)}): click one to use it,"
                " or its cross to remove it"
            )
        return gr.update(value=rows, visible=True, label=label)

    def _picture_names(self, folder: Path) -> list[str]:
        """In the order of the gallery."""
        return [picture.name for picture in find_images(folder)]


def first_of_page(index: int) -> int:
    """The index of the first picture on the page that the picture of that index is on."""
    return index // PAGE_PICTURES * PAGE_PICTURES
