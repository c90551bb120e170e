"""Preprocess images: a folder of photos becomes a folder of cropped pictures with captions (A1111 1.6.1,
textual_inversion/preprocess.py: preprocess_work). steps.py says what becomes of one photo.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from ti_core.checkpoints.library import find_usable_checkpoint, own_px
from ti_core.data.by_hand import UNTOUCHED, HandEdit, load_by_hand
from ti_core.data.captions import CaptionFiles, joined_lines, source_notes
from ti_core.data.crops import Size
from ti_core.data.dataset_parts import find_parts
from ti_core.data.earlier_pictures import DEBUG_FOLDER, counted, set_aside_earlier_pictures
from ti_core.data.findings import Sight, finding_sentences, findings_of, sight_of
from ti_core.data.finished_names import file_stem, with_words_of_its_name
from ti_core.data.images import Problem, find_images, open_rgb_and_alpha, pixels_of, problem_of
from ti_core.data.masks import mask_file, mask_of
from ti_core.data.origin import look_at, origin_of
from ti_core.data.picture_checks import (
    ENLARGED_FROM,
    Small,
    enlarged_sentence,
    finished_size,
    photo_sentences,
    shown,
    tiny_problem,
)
from ti_core.data.read_ahead import read_ahead
from ti_core.data.steps import Piece, Steps
from ti_core.data.unfinished import DonePhoto, Unfinished, sign_of, time_left
from ti_core.errors import SettingsError, UserError, about
from ti_core.events import Emit, Finished, Notice, Progress
from ti_core.files import save_atomically, save_text
from ti_core.settings import PreprocessSettings
from ti_core.workspace import Workspace

SHOWN_FILES = 12
_NOTHING = Image.new("RGB", (1, 1))


@dataclass
class PreprocessResult:
    """`written` are the pictures, in order; `originals` counts the photos that became pictures, `captions` the .txt
    files written.

    `to_check` holds, for each reason why a person should look, the photos and the first picture made of each.
    `enlarged` are the photos, with their size, of which a picture has more pixels than the photo had there. `notes`
    say which caption files of the source were not used, `findings` which photos are near duplicates or blurred.
    """

    folder: str
    written: list[Path] = field(default_factory=list)
    originals: int = 0
    captions: int = 0
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    to_check: dict[str, dict[str, Path]] = field(default_factory=dict)
    sizes: set[Size] = field(default_factory=set)
    enlarged: list[Small] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    def add(self, photo: DonePhoto, destination: Path) -> None:
        """Count one photo's finished pictures."""
        paths = {name: destination / name for name in photo.files}
        self.originals += 1
        self.written += paths.values()
        self.sizes |= set(photo.sizes)
        self.captions += photo.captions
        if photo.enlarged:
            self.enlarged.append((photo.name, photo.size))
        for note, name in photo.notes:
            self.to_check.setdefault(note, {}).setdefault(photo.name, paths[name])

    def check_sentences(self) -> list[str]:
        """One for each reason why a person should look, naming the photos."""
        return [f"{note}: {', '.join(photos)}." for note, photos in self.to_check.items()]

    def shown_files(self) -> tuple[str, ...]:
        """The pictures to show when the job is done: first those that somebody should look at."""
        to_check = [path for photos in self.to_check.values() for path in photos.values()]
        return tuple(str(path) for path in dict.fromkeys([*to_check, *self.written]))[:SHOWN_FILES]

    def sentence(self) -> str:
        """One paragraph for the user."""
        size = f" of {shown(next(iter(self.sizes)))} px" if len(self.sizes) == 1 else ""
        made = f"{counted(len(self.written), 'picture')}{size} with {counted(self.captions, 'caption')}"
        became = f"{counted(self.originals, 'photo')} became {made}, in {self.folder}."
        target = next(iter(self.sizes)) if len(self.sizes) == 1 else None
        enlarged = enlarged_sentence(self.enlarged, self.originals, target)
        return " ".join(
            [
                became,
                *(problem.sentence() for problem in self.problems),
                *([enlarged] if enlarged else []),
                *self.notes,
                *self.check_sentences(),
                *self.findings,
            ]
        )


