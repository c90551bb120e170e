"""A folder of pictures and captions to train on (A1111 1.10.1, textual_inversion/dataset.py: PersonalizedBase)."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ti_core.data.captions import CaptionFiles, source_notes, words_of_file_name
from ti_core.data.images import Problem, find_problem
from ti_core.data.origin import OUTPUT_NAME, Origin, look_at
from ti_core.data.read_ahead import read_ahead
from ti_core.errors import UserError
from ti_core.events import Emit, Notice, Progress


@dataclass(frozen=True)
class Example:
    """A picture that can be read, its caption, and the photo that it was made of, where Preprocess wrote that down.

    `is_file_name` is set where the caption is the words of the file name.
    """

    path: Path
    caption: str
    origin: Origin | None = None
    is_file_name: bool = False


def scan_dataset(
    folder: Path, emit: Emit | None = None, stop: threading.Event | None = None, word_regex: str = "", join: str = " "
) -> list[Example]:
    """The pictures of `folder` whose headers can be read, sorted by name. None is decoded: a picture that is cut
    short shows when it is encoded (`encode_images`), and is left out then.

    Pictures without a caption file take the words of their file name (`words_of_file_name`). With `emit`, tells its
    progress and a Notice for each file that is left out. Raises UserError if no picture can be used, and
    Interrupted.
    """
    if not folder.is_dir():
        raise UserError(
            f"Dataset directory '{folder.name}' does not exist.", "Check the spelling, or preprocess your photos first."
        )
    examples: list[Example] = []
    problems: list[Problem] = []
    files = CaptionFiles.of(folder)
    paths = files.pictures
    for number, (path, found) in enumerate(zip(paths, read_ahead(find_problem, paths, stop), strict=True)):
        if emit is not None:
            emit(Progress(f"Checking {path.name}", number, len(paths)))
        if found is None:
            example, found = _example(path, files, word_regex, join)
            examples.append(example)
        if found is not None:
            problems.append(found)
            if emit is not None:
                emit(Notice(found.sentence()))
    if not examples:
        raise nothing_usable(folder, problems)
    for note in source_notes(files):
        if emit is not None:
            emit(Notice(note))
    return examples


def nothing_usable(folder: Path, problems: Sequence[Problem]) -> UserError:
    """The error for a dataset of which no picture can be used."""
    what = "None of its pictures can be used: " + " ".join(problem.sentence() for problem in problems)
    return UserError(
        f"Dataset directory '{folder.name}' cannot be trained on. {what if problems else 'It holds no pictures.'}",
        "Preprocess your photos into it first.",
    )


def hold_out(examples: list[Example], photos: int) -> tuple[list[Example], int]:
    """The examples with the pictures of so many photos, evenly chosen, moved to their end, and their number.
    Mirrored copies go with their photo.

    Raises UserError if nothing would be left to train on.
    """
    if not photos:
        return examples, 0
    originals = list(dict.fromkeys(original_of(example.path) for example in examples))
    if photos >= len(originals):
        raise UserError(
            f"Photos held out for the evaluation is {photos}, but there are only {len(originals)} photos.",
            "Hold out fewer: a tenth of them, or 0.",
        )
    chosen = {originals[i * len(originals) // photos] for i in range(photos)}
    held = [example for example in examples if original_of(example.path) in chosen]
    return [example for example in examples if original_of(example.path) not in chosen] + held, len(held)


def original_of(path: Path) -> str:
    """What the pictures made of one photo have in common: the preprocessing number, else the name."""
    return match[1] if (match := OUTPUT_NAME.match(path.stem)) else path.name


def count_originals(paths: Iterable[Path]) -> int:
    """How many photos these pictures were made of: those with a preprocessing number count once for each number,
    others one each.
    """
    return len({original_of(path) for path in paths})


def _example(path: Path, files: CaptionFiles, word_regex: str, join: str) -> tuple[Example, Problem | None]:
    """With the caption file's text, even if empty, else with the words of the file name."""
    problem = None
    try:
        caption = files.read(path)
    except UserError:
        caption, problem = None, Problem(str(getattr(files.find(path), "name", "")), "it is not UTF-8 text")
    look = look_at(path)
    origin = look.origin if look else None
    if caption is None:
        return Example(path, words_of_file_name(path.stem, word_regex, join), origin, is_file_name=True), problem
    return Example(path, caption, origin), None
