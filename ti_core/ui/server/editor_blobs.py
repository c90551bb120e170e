"""What a picture editor is sent while somebody paints. gradio keeps all of it, by ids and numbers that the sender
chooses, until the editor's value is asked for: one request could take all memory.
"""

from __future__ import annotations

import threading
from typing import Any

import gradio as gr

from ti_core.ui.server.roles import current_user

MOST_LAYERS = 8
MOST_PAINTINGS = 16
"""That wait for being saved, of one editor; the oldest ones go. Each part of one is a request, of at most 4 MB."""
_changing = threading.Lock()


def bound_blobs() -> None:
    """Let every gr.ImageEditor keep a few paintings, of those who may train; what others paint is nothing, because the
    page sends it all the same.
    """
    gr.ImageEditor.accept_blobs = _guarded(gr.ImageEditor.accept_blobs)  # type: ignore[method-assign]


def _guarded(keep: Any) -> Any:
    if hasattr(keep, "is_bounded"):  # a second page of one program
        return keep

    def accept_blobs(self: gr.ImageEditor, data: Any) -> None:
        sent = getattr(data, "data", None)
        layer = str((sent or {}).get("index") or "0")
        is_layer = layer == "null" or (layer.isdecimal() and len(layer) < 4 and int(layer) < MOST_LAYERS)
        if not sent or not is_layer or not current_user().may_train:
            return
        with _changing:
            keep(self, data)
            while len(self.blob_storage) > MOST_PAINTINGS:
                del self.blob_storage[next(iter(self.blob_storage))]

    accept_blobs._is_server_fn = True  # type: ignore[attr-defined]
    accept_blobs.is_bounded = True  # type: ignore[attr-defined]
    return accept_blobs
