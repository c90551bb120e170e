"""The photos of bench/quality.py that show others too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from bench.quality import strangers
from bench.quality_photos import BESIDE, photograph, scenes_of
from bench.quality_rows import ROWS
from ti_core.data.captions import CaptionFiles
from ti_core.data.masks import find_mask
from ti_core.workspace import Workspace

OTHERS = ("dog", "cup", "somebody")


def test_others_stand_in_every_photo_and_all_else_is_as_in_the_photos_of_the_person_alone() -> None:
    alone, said, not_said = (scenes_of("1-0", ROWS[name]) for name in ("ours", "beside", "beside-not-said"))
    assert {scene.beside for scene in said} == set(BESIDE) and said == not_said
    assert [replace(scene, beside="none") for scene in said] == [replace(scene, beside="none") for scene in alone]


def test_each_picture_with_others_has_the_mask_of_a_head_and_captions_name_them_where_a_row_says_so(
    tmp_path: Path,
) -> None:
    person, workspace = strangers(1, 1)[0], Workspace(tmp_path)
    for name in ("beside-masked", "beside-not-said-masked"):
        files = CaptionFiles.of(Path(photograph(person, "1-0", workspace, replace(ROWS[name], photos=2))))
        words = [files.read(picture) or "" for picture in files.pictures]
        assert len(words) == 4  # with the mirrored copies
        assert all(any(other in each for other in OTHERS) for each in words) == (name == "beside-masked")
        for picture in files.pictures:
            mask = find_mask(picture)
            assert mask
            counts = np.asarray(Image.open(mask))
            assert counts.max() == 255 and 0.05 < counts.mean() / 255 < 0.6
