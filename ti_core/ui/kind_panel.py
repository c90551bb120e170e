"""In the Create embedding tab: what kind of word it is, the lines of a slider, and the pictures that a negative or a
slider word is trained on.
"""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import gradio as gr

from ti_core.data.bad_pictures import keep_bad
from ti_core.data.images import find_images
from ti_core.errors import UserError
from ti_core.settings import CreateSettings, PaintDatasetSettings
from ti_core.settings.word_kind import NEGATIVE, ORDINARY, SLIDER
from ti_core.training.kind_presets import BAD_PROMPTS, PAINTED, PAINTED_BADLY, VECTORS, painted_prompts
from ti_core.training.presets import dataset_folder
from ti_core.ui.app_context import AppContext
from ti_core.ui.server.roles import check_may_train, read_only
from ti_core.ui.thumbnails import picture_tag
from ti_core.ui.widgets import DIRECT, Form, Updates, submitted, wire_order

LINES = (("slider_on",), ("slider_more", "slider_less"), ("slider_keep",))
OF_WORD = ("name", "kind", "slider_on", "slider_more", "slider_less", "slider_keep")
OF_PICTURES = ("prompts", "count", "seed", "checkpoint", "vae", "prediction_type", "precision", "clip_skip")
"""What painting needs: of the form `create`, and of its own fields and the checkpoint's."""
MOST_SHOWN, SHOWN_PX = 100, 96
BAD_PICTURES = Path(__file__).with_name("bad_pictures.js").read_text(encoding="utf-8")


