"""What a dataset holds, at a glance: thumbnails, counts, and one prompt as the training will build it; as HTML."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ti_core.checkpoints.library import find_checkpoint
from ti_core.data.aspect_buckets import bucket_sizes, nearest_bucket
from ti_core.data.caption_edits import read_captions
from ti_core.data.crops import Size
from ti_core.data.dataset import count_originals
from ti_core.data.origin import look_at
from ti_core.data.template_edits import captions_of, preview_prompts, read_template
from ti_core.errors import UserError
from ti_core.settings.shared import MAX_SIZE_PX
from ti_core.ui.thumbnails import picture_tag
from ti_core.workspace import Workspace

SHOWN, SHOWN_PX = 6, 56
NO_DATASET = '<p class="dataset-strip">No dataset yet: preprocess your photos, or type a folder of pictures.</p>'


def dataset_strip(workspace: Workspace, folder: str, sizes: Sequence[Size] = ()) -> str:
    """Thumbnails of the folder's first pictures, cut as the nearest of the `sizes` cuts them in the training, and their
    counts; a sentence where there are none.
    """
    if not folder.strip():
        return NO_DATASET
    try:
        captions = read_captions(workspace.folder(folder, "Dataset directory"))
    except UserError:  # the plan says what is wrong with it
        return '<p class="dataset-strip">No pictures there.</p>'
    pictures = [captioned.picture for captioned in captions]
    photos = count_originals(pictures)
    captioned = sum(1 for each in captions if each.source)
    mirrored = f", {len(pictures) - photos} mirrored copies" if len(pictures) > photos else ""
    sentence = f"{photos} photo{'s' * (photos != 1)}{mirrored}, {captioned or 'none'} with a caption file"
    shown = "".join(_cut(picture, sizes) for picture in pictures[:SHOWN])
    return f'<div class="dataset-strip"><span class="pictures">{shown}</span><span>{sentence}</span></div>'


def trained_sizes(form: Mapping[str, Any], workspace: Workspace) -> tuple[Size, ...]:
    """The sizes in px at which the Train form trains pictures; none where they keep theirs, or nothing is known yet."""
    try:
        own_px = find_checkpoint(form["checkpoint"] or "", workspace).size_px
        width, height = (int(form[side] or own_px) for side in ("width", "height"))
    except (UserError, TypeError, ValueError):  # the plan says what is wrong
        return ()
    if form["keep_size"] or not 0 < min(width, height) <= max(width, height) <= MAX_SIZE_PX:
        return ()
    return bucket_sizes(width, height) if form["aspect_buckets"] else ((width, height),)


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


def example_prompt(
    workspace: Workspace, folder: str, template: str, embedding: str, shuffle: bool, drop_out: float
) -> str:
    """One filled-in sentence of the template, or nothing where it cannot be read yet."""
    if not template:
        return ""
    try:
        text = read_template(template, workspace)
        prompt = preview_prompts(text, captions_of(folder, workspace), embedding, shuffle, drop_out)[0]
    except UserError:
        return ""
    return f'<p class="example">For example: <q>{html.escape(prompt)}</q></p>'
