"""A folder of pictures and captions to train on (A1111 1.10.1, textual_inversion/dataset.py: PersonalizedBase)."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ti_core.data.captions import (
    NAMED,
    CaptionFiles,
    caption_lines,
    joined_lines,
    source_notes,
    words_of_file_name,
    words_of_folder,
)
from ti_core.data.character_traits import CHARACTER_TRAITS
from ti_core.data.dataset_parts import DatasetParts, find_parts
from ti_core.data.images import Problem, find_problem
from ti_core.data.origin import OUTPUT_NAME, Origin, look_at
from ti_core.data.read_ahead import read_ahead
from ti_core.errors import UserError
from ti_core.events import Emit, Notice, Progress
from ti_core.runs.plan import RunPlan, plan_run
from ti_core.settings import ONE_LINE, TrainSettings
from ti_core.settings.prompts import split_tags, tag_key, without_tags


@dataclass(frozen=True)
class Example:
    """A picture that can be read, its caption, and the photo that it was made of, where Preprocess wrote that down.

    `lines` are its captions where it has several, of which each use draws one; `caption` is then all of them in one
    line. `is_file_name` is set where the caption is the words of the file name, `is_folder_name` where it is those of
    the folder's. `folder` is the name of its part of the
    dataset, which one pass takes `repeats` times. `joined_lines` counts the lines that became one caption.
    """

    path: Path
    caption: str
    origin: Origin | None = None
    is_file_name: bool = False
    is_folder_name: bool = False
    lines: tuple[str, ...] = ()
    folder: str = ""
    repeats: int = 1
    joined_lines: int = 0

    @property
    def captions(self) -> tuple[str, ...]:
        """All captions that it may have in a prompt, at least one."""
        return self.lines or (self.caption,)


@dataclass(frozen=True)
class CaptionRules:
    """What becomes of captions before any of them is used: `word_regex` and `join` are those of `words_of_file_name`;
    with `one_line` each line is a caption of its own; tags of the keys `pruned` (`tag_key`) are left out.
    """

    word_regex: str = ""
    join: str = " "
    one_line: bool = False
    pruned: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: TrainSettings) -> CaptionRules:
        """Those of the Train tab."""
        unwanted = [*split_tags(settings.pruned_tags.replace("\n", ","))]
        unwanted += CHARACTER_TRAITS if settings.prune_traits else ()
        return cls(
            settings.filename_word_regex,
            settings.filename_join_string,
            settings.caption_lines == ONE_LINE,
            frozenset(map(tag_key, unwanted)),
        )

    def apply(self, text: str) -> tuple[str, ...]:
        """The captions of a text with its lines: all of it in one, or its lines."""
        lines = caption_lines(text) if self.one_line else [joined_lines(text)]
        return tuple(without_tags(line, self.pruned) for line in lines)


DEFAULT_RULES = CaptionRules()


def scan_dataset(
    dataset: Path | DatasetParts,
    emit: Emit | None = None,
    stop: threading.Event | None = None,
    rules: CaptionRules = DEFAULT_RULES,
) -> list[Example]:
    """The pictures of a dataset, given as its folder or its parts, whose headers can be read, sorted by name. None is
    decoded: a picture that is cut short shows when it is encoded (`encode_images`), and is left out then.

    Pictures without a caption file take the words of their folder's name where that is one of kohya's, else those of
    their file name. With `emit`, tells its progress and a Notice for each file that is left out. Raises UserError if no
    picture can be used, and Interrupted.
    """
    folder = dataset if isinstance(dataset, Path) else dataset.folder
    if not folder.is_dir():
        raise UserError(
            f"Dataset directory '{folder.name}' does not exist.", "Check the spelling, or preprocess your photos first."
        )
    examples: list[Example] = []
    problems: list[Problem] = []
    parts = find_parts(dataset) if isinstance(dataset, Path) else dataset
    files = CaptionFiles.of(folder, parts.folders)
    paths = sorted(files.pictures) if parts.used else []
    for number, (path, found) in enumerate(zip(paths, read_ahead(find_problem, paths, stop), strict=True)):
        if emit is not None:
            emit(Progress(f"Checking {path.name}", number, len(paths)))
        if found is None:
            example, found = _example(path, files, parts, rules)
            examples.append(example)
        if found is not None:
            problems.append(found)
            if emit is not None:
                emit(Notice(found.sentence()))
    if not examples:
        if not problems:
            raise parts.no_pictures("Dataset directory", folder.name)
        raise nothing_usable(folder, problems)
    for note in (*source_notes(files), *dataset_notes(examples, files, parts, rules)):
        if emit is not None:
            emit(Notice(note))
    return examples


def read_examples(files: CaptionFiles, parts: DatasetParts, rules: CaptionRules) -> list[Example]:
    """The pictures of a dataset with their captions, as `scan_dataset` gives them, those that cannot be read too."""
    return [_example(path, files, parts, rules)[0] for path in sorted(files.pictures)]


def nothing_usable(folder: Path, problems: Sequence[Problem]) -> UserError:
    """The error for a dataset of which no picture can be used."""
    what = " ".join(problem.sentence() for problem in problems)
    return UserError(
        f"Dataset directory '{folder.name}' cannot be trained on. None of its pictures can be used: {what}",
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


def plan_training(
    examples: list[Example], settings: TrainSettings, first_step: int = 0, most_held_out: int | None = None
) -> tuple[list[Example], RunPlan]:
    """The examples, held-out ones last, and the numbers of the run; at most so many photos are held out, if that is
    given. Raises UserError if nothing would be left to train on.
    """
    wanted = settings.held_out if most_held_out is None else min(settings.held_out, most_held_out)
    examples, held_out = hold_out(examples, wanted)
    trained = examples[: len(examples) - held_out]
    folders: Counter[str] = Counter()
    for example in trained:
        folders[example.folder or example.path.parent.name] += example.repeats
    repeats = tuple(example.repeats for example in trained)
    return examples, plan_run(
        len(trained),
        settings.batch_size,
        settings.gradient_accumulation_steps,
        settings.steps,
        first_step,
        repeats if max(repeats, default=1) > 1 else (),
        tuple(sorted(folders.items())),
    )


def original_of(path: Path) -> str:
    """What the pictures made of one photo have in common: their folder, and the preprocessing number, else the name."""
    return str(path.parent / (match[1] if (match := OUTPUT_NAME.match(path.stem)) else path.name))


def count_originals(paths: Iterable[Path]) -> int:
    """How many photos these pictures were made of: those with a preprocessing number count once for each number,
    others one each.
    """
    return len({original_of(path) for path in paths})


def _example(
    path: Path, files: CaptionFiles, parts: DatasetParts, rules: CaptionRules
) -> tuple[Example, Problem | None]:
    """With the caption file's text, even if empty, else with the words of the folder's name or of the file name."""
    problem = None
    try:
        text = files.text(path)
    except UserError:
        text, problem = None, Problem(str(getattr(files.find(path), "name", "")), "it is not UTF-8 text")
    look, part = look_at(path), parts.part_of(path)
    of_folder = words_of_folder(path)
    words = of_folder or words_of_file_name(path.stem, rules.word_regex, rules.join)
    captions = (without_tags(words, rules.pruned),) if text is None else rules.apply(text)
    caption = captions[0] if len(captions) == 1 else joined_lines("\n".join(captions))
    lines = captions if len(captions) > 1 else ()
    origin = look.origin if look else None
    by_file, by_folder = text is None and not of_folder, text is None and bool(of_folder)
    joined = 0 if rules.one_line or not text else len(caption_lines(text))
    return Example(path, caption, origin, by_file, by_folder, lines, part.name, part.repeats, joined), problem


# ---- what is said of it before the start


def dataset_notes(
    examples: Sequence[Example], files: CaptionFiles, parts: DatasetParts, rules: CaptionRules
) -> list[str]:
    """Folders that are not used, pictures with several captions, and tags that are left out; a sentence for each."""
    return [note for note in (*parts.sentences(), _lines_note(examples), _pruned_note(files, rules)) if note]


def _lines_note(examples: Sequence[Example]) -> str:
    several = [example for example in examples if example.lines]
    if joined := sum(example.joined_lines > 1 for example in examples):
        has = "picture has a caption" if joined == 1 else "pictures have captions"
        return (
            f"{joined} {has} of several lines, which are read as tags of one. If each line is a caption of its own,"
            f" choose '{ONE_LINE}' as Captions with several lines."
        )
    if not several:
        return ""
    most = max(len(example.lines) for example in several)
    count = f"{len(several)} of {len(examples)} pictures {'has' if len(several) == 1 else 'have'}"
    return f"{count} several captions, up to {most}: each use draws one line."


def _pruned_note(files: CaptionFiles, rules: CaptionRules) -> str:
    if not rules.pruned:
        return ""
    found = [
        [tag for tag in split_tags(joined_lines(text)) if tag_key(tag) in rules.pruned] for text in _readable(files)
    ]
    changed, often = sum(map(bool, found)), Counter(tag_key(tag) for tags in found for tag in tags)
    if not changed:
        return "No caption holds any of the tags to leave out."
    shown = ", ".join(tag for tag, _ in often.most_common(NAMED)) + (", ..." if len(often) > NAMED else "")
    count = "1 tag is" if often.total() == 1 else f"{often.total()} tags are"
    return f"{count} left out of {changed} caption{'s' * (changed != 1)}: {shown}."


def _readable(files: CaptionFiles) -> Iterator[str]:
    for picture in files.pictures:
        with contextlib.suppress(UserError):  # which is told by itself
            yield files.text(picture) or ""


def fallback_notes(examples: Sequence[Example]) -> list[str]:
    """Sentences where file names or the names of folders are trained on as captions, as A1111 and kohya do."""
    by_file = [example for example in examples if example.is_file_name]
    by_folder = [example for example in examples if example.is_folder_name]
    notes = []
    if by_file:
        notes.append(
            f"{_without(by_file, examples)} no caption file, so the words of their file names are the captions, such as"
            f" '{by_file[0].caption}'. If they say nothing about the picture, write captions in the Captions tab."
        )
    if by_folder:
        notes.append(
            f"{_without(by_folder, examples)} no caption file, so the words of their folder's name are the captions,"
            f" such as '{by_folder[0].caption}'."
        )
    return notes


def _without(some: Sequence[Example], examples: Sequence[Example]) -> str:
    return f"{len(some)} of {len(examples)} pictures {'has' if len(some) == 1 else 'have'}"
