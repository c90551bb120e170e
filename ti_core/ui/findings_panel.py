"""The part of the Captions tab that points out near duplicates, blurred pictures and tiny faces. They are looked for
beside everything else; the script asks until all is found, and nothing is left out by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ti_core.data.finding_search import FindingSearches
from ti_core.data.findings import FindFaces
from ti_core.errors import UserError
from ti_core.ui.app_context import AppContext

LISTED = 100
"""So many pictures are listed; the others are counted."""
_changes = itertools.count(1)


class FindingsPanel:
    """The component. Its custom event 'open_found' has the `name` of the picture that was clicked, 'mark_found' asks
    to mark all of them.
    """

    def __init__(self, context: AppContext) -> None:
        self.context = context
        self.searches = FindingSearches(self._load_finder)

        def list_findings(asked: Any) -> dict[str, Any]:
            folder, again = (
                (asked.get("folder"), bool(asked.get("again"))) if isinstance(asked, dict) else (None, False)
            )
            try:
                return self.answer(folder if isinstance(folder, str) else "", again)
            except UserError as error:
                return {"error": context.workspace.without_paths(str(error))}

        self.html = gr.HTML(
            value="",
            html_template='<div class="findings"></div>',
            js_on_load=Path(__file__).with_name("captions_findings.js").read_text(encoding="utf-8"),
            server_functions=[list_findings],
            folder="",
            picture="",
            first=0,
            stamp=0,
            elem_id="captions_findings",
        )

    def shown(self, folder: str, picture: str, first: int = 0, read_again: bool = True) -> Any:
        """The panel's update: what is open, and which picture is the first in the gallery, where a sign is drawn on
        those of which something was found. The browser asks for findings where the folder was `read_again`.
        """
        stamp = {"stamp": next(_changes)} if read_again else {}
        return gr.update(folder=folder, picture=picture, first=first, **stamp)

    def answer(self, folder: str, again: bool = False) -> dict[str, Any]:
        """What is found so far; `again` while the search goes on. Raises UserError."""
        search = self.searches.ask(self.context.workspace.folder(folder, "Dataset folder"), again)
        found, order = search.found, {path: index for index, path in enumerate(search.pictures)}
        rows = [
            {
                "name": path.name,
                "index": order[path],
                "sentences": [finding.sentence for finding in found[path]],
            }
            for path in sorted(found, key=order.__getitem__)
        ]
        done = search.is_done
        return {
            "folder": folder,
            "rows": rows,
            "listed": LISTED,
            "looked": search.looked,
            "total": len(search.pictures),
            "done": done,
        }

    def names(self, folder: str) -> Sequence[str]:
        """The pictures of which something is found so far, in their order. Raises UserError."""
        return [row["name"] for row in self.answer(folder)["rows"]]

    def _load_finder(self) -> FindFaces:
        from ti_core.data.faces import load_face_finder  # loads OpenCV

        return load_face_finder(self.context.workspace, lambda event: None)
