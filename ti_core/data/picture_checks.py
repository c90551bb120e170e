"""What a person should know of pictures before the start: which are enlarged, and whether the checkpoint can draw
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ti_core.checkpoints.library import CheckpointFile, find_checkpoint
from ti_core.data.aspect_buckets import buckets_sentence, nearest_bucket
from ti_core.data.crops import Size, auto_size, plan_split
from ti_core.data.images import Problem
from ti_core.data.origin import is_drawn, look_at
from ti_core.errors import UserError
from ti_core.settings import PreprocessSettings
from ti_core.workspace import Workspace

ENLARGED_FROM = 1.005
"""Rounding of the last pixel is no enlargement."""
TINY_SHARE = 8
LEAST_PX = 8
"""A picture is tiny, and is left out, if its shorter side has less than an eighth of what is trained, or than 8 px
where it keeps its size: enlarged so much it shows nothing.
"""
NAMED = 5
CARTOONS_ONLY = "Portraits can draw only its own cartoon faces. For your photos choose a Stable Diffusion checkpoint."

Small = tuple[str, Size]
"""Name and size in px of a picture that is enlarged."""


def least_px(target: Size | None) -> int:
    """The shorter side that a picture must have to be used at `target` size, or at its own where that is None."""
    return max(LEAST_PX, min(target) // TINY_SHARE if target else 0)


def tiny_problem(path: Path, size: Size, target: Size | None) -> Problem | None:
    """Why a picture of `size` px is left out, None where it is large enough."""
    least = least_px(target)
    return Problem(path.name, f"it is only {shown(size)} px, less than {least} px") if min(size) < least else None


def without_tiny(pictures: Sequence[Path], target: Size | None) -> tuple[list[Path], list[Problem]]:
    """The pictures that are large enough, by their headers, and why the others are not."""
    usable, problems = [], []
    for path in pictures:
        look = look_at(path)
        if look and (problem := tiny_problem(path, look.size, target)):
            problems.append(problem)
        else:
            usable.append(path)
    return usable, problems


def _left_out_sentences(problems: Sequence[Problem]) -> list[str]:
    if not problems:
        return []
    named = ", ".join(problem.file for problem in problems[:NAMED]) + _more(problems)
    will = "is too small and will be" if len(problems) == 1 else "are too small and will be"
    first = "" if len(problems) == 1 else f"{problems[0].file} has "
    return [f"{named} {will} left out: {first}{problems[0].reason.removeprefix('it is ')}."]


def photo_sentences(settings: PreprocessSettings, photos: Sequence[Path], workspace: Workspace) -> list[str]:
    """What there is to say before photos are preprocessed, by their headers. Settings are `sized` ones."""
    photos, tiny = without_tiny(photos, finished_size(settings))
    sizes = [(path.name, look.size) for path in photos if (look := look_at(path))]
    small = [(name, size) for name, size in sizes if photo_scale(settings, size) > ENLARGED_FROM]
    said = _left_out_sentences(tiny)
    if small and _is_auto_sized(settings):  # each photo has a size of its own
        said.append(f"{_smaller(small, len(photos), 'photo', None)} Use larger ones, or smaller upper bounds.")
    elif small:
        sentence = _smaller(small, len(photos), "photo", (settings.width, settings.height))
        said.append(f"{sentence} Use larger ones, or a smaller Width and Height.")
    return said + cartoon_sentences(settings.checkpoint, photos, workspace)


def picture_sentences(
    pictures: Sequence[Path],
    target: Size | None,
    checkpoint: str,
    workspace: Workspace,
    buckets: Sequence[Size] = (),
) -> list[str]:
    """What there is to say before a dataset is trained on at `target` size, or at its own sizes where that is None, or
    at the nearest of the `buckets` where there are some.
    """
    pictures, tiny = without_tiny(pictures, target)
    small: list[Small] = []
    blurred: list[Small] = []
    sizes: list[Size] = []
    for path in pictures:
        if look := look_at(path):
            sizes.append(look.size)
            trained = nearest_bucket(look.size, buckets) if buckets else target
            scale = scale_to(trained, look.size) if trained else 1.0
            if scale > ENLARGED_FROM:
                small.append((path.name, look.size))
            elif look.origin and scale * look.origin.scale(look.size) > ENLARGED_FROM:
                blurred.append((path.name, look.size))
    said = _left_out_sentences(tiny)
    if buckets and sizes:
        said.append(buckets_sentence(sizes, buckets))
    if small and target:
        advice = f" Preprocess your photos at {shown(target)} px, or choose a smaller Width and Height."
        said.append(_smaller(small, len(pictures), "picture", target) + advice)
    if blurred:
        were, them = ("was", "it") if len(blurred) == 1 else ("were", "them")
        names = ", ".join(name for name, _ in blurred[:NAMED]) + _more(blurred)
        count = f"{len(blurred)} of {len(pictures)} pictures"
        said.append(f"{count} {were} enlarged in Preprocess already, which blurs {them}: {names}.")
    return said + cartoon_sentences(checkpoint, pictures, workspace)


def enlarged_sentence(small: Sequence[Small], photos: int, target: Size | None) -> str:
    """What Preprocess says at its end; empty where nothing was enlarged. `target` is None for different sizes."""
    if not small:
        return ""
    were, them = ("was", "it") if len(small) == 1 else ("were", "them")
    count = f"{len(small)} of {photos} photos"
    to = f" to {shown(target)} px" if target else ""
    return f"{count} {were} enlarged{to}, which blurs {them}: {_named(small)}."


def cartoon_sentences(checkpoint: str, pictures: Sequence[Path], workspace: Workspace) -> list[str]:
    """One sentence for somebody's own pictures with the built-in model, which knows only its own world."""
    try:
        found: CheckpointFile = find_checkpoint(checkpoint, workspace)
    except UserError:  # its own sentence comes from elsewhere
        return []
    return [CARTOONS_ONLY] if found.is_portraits and not all(is_drawn(path) for path in pictures) else []


