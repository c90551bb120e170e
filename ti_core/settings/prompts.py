"""The sentences of a training: template files, and a line with [name] and [filewords] made into a prompt (A1111
1.10.1, textual_inversion/dataset.py: create_text).
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from ti_core.errors import UserError
from ti_core.files import save_text
from ti_core.workspace import Workspace

RECIPE_TEMPLATE_NAME = "Custom_subject_filewords.txt"
RECIPE_TEMPLATE_LINE = "a photo of a [name], [filewords]"
MOST_IN_A_LINE = 5000
"""Characters. The text encoder reads about 350 at a time, and a hundred names in a line would take the server's
memory.
"""


def text_lines(text: str) -> list[str]:
    """The lines of a text, trimmed, without the blank ones."""
    return [line for each in text.splitlines() if (line := each.strip())]


def load_template(path: Path) -> list[str]:
    """The lines of a template file (`parse_template`). Raises UserError if it cannot be read or used."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"Prompt template '{path.name}' is not UTF-8 text.",
            "Open it in an editor and save it with the encoding UTF-8.",
        ) from error
    except OSError as error:
        raise UserError(
            f"Prompt template '{path.name}' cannot be read: {error.strerror}.", "Choose another one."
        ) from error
    return parse_template(text, path.name)


def parse_template(text: str, name: str) -> list[str]:
    """The lines, trimmed; blank ones are dropped, where A1111 trains on empty prompts.

    Raises UserError, with the template's name, for a text without lines, with a line that is too long, or with none
    that contains [name]: it would train the word on nothing.
    """
    hint = f"Write a line with [name] into it, such as: {RECIPE_TEMPLATE_LINE}"
    lines = text_lines(text)
    if not lines:
        raise UserError(f"Prompt template '{name}' is empty.", hint)
    longest = max(len(line) for line in lines)
    if longest > MOST_IN_A_LINE:
        raise UserError(
            f"Prompt template '{name}' has a line of {longest} characters.", f"Write at most {MOST_IN_A_LINE}."
        )
    if not any("[name]" in line for line in lines):
        raise UserError(
            f"Prompt template '{name}' has no line with [name], so the new word would not be trained.", hint
        )
    return lines


def find_template(name: str, workspace: Workspace) -> Path:
    """The template called `name`: the user's own first, then one of those that come with the project."""
    plain = name.strip()
    for folder in workspace.template_folders:
        if plain in _templates_in(folder):
            return folder / plain
    raise UserError(
        f"Prompt template '{name}' is not there.", f"Choose one of: {', '.join(list_templates(workspace))}."
    )


def list_templates(workspace: Workspace) -> list[str]:
    """File names of all templates, sorted, each once."""
    return sorted({name for folder in workspace.template_folders for name in _templates_in(folder)})


def ensure_recipe_template(workspace: Workspace) -> str:
    """The name of the face recipe's template, which is written if it is nowhere yet; an existing one is left as it
    is.
    """
    if RECIPE_TEMPLATE_NAME not in list_templates(workspace):
        save_text(workspace.templates / RECIPE_TEMPLATE_NAME, RECIPE_TEMPLATE_LINE + "\n")
    return RECIPE_TEMPLATE_NAME


def split_tags(caption: str) -> list[str]:
    """What stands between the commas, trimmed; empty pieces are none."""
    return [tag for piece in caption.split(",") if (tag := piece.strip())]


def tag_key(tag: str) -> str:
    """What is the same in all spellings of a tag: taggers write long_hair and Long hair, and \\( for a bracket."""
    return " ".join(tag.lower().replace("_", " ").replace("\\", "").split())


def without_tags(caption: str, unwanted: Collection[str]) -> str:
    """The caption, in one line, without the tags of these keys (`tag_key`); as it was where it has none of them."""
    tags = split_tags(caption)
    kept = [tag for tag in tags if tag_key(tag) not in unwanted]
    return caption if len(kept) == len(tags) else ", ".join(kept)


def build_prompt(
    template_line: str,
    caption: str,
    name: str,
    rng: random.Random,
    shuffle: bool,
    drop_out: float,
    keep_first: int = 0,
) -> str:
    """The line with [filewords] and then [name] filled in, so that a caption may contain [name].

    The caption is cut at its commas; the first `keep_first` tags stay as they are, each of the others is left out with
    the chance `drop_out` (0 to 1), and what is left of them is shuffled, all by `rng`. Mended: A1111 keeps the spaces
    of tags that it moves, and leaves ", " behind where no tag is left.
    """
    all_tags = split_tags(caption)
    kept, tags = all_tags[:keep_first], all_tags[keep_first:]
    if drop_out:
        tags = [tag for tag in tags if rng.random() >= drop_out]
    if shuffle:
        rng.shuffle(tags)
    tags = kept + tags
    if tags or "[filewords]" not in template_line:
        text = template_line.replace("[filewords]", ", ".join(tags))
    else:
        parts = template_line.replace("[filewords]", "").split(",")
        text = " ".join(", ".join(stripped for part in parts if (stripped := part.strip())).split())
    return text.replace("[name]", name)


def split_at_names(text: str, names: Iterable[str]) -> list[tuple[str, str]]:
    """The text in pieces, each with the name that it is, or "": names are whole words in any case; longer ones win,
    then those in the same case.

    Taggers and people write \\( for A1111, where a bare bracket is emphasis; here a bracket is a bracket.
    """
    return split_at_words(re.sub(r"\\([()\[\]])", r"\1", text), names)


def split_at_words(text: str, names: Iterable[str]) -> list[tuple[str, str]]:
    """Like `split_at_names`, with every sign of the text as it is."""
    folded = _folded(text)
    longest_first = sorted((name for name in names if name and _folded(name) in folded), key=len, reverse=True)
    if not longest_first:
        return [("", text)]
    pieces = re.split(rf"(?<!\w)({'|'.join(map(re.escape, longest_first))})(?!\w)", text, flags=re.IGNORECASE)
    same = {
        piece: min(
            (name for name in longest_first if re.fullmatch(re.escape(name), piece, re.IGNORECASE)),
            key=lambda name: name != piece,
        )
        for piece in set(pieces[1::2])
    }
    return [(same[piece] if i % 2 else "", piece) for i, piece in enumerate(pieces)]


def _folded(text: str) -> str:
    """What is the same in any case is the same in this, so that most of many names need not be looked for with care."""
    return text.casefold().replace("i\u0307", "i").replace("\u0131", "i")


def _templates_in(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("*.txt") if path.is_file() and not path.name.startswith(".")]