class KindPanel:
    """Fields of the form `create` that depend on the kind of word, and the order of pictures for it."""

    def __init__(self, context: AppContext, create: Form) -> None:
        self.context, self.create = context, create
        create.add("kind")
        with gr.Column(visible=False, elem_id="create_slider") as self.slider:
            for names in LINES:
                create.add(*names)

    def build_painting(self, model: dict[str, Any], my_job: Any, message: Any) -> None:
        """What lies below the button that creates: the pictures."""
        self.form = Form(PaintDatasetSettings, "paint")
        with gr.Column(visible=False, elem_id="create_painting") as self.painting:
            self.hint = gr.HTML("", elem_id="create_painting_hint")
            self.form.add("prompts")
            self.form.add("count", "seed")
            with gr.Row(elem_classes="actions"):
                self.button = gr.Button("Paint pictures", elem_id="create_paint")
            self.pictures = gr.HTML(
                "", js_on_load=BAD_PICTURES, server_functions=[self._keep_bad()], elem_id="create_bad_pictures"
            )
        widgets = self.create.widgets
        own = self.form.widgets
        of_pictures = [own[name] if name in own else model[name] for name in OF_PICTURES]

        def start(*given: Any) -> Updates:
            return submitted(lambda: self._order(*given), my_job, message)

        wire_order(self.button, start, [*(widgets[name] for name in OF_WORD), *of_pictures], my_job, message)
        shown = [self.slider, self.painting, self.hint, self.pictures, own["prompts"], own["count"]]
        seen = [widgets[name] for name in ("name", "kind", "vectors")]
        widgets["kind"].change(self.show, seen, [*shown, widgets["vectors"]], **DIRECT)

    # ---- what is shown

    @read_only
    def show(self, name: str | None, kind: str | None, vectors: float | None = None) -> Updates:
        """The fields of the kind that is chosen. A single vector, which suits a face, becomes two."""
        is_negative = kind == NEGATIVE
        hint = HINTS.get(kind or "", "")
        return {
            self.slider: gr.update(visible=kind == SLIDER),
            self.painting: gr.update(visible=kind in (NEGATIVE, SLIDER)),
            self.hint: f'<p class="hint">{html.escape(hint)}</p>',
            self.pictures: self.pictures_of(name, kind),
            self.form.widgets["prompts"]: gr.update(value=BAD_PROMPTS if is_negative else "", visible=is_negative),
            self.create.widgets["vectors"]: VECTORS if kind in (NEGATIVE, SLIDER) and vectors == 1 else vectors,
            self.form.widgets["count"]: PAINTED_BADLY if is_negative else PAINTED,
        }

    @read_only
    def pictures_of(self, name: str | None, kind: str | None) -> str:
        """HTML: the pictures that may be marked, which only a negative word has."""
        return self.bad_pictures(name or "") if kind == NEGATIVE else ""

    def bad_pictures(self, name: str) -> str:
        """HTML: the pictures of a negative word's dataset, all ticked as bad; empty where there are none."""
        try:
            folder = dataset_folder(name) if name.strip() else ""
            pictures = find_images(self.context.workspace.root / folder) if folder else []
        except UserError:
            return ""
        if not pictures:
            return ""
        drawn = "".join(
            '<button type="button" class="bad-picture" aria-pressed="true"'
            f' data-name="{html.escape(path.name, quote=True)}"'
            f' aria-label="Bad: {html.escape(path.name, quote=True)}">{picture_tag(path, SHOWN_PX, "")}</button>'
            for path in pictures[:MOST_SHOWN]
        )
        where = html.escape(json.dumps(folder), quote=True)
        return (
            f'<div class="bad-pictures" data-folder="{where}">'
            f'<p class="hint">Marked pictures of {html.escape(folder)} are bad. Click those that are good, then keep'
            " the bad ones.</p>"
            f'<div class="shown" role="group" aria-label="Painted pictures">{drawn}</div>'
            '<button type="button" class="keep-bad">Keep the bad ones</button>'
            '<p class="kept" role="status"></p></div>'
        )

    # ---- what is done

    def _order(self, *given: Any) -> str:
        """Queue the painting. Raises UserError."""
        words, painted = given[: len(OF_WORD)], dict(zip(OF_PICTURES, given[len(OF_WORD) :], strict=True))
        create = CreateSettings.from_dict(dict(zip(OF_WORD, words, strict=True)))
        create.check()
        painted |= {"destination_directory": dataset_folder(create.name), "badly": create.kind == NEGATIVE}
        if create.kind == SLIDER:
            painted["prompts"] = "\n".join(painted_prompts(create.word_kind))
        return self.context.order_form("paint_dataset", painted)

    def _keep_bad(self) -> Any:
        def keep_bad_pictures(asked: Any) -> dict[str, Any]:
            return self.keep(asked)

        return keep_bad_pictures

    def keep(self, asked: Any) -> dict[str, Any]:
        """What "Keep the bad ones" answers. `asked` comes from outside, so it may be anything."""
        folder, bad = (asked.get("folder"), asked.get("bad")) if isinstance(asked, dict) else (None, None)
        workspace = self.context.workspace
        try:
            check_may_train()
            if not isinstance(folder, str) or not isinstance(bad, list):
                raise UserError("These pictures are not there any more.", "Paint them again.")
            place = workspace.writable_folder(folder, "Folder of the pictures")
            if place == workspace.root.resolve():  # the good ones go beside it, which is outside
                raise UserError("The workspace itself is no dataset.", "Choose a folder inside it.")
            moved, target = keep_bad(place, {name for name in bad if isinstance(name, str)})
            where = workspace.shown(target)
            text = f"{moved} good pictures moved to {where}." if moved else "All of them stay."
            text = f"1 good picture moved to {where}." if moved == 1 else text
            return {"done": True, "text": text}
        except UserError as error:
            return {"done": False, "text": workspace.without_paths(str(error))}


HINTS = {
    ORDINARY: "",
    NEGATIVE: (
        "A negative word learns from bad pictures: put yours through Preprocess images, or let the checkpoint paint"
        " badly here and keep those that went wrong. Then train it with the preset Negative word."
    ),
    SLIDER: (
        "A slider needs no photos: the checkpoint paints the pictures that it is trained on. Or put your own through"
        " Preprocess images. Then train it with the preset Slider word."
    ),
}
