"""What a dataset holds, at a glance: thumbnails, counts, and one prompt as the training will build it; as HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from ti_core.checkpoints.library import find_checkpoint
from ti_core.data.aspect_buckets import bucket_sizes, nearest_bucket
from ti_core.data.captions import CaptionFiles
from ti_core.data.crops import Size
from ti_core.data.dataset import CaptionRules, count_originals, read_examples
from ti_core.data.dataset_parts import parts_of
from ti_core.data.origin import look_at
from ti_core.data.template_edits import preview_prompts, read_template
from ti_core.embeddings.kind_in_file import kind_of_file
from ti_core.errors import UserError
from ti_core.settings import TrainSettings
from ti_core.settings.shared import MAX_SIZE_PX
from ti_core.settings.word_kind import NEGATIVE, SLIDER
from ti_core.ui.thumbnails import picture_tag
from ti_core.workspace import Workspace

SHOWN, SHOWN_PX = 6, 56
_NO_PICTURES = '<p class="dataset-strip">No pictures there.</p>'
NO_DATASET = '<p class="dataset-strip">No dataset yet: preprocess your photos, or type a folder of pictures.</p>'


def dataset_strip(workspace: Workspace, settings: TrainSettings) -> str:
    """Thumbnails of the dataset's first pictures, cut as the training cuts them, and their counts; a sentence where
    there are none.
    """
    if not settings.dataset_directory.strip():
        return NO_DATASET
    try:
        parts = parts_of(settings, workspace)
        files = CaptionFiles.of(parts.folder, parts.folders)
    except UserError:  # the plan says what is wrong with it
        return _NO_PICTURES
    if not (pictures := parts.pictures):
        return _NO_PICTURES
    photos = count_originals(pictures)
    captioned = sum(1 for picture in pictures if files.sources(picture))
    mirrored = f", {len(pictures) - photos} mirrored copies" if len(pictures) > photos else ""
    sentence = f"{photos} photo{'s' * (photos != 1)}{mirrored}, {captioned or 'none'} with a caption file"
    sizes = trained_sizes(settings, workspace)
    shown = "".join(_cut(picture, sizes) for picture in pictures[:SHOWN])
    return f'<div class="dataset-strip"><span class="pictures">{shown}</span><span>{sentence}</span></div>'


def trained_sizes(settings: TrainSettings, workspace: Workspace) -> tuple[Size, ...]:
    """The sizes in px at which the Train form trains pictures; none where they keep theirs, or nothing is known yet."""
    try:
        own_px = find_checkpoint(settings.checkpoint, workspace).size_px
    except UserError:  # the plan says what is wrong
        return ()
    width, height = settings.width or own_px, settings.height or own_px
    if settings.keep_size or not 0 < min(width, height) <= max(width, height) <= MAX_SIZE_PX:
        return ()
    return bucket_sizes(width, height) if settings.aspect_buckets else ((width, height),)


def _cut(picture: Path, sizes: Sequence[Size]) -> str:
    """A small copy that shows the part which is trained: style.css covers the shape with it, around the middle."""
    small, look = _small(picture, picture.stat().st_mtime_ns), look_at(picture)
    if not look or not sizes:
        return small
    width, height = nearest_bucket(look.size, sizes)
    return f'<span style="--shape:{width / height:.3f}" title="{width} x {height}">{small}</span>'


@lru_cache(maxsize=200)
def _small(picture: Path, changed: int) -> str:
    """The tag of a small copy, kept until the file has changed (`changed`)."""
    return picture_tag(picture, SHOWN_PX, picture.name)


def example_prompt(workspace: Workspace, settings: TrainSettings) -> str:
    """One filled-in sentence of the template, or, for a slider word, of what it acts on. Nothing where it cannot be
    read yet, or where the word is trained alone, as a negative one is.
    """
    word = settings.word_kind(kind_of_file(settings.embedding, workspace))
    if word.kind == NEGATIVE or not (word.on if word.kind == SLIDER else settings.template_file):
        return ""
    try:
        if word.kind == SLIDER:
            text, captions = word.slider_line, list[str]()
        else:
            text, captions = read_template(settings.template_file, workspace), list[str]()
        if settings.dataset_directory.strip():
            parts = parts_of(settings, workspace)
            files = CaptionFiles.of(parts.folder, parts.folders) if parts.used else CaptionFiles(parts.folder)
            examples = read_examples(files, parts, CaptionRules.of(settings))
            captions = [caption for example in examples for caption in example.captions]
        chances = settings.shuffle_tags, settings.tag_drop_out
        prompt = preview_prompts(text, captions, settings.embedding, *chances, keep_first=settings.keep_first)[0]
    except UserError:
        return ""
    return f'<p class="example">For example: <q>{html.escape(prompt)}</q></p>'
