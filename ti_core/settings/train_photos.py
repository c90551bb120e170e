"""Options of the Train tab: what is made of the photos and their captions."""

from __future__ import annotations

from dataclasses import dataclass

from ti_core.errors import Problem
from ti_core.settings.option import Group, Settings, option

PHOTOS = Group("photos", "Masks and shapes of the pictures")


@dataclass(frozen=True)
class PhotoTrainOptions(Settings):
    """Which part of a picture counts, and at which shape it is trained."""

    masks_as_weight: bool = option(
        False,
        "Use masks as loss weight",
        "checkbox",
        "Learns what the mask of each picture shows: name-masklabel.png beside it, a folder masks, or else what is not"
        " transparent.",
        changes_plan=True,
        group=PHOTOS,
    )
    weight_outside: float = option(
        0.1,
        "Loss weight outside of the mask",
        "slider",
        "Keep 0.1: a tenth, so that the surroundings stay believable. 0 ignores them; 1 is as if there were no mask.",
        minimum=0,
        maximum=1,
        step=0.05,
    )
    aspect_buckets: bool = option(
        False,
        "Aspect ratio buckets",
        "checkbox",
        "Trains wide and tall pictures at a size of their own shape, with as many pixels as Width x Height. Preprocess"
        " such photos with Auto-sized crop or Keep original size.",
        changes_plan=True,
    )

    def problems(self, own_px: int = 0) -> list[Problem]:
        """Those of each value, and two ways to bring pictures to size at once."""
        found = super().problems(own_px)
        if self.aspect_buckets and getattr(self, "keep_size", False):
            sentence = "Aspect ratio buckets and Do not resize images exclude each other. Untick one of them."
            found.append(Problem(sentence, "aspect_buckets"))
        return found
