"""Making and changing prompt templates, and looking at the prompts that they give."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from ti_core.data.caption_edits import read_captions
from ti_core.data.dataset_parts import find_parts
from ti_core.errors import UserError, about
from ti_core.files import save_text
from ti_core.settings.prompts import build_prompt, find_template, parse_template
from ti_core.typed_names import typed_name
from ti_core.workspace import SHIPPED_TEMPLATES, Workspace

SHIPPED = frozenset(
    {
        "style.txt",
        "style_filewords.txt",
        "subject.txt",
        "subject_filewords.txt",
        "hypernetwork.txt",
        "none.txt",
        "Custom_subject_filewords.txt",
    }
)
"""By name, because a workspace may be the project's own folder, where the user's templates lie among them."""
PREVIEWS = 5
MOST_SHOWN = 2000
"""Characters of a caption that a preview looks at, and of a prompt that it shows."""
MOST_OF_A_NAME = 200
SAMPLE_NAME, SAMPLE_CAPTION = "anna-01", "a woman, smiling, red shirt"


def is_shipped(path: Path) -> bool:
    """Whether it comes with the project, and so is never changed in place."""
    return path.name in SHIPPED and path.parent.resolve() == SHIPPED_TEMPLATES.resolve()


def read_template(name: str, workspace: Workspace) -> str:
    """The whole text of a template. Raises UserError if it is not there or no UTF-8 text."""
    path = find_template(name, workspace)
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"Prompt template '{path.name}' is not UTF-8 text.",
            "Open it in an editor and save it with the encoding UTF-8.",
        ) from error


def save_template(name: str, text: str, workspace: Workspace, opened: str = "") -> str:
    """Write templates/<name> and give its file name, which is `<name>-own.txt` for one that comes with the project.

    `opened` is the template whose text was changed: only that one may be replaced. Raises UserError for a text that
    would not train the word, and for a name that is taken.
    """
    file = template_file(name)
    with about("text"):
        lines = parse_template(text, file)
    target = workspace.templates / file
    if file in SHIPPED and is_shipped(_existing(file, workspace) or SHIPPED_TEMPLATES / file):
        target = workspace.templates / f"{file.removesuffix('.txt')}-own.txt"
    taken = {path.name.lower() for path in workspace.templates.glob("*.txt")}
    if target.name.lower() in taken and target.name != opened.strip():
        raise UserError(
            f"A template called '{target.name}' exists already.",
            "Choose it in the list to change it, or type another name.",
            field="name",
        )
    save_text(target, "\n".join(lines) + "\n")
    return target.name


def template_file(name: str) -> str:
    """The name of the file for a typed name, with or without .txt. Raises UserError for one that cannot be used."""
    with about("name"):
        if not name.strip():
            raise UserError("Template name is empty.", "Type a name, such as my_subject.")
        return typed_name(name.strip().removesuffix(".txt"), "Template name") + ".txt"


def preview_prompts(
    text: str, captions: Sequence[str], name: str, shuffle: bool, drop_out: float, seed: int = 0, keep_first: int = 0
) -> list[str]:
    """Five prompts as the training builds them: a line by chance, a caption by chance. Raises UserError for a text
    that would not train.
    """
    lines, rng = parse_template(text, "in the box"), random.Random(seed)
    captions = captions or [SAMPLE_CAPTION]
    shown = name.strip()[:MOST_OF_A_NAME] or SAMPLE_NAME
    prompts = (
        build_prompt(rng.choice(lines), rng.choice(captions)[:MOST_SHOWN], shown, rng, shuffle, drop_out, keep_first)
        for _ in range(PREVIEWS)
    )
    return [prompt if len(prompt) <= MOST_SHOWN else f"{prompt[:MOST_SHOWN]} ..." for prompt in prompts]


def captions_of(folder: str, workspace: Workspace) -> list[str]:
    """The captions of a dataset; none for an empty field. Raises UserError."""
    if not folder.strip():
        return []
    root = workspace.folder(folder, "Dataset folder")
    captions = read_captions(root, find_parts(root).folders)
    return [captioned.caption for captioned in captions if not captioned.problem]


def _existing(file: str, workspace: Workspace) -> Path | None:
    try:
        return find_template(file, workspace)
    except UserError:
        return None