def preprocess(
    settings: PreprocessSettings, workspace: Workspace, emit: Emit, stop: threading.Event
) -> PreprocessResult:
    """Crop, mirror and caption every photo of the source directory.

    A photo that cannot be read is named in a Notice and in the result. Raises SettingsError or UserError before
    anything is written if the folders or values cannot be used, UserError if no photo could be read, and
    Interrupted between two photos; what is written by then stays.
    """
    # What can be said before the first photo is opened
    photos, destination = check_preprocess(settings, workspace)
    settings = with_own_sizes(settings, workspace)
    for sentence in photo_sentences(settings, photos, workspace):
        emit(Notice(sentence))
    result = PreprocessResult(workspace.shown(destination))
    captions = CaptionFiles.of(photos[0].parent)
    result.notes += source_notes(captions)  # one that cannot be read is told with its photo
    for note in result.notes:
        emit(Notice(note))

    # Each photo: decoded, cut and written by several threads, captioned by this one
    by_hand = load_by_hand(photos[0].parent, workspace)
    unfinished = Unfinished(destination, sign_of(settings, photos, by_hand))
    work = _Work(Steps(settings, workspace, emit, stop), captions, destination, workspace, result, emit, by_hand)
    work.done = unfinished.done
    sights = {photos[number]: Sight(photo.bits, photo.sharpness) for number, photo in work.done.items()}
    for photo in work.done.values():
        result.add(photo, destination)
    if work.done:
        count = f"{len(work.done)} of {len(photos)}"
        emit(Notice(f"{count} photos were finished before the interruption and are not done again."))
    else:
        unfinished.remove()
    for saved in read_ahead(work.save, work.captioned(photos, stop), weigh=_pixels_of_pieces):
        unfinished.add(saved.done())
        result.add(saved.done(), destination)
        if saved.photo.sight:
            sights[saved.photo.path] = saved.photo.sight
    unfinished.remove()

    # What came of it
    result.findings = finding_sentences(findings_of(dict(sorted(sights.items()))))
    if not result.written:
        raise UserError(
            f"None of the {counted(len(photos), 'picture')} in '{settings.source_directory}' could be used. "
            + " ".join(p.sentence() for p in result.problems),
            "Save your photos as JPEG or PNG and try again.",
        )
    if work.captions_found and settings.caption_action == "ignore":
        emit(_left_out_notice(work.captions_found))
    for sentence in result.check_sentences():
        emit(Notice(sentence))
    emit(Progress("Preprocessed", len(photos), len(photos)))
    emit(Finished(result.sentence(), files=result.shown_files()))
    return result


def _left_out_notice(count: int) -> Notice:
    were = "was" if count == 1 else "were"
    return Notice(
        f"{counted(count, 'caption')} beside the photos {were} left out. To keep, choose copy as Existing"
        " Caption txt Action and preprocess again."
    )


def check_preprocess(settings: PreprocessSettings, workspace: Workspace) -> tuple[list[Path], Path]:
    """All that can be refused without opening a photo; writes nothing. Returns the photos and the destination.

    Raises SettingsError or UserError.
    """
    problems = settings.problems(own_px(settings.checkpoint, workspace))
    wrong = {problem.field for problem in problems}
    found: dict[str, Path] = {}
    try:
        with about("checkpoint"):
            problems += [p for p in with_own_sizes(settings, workspace).bound_problems() if p not in problems]
    except UserError as error:
        problems += error.problems
    for name, find in (("source_directory", workspace.folder), ("destination_directory", workspace.writable)):
        try:
            with about(name):
                if name not in wrong:
                    found[name] = find(getattr(settings, name), settings.options()[name].label)
        except UserError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems)
    source, destination = found["source_directory"], found["destination_directory"]
    with about("destination_directory"):
        if source == destination:
            raise UserError(
                f"Source directory and Destination directory are both '{settings.source_directory}'.",
                "Choose another destination, so that your photos stay as they are.",
            )
        if destination.exists() and not destination.is_dir():
            raise UserError(
                f"Destination directory '{settings.destination_directory}' is a file.", "Type the path of a folder."
            )
    with about("source_directory"):
        return _photos(source, settings, workspace), destination


def with_own_sizes(settings: PreprocessSettings, workspace: Workspace) -> PreprocessSettings:
    """The settings with the checkpoint's own size, and what goes with it, where none was typed. Raises UserError if
    the checkpoint cannot be used then.
    """
    if all(getattr(settings, name) for name in settings.own_sizes(1)):
        return settings
    return settings.sized(find_usable_checkpoint(settings.checkpoint, workspace).size_px)


def _photos(source: Path, settings: PreprocessSettings, workspace: Workspace) -> list[Path]:
    found, typed = find_images(source), settings.source_directory
    if not found:
        parts = find_parts(source)
        if parts.used or parts.unused:
            raise parts.no_single_folder("Source directory")
        what = "holds no pictures" if any(source.iterdir()) else "is empty"
        raise UserError(f"Source directory '{typed}' {what}.", "Put your photos right into it, as JPEG or PNG.")
    photos = not_left_out(found, workspace)
    if not photos:
        raise UserError(f"All photos of '{typed}' are left out.", "Put one back in Preprocess images.")
    return photos


def not_left_out(photos: list[Path], workspace: Workspace) -> list[Path]:
    """The photos of one folder without those that a person has left out. Raises UserError."""
    by_hand = load_by_hand(photos[0].parent, workspace)
    return [photo for photo in photos if not by_hand.get(photo.name, UNTOUCHED).is_out]


class _Photo(NamedTuple):
    """A photo on its way: its size in px, its pieces, or why there are none, and the caption that lay beside it."""

    number: int
    path: Path
    size: Size
    pieces: list[Piece]
    problem: Problem | None = None
    caption: str = ""
    caption_problem: Problem | None = None
    mask_problem: Problem | None = None
    sight: Sight | None = None


def _pixels_of_pieces(photo: _Photo) -> int:
    return sum(piece.image.width * piece.image.height for piece in photo.pieces)


