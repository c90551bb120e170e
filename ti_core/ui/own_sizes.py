"""The sizes that go with the checkpoint's pictures, in all forms: another checkpoint brings its own, and what was typed
stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from ti_core.checkpoints.facts import SIZES_PX
from ti_core.checkpoints.library import find_checkpoint
from ti_core.errors import UserError
from ti_core.settings import PORTRAITS
from ti_core.ui.app_context import AppContext
from ti_core.ui.kept_forms import browser_state
from ti_core.ui.server.roles import read_only
from ti_core.ui.widgets import DIRECT, Form, Updates


class OwnSizes:
    """`fields` are the widgets that follow the checkpoint, each with its option, which knows the value that goes with a
    size of the checkpoint's pictures (px).
    """

    def __init__(self, context: AppContext, checkpoint: Any, forms: Sequence[Form]) -> None:
        self.context = context
        self.own_px = browser_state(0, "own-size")
        """The own size of the checkpoint that the sizes of the forms belong to: what differs was typed."""
        self.fields = [
            (form.widgets[name], option)
            for form in forms
            for name, option in form.settings.options().items()
            if option.of_size
        ]
        changed = [self.own_px, *self.widgets]
        checkpoint.input(self.follow_checkpoint, [checkpoint, *changed], changed, **DIRECT)

    @property
    def widgets(self) -> list[Any]:
        """The fields' widgets, in the order in which `follow_checkpoint` takes their values."""
        return [widget for widget, _ in self.fields]

    @read_only
    def follow_checkpoint(self, choice: str | None, before: Any, *sizes: Any) -> Updates:
        """Sizes that went with the checkpoint before (`before`: the own size of its pictures in px) go with this
        one; those that were typed stay. The sliders' bounds are not above what goes with it.
        """
        known = before if type(before) is int and before > 0 else 0
        try:
            own = find_checkpoint(choice or PORTRAITS, self.context.workspace).size_px
        except UserError:
            own = known or SIZES_PX[""]
        updates: Updates = {self.own_px: own}
        for (widget, option), size in zip(self.fields, sizes, strict=True):
            is_typed = known and isinstance(size, int | float) and size not in (0, option.own(known))
            value = size if is_typed else option.own(own)
            # What is typed is refused by the form, with a sentence at the field; gradio's slider would only refuse.
            least = min(value, option.least(own) or 0)
            was_lower = known and (option.least(known) or 0) < (option.minimum or 0)
            is_lower = least < (option.minimum or 0)
            updates[widget] = gr.update(value=value, minimum=least) if was_lower or is_lower else value
        return updates