def photo_scale(settings: PreprocessSettings, size: Size) -> float:
    """How many px of a finished picture one px of a photo of this size becomes; before faces are looked for."""
    if _is_auto_sized(settings):
        sides, areas = (settings.dimension_lower, settings.dimension_upper), (settings.area_lower, settings.area_upper)
        chosen = auto_size(size, sides, areas, settings.resizing_objective, settings.error_threshold)
        if chosen:
            return scale_to(chosen, size)
    target = (settings.width, settings.height)
    is_split = settings.split_oversized and plan_split(size, target, settings.split_threshold, settings.split_overlap)
    return 1.0 if settings.keep_original_size and not (settings.focal_crop or is_split) else scale_to(target, size)


def finished_size(settings: PreprocessSettings) -> Size | None:
    """The size of the finished pictures, None where photos may keep theirs. Settings are `sized` ones."""
    return None if settings.keep_original_size else (settings.width, settings.height)


def _is_auto_sized(settings: PreprocessSettings) -> bool:
    return settings.auto_sized_crop and not (settings.split_oversized or settings.focal_crop)


def scale_to(target: Size, size: Size) -> float:
    """How many times larger a picture becomes when it is made to cover `target`."""
    return max(target[0] / size[0], target[1] / size[1])


def shown(size: Size) -> str:
    """Width x height, as a sentence shows them."""
    return f"{size[0]} x {size[1]}"


def _smaller(small: Sequence[Small], count: int, noun: str, target: Size | None) -> str:
    are, them = ("is", "it") if len(small) == 1 else ("are", "them")
    than = f"{shown(target)} px" if target else f"the picture made of {them}"
    counted = f"{len(small)} of {count} {noun}s {are} smaller than {than}"
    return f"{counted} and {are} enlarged, which blurs {them}: {_named(small)}."


def _named(small: Sequence[Small]) -> str:
    return ", ".join(f"{name} ({shown(size)})" for name, size in small[:NAMED]) + _more(small)


def _more(small: Sequence[object]) -> str:
    return f" and {len(small) - NAMED} more" if len(small) > NAMED else ""
