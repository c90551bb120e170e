"""The embeddings' words below the prompts of the txt2img tab: a click puts one where the cursor stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from ti_core.embeddings.folder import prompt_words
from ti_core.settings.emphasis import escaped
from ti_core.ui.app_context import AppContext

HERE = Path(__file__).parent
HTML = """<div class="prompt-words"><p>Click a word to put it where you were typing. Ctrl+Enter paints; Ctrl+Up and
Ctrl+Down make a word stronger and weaker.</p>
<p class="none" hidden>There are no embeddings yet.</p>
<div class="words" role="group" aria-label="Embeddings"></div></div>
"""
CSS = """
.prompt-words p { margin: 0 0 4px; font-size: 13px; color: var(--body-text-color-subdued); }
.prompt-words .words { display: flex; flex-wrap: wrap; gap: 6px; max-height: 108px; overflow: auto; padding: 2px; }
.prompt-words button {
  font-size: 13px; padding: 4px 10px; border-radius: 6px; border: 1px solid var(--border-color-primary);
  background: var(--button-secondary-background-fill); color: var(--button-secondary-text-color); cursor: pointer;
  max-width: 100%; overflow: hidden; text-overflow: ellipsis;
}
.prompt-words button:focus-visible { outline: 2px solid var(--primary-500); outline-offset: 1px; }
@media (pointer: coarse) { .prompt-words button { min-height: 40px; } }
"""


def build_prompt_words(context: AppContext) -> Any:
    """The list asks for the words each time that it comes into view."""

    def embedding_words(asked: Any) -> list[tuple[str, str]]:
        """Each word as it is shown, and as a prompt needs it: with its brackets escaped."""
        return [(word, escaped(word)) for word in prompt_words(context.workspace)]

    return gr.HTML(
        value="",
        html_template=HTML,
        css_template=CSS,
        js_on_load=(HERE / "prompt_words.js").read_text(encoding="utf-8"),
        server_functions=[embedding_words],
        elem_id="txt2img_words",
    )
