"""The mask of the picture that is open in the Captions tab: shown over it, made from the face, and painted by hand."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from ti_core.data.caption_edits import find_captioned
from ti_core.data.images import open_rgb
from ti_core.data.masks import MASK_SHAPES
from ti_core.data.painted_masks import (
    OPACITY,
    PAINT,
    found_mask,
    keep_mask,
    kept_mask,
    make_masks,
    mask_of_paint,
    overlay_of,
)
from ti_core.errors import UserError, about
from ti_core.events import Emit
from ti_core.ui.app_context import AppContext
from ti_core.ui.server.roles import check_may_train, read_only
from ti_core.ui.widgets import QUEUED, Updates, accepted, refused, submitted, wire_order

EDITED_PX = 1024
"""A larger picture is painted on in a smaller copy."""
HEAD, HEAD_AND_SHOULDERS = MASK_SHAPES
COLOUR = "#{:02x}{:02x}{:02x}".format(*PAINT)


class MaskPanel:
    """A fold with the editor. It reads the picture when it is opened, and when another picture is chosen while it is
    open; what was painted is saved by its button, and before another picture is read.
    """

    def __init__(self, context: AppContext, message: Any) -> None:
        self.context, self.message = context, message
        with gr.Accordion("Mask of this picture", open=False, visible=False, elem_id="captions_mask") as self.fold:
            gr.Markdown(
                "Paint what counts, such as the person. The rest counts little if Use masks as loss weight is"
                " ticked in the Train tab.",
                elem_classes="hint",
            )
            self.editor = gr.ImageEditor(
                type="pil",
                image_mode="RGBA",
                format="png",
                sources=(),
                transforms=(),
                layers=False,
                brush=gr.Brush(default_size=24, colors=[(COLOUR, OPACITY)], color_mode="fixed"),
                eraser=gr.Eraser(default_size=24),
                canvas_size=(512, 512),
                height=460,
                buttons=[],
                show_label=False,
                elem_id="captions_mask_editor",
            )
            with gr.Row(elem_classes="actions"):
                self.save = gr.Button("Save the mask", variant="primary", min_width=90, elem_id="captions_mask_save")
                self.head = gr.Button("From the face: head", min_width=90, elem_id="captions_mask_head")
                self.shoulders = gr.Button("Head and shoulders", min_width=90, elem_id="captions_mask_shoulders")
                self.clear = gr.Button("No mask", min_width=70, elem_id="captions_mask_clear")
            with gr.Row(elem_classes="actions"):
                self.all_heads = gr.Button(
                    "Masks for all pictures without one: head", min_width=120, elem_id="captions_mask_all"
                )
                self.all_shoulders = gr.Button(
                    "The same with shoulders", min_width=120, elem_id="captions_mask_all_shoulders"
                )
        self.shown = gr.JSON(["", ""], visible=False)
        """[folder, name] of the picture in the editor."""
        self.is_open = gr.Checkbox(False, visible=False)
        self.is_painted = gr.Checkbox(False, visible=False)
        """Whether something was painted that is not saved."""

    def wire(self, opened: Any, in_step: Any, my_job: Any) -> None:
        """`opened` is the Captions tab's: folder and name of the picture that is open come first in it."""
        self.my_job = my_job
        state = [self.shown, self.is_painted]
        given = [opened, self.is_open, in_step, *state, self.editor]
        changed = [self.editor, *state, self.message]
        opened_fold = self.fold.expand(read_only(lambda: True), None, self.is_open, **QUEUED)
        opened_fold.then(self.follow, given, changed, **QUEUED)
        self.fold.collapse(read_only(lambda: False), None, self.is_open, **QUEUED)
        opened.change(self.follow, given, changed, **QUEUED)
        self.editor.input(None, None, self.is_painted, js="() => true", show_progress="hidden")
        self.save.click(self.save_painted, [in_step, self.shown, self.editor], changed, **QUEUED)
        self.clear.click(self.remove, [in_step, self.shown], changed, **QUEUED)
        for button, shape in ((self.head, HEAD), (self.shoulders, HEAD_AND_SHOULDERS)):
            button.click(self._maker(shape), self.shown, changed, **QUEUED)
        for button, shape in ((self.all_heads, HEAD), (self.all_shoulders, HEAD_AND_SHOULDERS)):
            wire_order(button, self._orderer(shape), [self.shown], my_job, self.message)

    # ---- one picture

    @read_only
    def follow(
        self, opened: Sequence[Any], is_open: bool, in_step: bool, shown: Any, is_painted: bool, editor: Any
    ) -> Updates:
        """Show the picture that is open now; what was painted on the one before is saved first, by those who may."""
        wanted = [str(part) for part in opened[:2]]
        if not is_open or wanted == list(shown) or not self._is_there(wanted):
            return {self.message: gr.update()}
        said = ""
        try:
            if is_painted and self._is_there(shown):
                check_may_train()
                said = self._keep(shown, editor, in_step)
            tells = said and not said.startswith("Nothing")  # what was pressed may have said something before
            message = accepted(self.message, said) if tells else {self.message: gr.update()}
            return {**self._shown(*wanted), **message}
        except UserError as error:
            return refused(error, self.message)

    def _is_there(self, shown: Any) -> bool:
        """A picture that was deleted meanwhile needs no mask."""
        try:
            return self._picture(*shown).exists()
        except UserError:
            return False

    def save_painted(self, in_step: bool, shown: Any, editor: Any) -> Updates:
        """Write the mask of the picture in the editor."""
        try:
            return {self.is_painted: False, **accepted(self.message, self._keep(shown, editor, in_step))}
        except UserError as error:
            return refused(error, self.message)

    def remove(self, in_step: bool, shown: Any) -> Updates:
        """Move the mask's file to the bin: all of the picture counts."""
        try:
            folder, name = shown
            picture = self._picture(folder, name, to_write=True)
            keep_mask(picture, Image.new("L", (1, 1)), self.context.workspace, in_step)
            return {**self._shown(*shown), **accepted(self.message, f"{picture.name} has no mask now.")}
        except UserError as error:
            return refused(error, self.message)

    def _maker(self, shape: str) -> Any:
        @read_only
        def make(shown: Any) -> Updates:
            """The mask of the found face, to look at, paint over and save."""
            from ti_core.data.faces import load_face_finder  # loads OpenCV

            try:
                image = open_rgb(self._picture(*shown))
                mask = found_mask(image, load_face_finder(self.context.workspace, lambda event: None), shape)
            except UserError as error:
                return refused(error, self.message)
            sentence = "Look at the mask, paint what is missing, and press Save the mask."
            return {
                self.editor: _painted_over(image, mask),
                self.is_painted: True,
                **accepted(self.message, sentence),
            }

        return make

    def _keep(self, shown: Any, editor: Any, in_step: bool) -> str:
        folder, name = shown
        picture = self._picture(folder, name, to_write=True)
        layers = editor.get("layers", []) if isinstance(editor, dict) else []
        mask = mask_of_paint(layers, open_rgb(picture).size)
        files = keep_mask(picture, mask, self.context.workspace, in_step)
        if not files:
            return f"Nothing is painted, so {picture.name} has no mask: all of it counts."
        return f"Saved: {', '.join(file.name for file in files)}."

    def _shown(self, folder: str, name: str) -> Updates:
        image = open_rgb(self._picture(folder, name))
        mask = kept_mask(self._picture(folder, name), image.size)
        return {
            self.editor: _painted_over(image, mask or Image.new("L", image.size)),
            self.shown: [folder, name],
            self.is_painted: False,
        }

    def _picture(self, folder: str, name: str, to_write: bool = False) -> Path:
        find = self.context.workspace.writable_folder if to_write else self.context.workspace.folder
        with about("folder"):
            return find_captioned(find(str(folder), "Dataset folder"), str(name)).picture

    # ---- all pictures

    def _orderer(self, shape: str) -> Any:
        def order(shown: Any) -> Updates:
            """Order masks for all pictures of the folder that have none."""
            folder = str(shown[0])

            def work(emit: Emit, stop: threading.Event) -> None:
                from ti_core.data.faces import load_face_finder

                place = self.context.workspace.writable_folder(folder, "Dataset folder")
                make_masks(place, shape, load_face_finder(self.context.workspace, emit), emit, stop)

            return submitted(
                lambda: self.context.submit("masks", f"Masks of {Path(folder).name}", work), self.my_job, self.message
            )

        return order


def _painted_over(image: Image.Image, mask: Image.Image) -> dict[str, Any]:
    """What the editor shows."""
    image, mask = image.copy(), mask.copy()
    for each in (image, mask):
        each.thumbnail((EDITED_PX, EDITED_PX))
    layer = overlay_of(mask)
    composite = Image.alpha_composite(image.convert("RGBA"), layer)
    return {"background": image, "layers": [layer], "composite": composite}
