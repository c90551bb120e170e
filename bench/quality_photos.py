"""The photos that bench/quality.py trains on: of a person alone, or with somebody or something else in each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from bench.quality_rows import ALONE, NOT_SAID, SCENES_OF, Row
from ti_core.data.faces import FindFaces, blazeface_finder
from ti_core.data.masks import MASK_SHAPES
from ti_core.data.painted_masks import make_masks
from ti_core.data.preprocess import preprocess
from ti_core.files import save_text
from ti_core.portraits.drawing import render_portrait
from ti_core.portraits.pictures import SIZE_PX
from ti_core.portraits.sample_photos import caption_of, scenes
from ti_core.portraits.world import Person, Scene
from ti_core.settings import PreprocessSettings
from ti_core.workspace import Workspace

BESIDE = ("somebody behind", "a dog", "somebody behind", "a cup")
"""In turn, so half of the photos show another person. Each is drawn anew: another face, another coat."""
_find_faces: Callable[[], FindFaces] = cache(blazeface_finder)


def photograph(person: Person, title: str, workspace: Workspace, row: Row) -> str:
    """Photos with captions of the scene alone, preprocessed with mirrored copies; gives the dataset's folder. Where
    something stands beside the person, each picture gets the mask of its largest face, which only rows with masks use.
    """
    folder = title + (f"-{row.photos}" if row.photos != SCENES_OF else "") + (f"-{row.beside}" if row.beside else "")
    photos, dataset = workspace.root / "photos" / folder, workspace.datasets / folder
    if not dataset.is_dir():
        photos.mkdir(parents=True, exist_ok=True)
        for i, scene in enumerate(scenes_of(title, row)):
            render_portrait(person, scene, SIZE_PX).save(photos / f"photo{i:03d}.png")
            said = replace(scene, beside="none") if row.beside == NOT_SAID else scene
            save_text(photos / f"photo{i:03d}.txt", caption_of(person, said))
        values: dict[str, Any] = {
            "source_directory": str(photos),
            "destination_directory": str(dataset),
            "flip": True,
            "caption_action": "copy",
            "width": SIZE_PX,
            "height": SIZE_PX,
        }
        preprocess(PreprocessSettings.from_dict(values), workspace, lambda event: None, threading.Event())
    if row.beside != ALONE:  # those that are missing, also after an interruption
        make_masks(dataset, MASK_SHAPES[0], _find_faces(), lambda event: None, threading.Event())
    return str(dataset)


def scenes_of(title: str, row: Row) -> Sequence[Scene]:
    """What the photos of a person show; the same for every row, but what stands beside the person."""
    drawn = [*scenes(title), *(scene for k in range(row.photos // SCENES_OF) for scene in scenes(f"{title} {k}"))]
    if row.beside == ALONE:
        return drawn[: row.photos]
    return [replace(scene, beside=BESIDE[i % len(BESIDE)]) for i, scene in enumerate(drawn[: row.photos])]