@dataclass
class _Saved:
    """A finished photo: its pictures' files and sizes; the pixels themselves are let go."""

    photo: _Photo
    files: list[Path] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)

    def done(self) -> DonePhoto:
        """What is kept of it."""
        pairs = list(zip(self.photo.pieces, self.files, self.sizes, strict=True))
        sight = self.photo.sight or Sight(None, None)
        return DonePhoto(
            number=self.photo.number,
            name=self.photo.path.name,
            size=self.photo.size,
            files=tuple(path.name for path in self.files),
            sizes=tuple(self.sizes),
            captions=sum(bool(piece.caption) for piece, _, _ in pairs),
            notes=tuple((piece.note, path.name) for piece, path, _ in pairs if piece.note),
            enlarged=any(piece.origin.scale(size) > ENLARGED_FROM for piece, _, size in pairs),
            bits=sight.bits,
            sharpness=sight.sharpness,
        )


@dataclass
class _Work:
    """Photos are cut by all cores, captioned one after the other, and saved by all cores; never more than a few are
    in memory.
    """

    steps: Steps
    captions: CaptionFiles
    destination: Path
    workspace: Workspace
    result: PreprocessResult
    emit: Emit
    by_hand: dict[str, HandEdit] = field(default_factory=dict)
    captions_found: int = 0
    done: dict[int, DonePhoto] = field(default_factory=dict)
    """Those that an interrupted preprocessing has finished, by their number."""

    def captioned(self, photos: list[Path], stop: threading.Event) -> Iterator[_Photo]:
        """The usable photos with their captions, in order. Raises Interrupted between two."""
        is_first, began, waiting = not self.done, time.monotonic(), [*enumerate(photos)]
        waiting = [(number, path) for number, path in waiting if number not in self.done]
        for photo in read_ahead(self._cut, waiting, stop, weigh=lambda numbered: pixels_of(numbered[1])):
            left = time_left(began, photo.number - waiting[0][0], len(photos) - waiting[0][0])
            self.emit(Progress(f"Preprocessing {photo.path.name}{left}", photo.number, len(photos)))
            self.captions_found += bool(photo.caption)
            for problem in (photo.caption_problem, photo.mask_problem, photo.problem):
                if problem:
                    self.result.problems.append(problem)
                    self.emit(Notice(problem.sentence()))
            if photo.problem:
                continue
            if is_first:
                set_aside_earlier_pictures(self.destination, self.workspace, self.emit)
                is_first = False
            pieces = self.steps.caption(photo.pieces, photo.caption)
            yield photo._replace(pieces=[with_words_of_its_name(piece, photo.path) for piece in pieces])

    def _cut(self, numbered: tuple[int, Path]) -> _Photo:
        number, path = numbered
        edit = self.by_hand.get(path.name, UNTOUCHED)
        try:
            caption, caption_problem = self.captions.text(path) or "", None
            if self.steps.settings.caption_action != "copy":  # what is joined to it is one line
                caption = joined_lines(caption)
        except UserError:
            caption, caption_problem = (
                "",
                Problem(str(getattr(self.captions.find(path), "name", "")), "it is not UTF-8 text"),
            )
        try:
            image, alpha = open_rgb_and_alpha(path, self.steps.enough_px(edit))
        except UserError as error:
            return _Photo(number, path, (0, 0), [], problem_of(path, error), caption, caption_problem)
        if self.steps.is_line(image.size):
            problem = Problem(
                path.name, "it is a mere line: as wide as the finished pictures it would have more than 100 megapixels"
            )
            return _Photo(number, path, image.size, [], problem, caption, caption_problem)
        look = look_at(path)
        size = look.size if look else image.size  # a large one is decoded at a fraction of it
        if tiny := tiny_problem(path, size, finished_size(self.steps.settings)):
            return _Photo(number, path, size, [], tiny, caption, caption_problem)
        mask, mask_problem = mask_of(path, image.size, alpha)
        pieces = self.steps.cut(image, origin_of(path, size), edit, mask)
        return _Photo(number, path, size, pieces, None, caption, caption_problem, mask_problem, sight_of(image))

    def save(self, photo: _Photo) -> _Saved:
        """Write the pieces of a photo and their captions; the pictures themselves are then let go."""
        short = file_stem(photo.path.stem)
        saved = _Saved(photo)
        for number, piece in enumerate(photo.pieces):
            path = self.destination / f"{photo.number:05d}-{number}-{short}.png"
            if piece.caption:  # first, so that a picture is never without its caption
                save_text(path.with_suffix(".txt"), piece.caption)
            if piece.mask:
                save_atomically(mask_file(path), partial(piece.mask.save, format="PNG"))
            if piece.debug:
                save_atomically(self.destination / DEBUG_FOLDER / path.name, partial(piece.debug.save, format="PNG"))
            saved.files.append(
                save_atomically(
                    path, partial(piece.image.save, format="PNG", pnginfo=piece.origin.chunk(piece.image.size))
                )
            )
            saved.sizes.append(piece.image.size)
        # the files are there, so nothing needs the pictures any more
        saved.photo = photo._replace(
            pieces=[replace(piece, image=_NOTHING, debug=None, mask=None) for piece in photo.pieces]
        )
        return saved
