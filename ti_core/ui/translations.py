"""The page's texts in other languages: one file each in texts/, English text -> theirs, handed over with the page and
chosen by the browser's language (translate.js).

gr.I18n translates what a component is built with, and nothing that comes later or is drawn by HTML or our scripts; one
way for all texts is simpler than two.
"""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).parent
TEXTS = HERE / "texts"
SOURCE = "en"
"""The language that the page is written in: its file names all texts, each as its own translation."""


def translations() -> dict[str, dict[str, str]]:
    """Language, such as "es" -> English text -> that text in it; English itself is not among them."""
    files = [file for file in sorted(TEXTS.glob("*.json")) if file.stem != SOURCE]
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def translation_script() -> str:
    """HTML for the page's head: a script that translates the page in a browser of another language."""
    texts = json.dumps(translations(), ensure_ascii=False).replace("<", "\\u003c")
    script = (HERE / "translate.js").read_text(encoding="utf-8")
    return f"<script>\nconst TEXTS = {texts};\n{script}</script>"
