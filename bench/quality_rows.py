"""The rows of bench/quality.py: each a way to train, as settings of the two tabs. What the other trainers ship is
in their documentation of 2023 to 2026.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ti_core.files import save_text
from ti_core.training.presets import FAST, GUIDE, PRESETS, preset_values
from ti_core.workspace import Workspace

POINTS = (10, 30, 60, 120, 300, 1000, 3000)
"""After how many image passes a run is measured."""
CLASS_WORD, NEAR_WORDS = "class word", "near words"
"""Initialization texts: the first stands for the word man or woman, the second for a few words about the person, such
as "an old woman, curly red hair".
"""
CLASS_TEMPLATE = "a photo of a [name] [class], [filewords]"
SCENES_OF = 12
"""Photos that are drawn of each person."""
ALONE, SAID, NOT_SAID = "", "beside", "beside-not-said"
"""Whether the photos show somebody or something else beside the person, and whether their captions say so."""


@dataclass(frozen=True)
class Row:
    """`changes` are laid over the preset's values for the Train tab; `initialization` and `vectors` go into the
    Create tab.

    A row of the other trainers is their published defaults in our loop: rates, images per update, number of
    vectors. Their schedules with a warm-up are written as steps.
    """

    name: str
    title: str
    preset: str = GUIDE
    changes: dict[str, Any] = field(default_factory=dict)
    initialization: str = "*"
    vectors: int = 1
    images_per_step: int = 24
    evaluate_every: int = 10
    last_point: int = 1000
    passes: int = 0
    """How long a run is at least, where that is not one of the points."""
    photos: int = SCENES_OF
    """So many photos of each person, before mirroring."""
    starts: tuple[str, ...] = ()
    """Initialization texts of which each is trained for a while; the evaluation chooses the one that goes on."""
    template: str = ""
    """A line in place of the guide's; [class] stands for the word man or woman."""
    beside: str = ALONE
    """ALONE, SAID or NOT_SAID."""

    def create(self, gender: str, near: str = "", start: str = "") -> dict[str, Any]:
        """Values of the Create tab. `near` is what NEAR_WORDS stands for."""
        start = start or self.initialization
        return {
            "initialization_text": {CLASS_WORD: gender, NEAR_WORDS: near}.get(start, start),
            "vectors": self.vectors,
        }

    def train(self, workspace: Workspace, dataset: str, name: str, gender: str = "woman") -> dict[str, Any]:
        """Values of the Train tab."""
        values = {**preset_values(self.preset, workspace, dataset, name), **self.changes}
        if self.template:
            values["template_file"] = f"{self.name}-{gender}.txt"
            save_text(workspace.templates / values["template_file"], self.template.replace("[class]", gender))
        return values


def _alone(name: str, title: str, **changes: Any) -> Row:
    """One technique laid over A1111's recipe."""
    return Row(name, f"A1111's recipe, {title}", changes=changes)


def _other(name: str, title: str, rate: str, images: int, **more: Any) -> Row:
    """Another trainer's defaults: one update looks at `images` pictures; no tag is left out or moved."""
    changes = {
        "learning_rate": rate,
        "batch_size": images,
        "gradient_accumulation_steps": 1,
        "shuffle_tags": False,
        "tag_drop_out": 0.0,
        **more.pop("changes", {}),
    }
    return Row(
        name, title, changes=changes, images_per_step=images, evaluate_every=240 // images, last_point=3000, **more
    )


def _ours(name: str, title: str, start: str = CLASS_WORD, **changes: Any) -> Row:
    """Our preset as it is, or with something laid over it."""
    steps, images = PRESETS[FAST]["steps"], PRESETS[FAST]["batch_size"]
    return Row(
        name,
        title,
        FAST,
        changes,
        start,
        images_per_step=images,
        evaluate_every=PRESETS[FAST]["image_every"],
        last_point=300,
        passes=steps * images,
    )


_ALL = (
    Row("known", "names that the model knows (ceiling)"),
    Row("a1111", "A1111's recipe (the guide's)", last_point=3000),
    _other("diffusers", "diffusers, README: 2e-3, 4 images, class word", "0.002", 4, initialization=CLASS_WORD),
    _other("kohya", "kohya, documentation: 1e-6, 4 images", "0.000001", 4, initialization=CLASS_WORD),
    _other("onetrainer", "OneTrainer, preset: 3e-4, 1 image", "0.0003", 1),
    _other(
        "invoke",
        "invoke-training, sample: 4e-3, 1 image, 4 vectors, soft pull",
        "0.0005:50, 0.002:200, 0.004:1000, 0.002:1500, 0.0005",
        1,
        vectors=4,
        initialization=CLASS_WORD,
        changes={"norm_control": "soft pull"},
    ),
    _alone("soft", "soft pull of the norm", norm_control="soft pull"),
    _alone("direction", "direction only", norm_control="direction only"),
    _alone("ema", "average of the vectors (0.9)", average_decay=0.9),
    Row("word", "A1111's recipe, begun with the class word", initialization=CLASS_WORD),
    Row(
        "small",
        "A1111's recipe, 2 images an update",
        changes={"gradient_accumulation_steps": 1},
        images_per_step=2,
        evaluate_every=20,
    ),
    _ours("ours", "Fast and faithful (ours)"),
)
WORDS = Row("words", "the person described in words")
CLASS_ALONE = Row("class", "the class word alone")
UNTRAINED = ("known", "words", "class")
"""Rows that only paint."""
ORACLES = tuple(
    replace(_ours(f"oracle{n}", f"oracle: 200 photos, 2,400 passes, vectors: {n}"), vectors=n, passes=2400, photos=200)
    for n in (1, 2, 4)
)
"""What can be had of a person: the best of these is the ceiling of the training, the words are that of the model."""
ONE_CHANGE = (
    _ours("prodigy", "Fast and faithful, Prodigy", optimizer="Prodigy", learning_rate="1"),
    _ours("adafactor", "Fast and faithful, Adafactor", optimizer="Adafactor"),
    _ours("cosine", "Fast and faithful, cosine to 0", rate_form="cosine to 0"),
    _ours("warm-up", "Fast and faithful, warm-up of 20 steps", warm_up=20),
    _ours("min-snr", "Fast and faithful, min-SNR gamma 5", min_snr_gamma=5.0),
    _ours("huber", "Fast and faithful, Huber loss from 0.1", huber_delta=0.1),
    _ours("offset", "Fast and faithful, noise offset 0.05", noise_offset=0.05),
    _ours("near", "Fast and faithful, begun with near words", NEAR_WORDS),
    replace(_ours("starts", "Fast and faithful, the best of three starts"), starts=(CLASS_WORD, NEAR_WORDS, "*")),
    replace(_ours("template", "Fast and faithful, class word in the template"), template=CLASS_TEMPLATE),
)
"""The options for experts and other starts, each alone."""
_MASKED: dict[str, Any] = {"masks_as_weight": True, "weight_outside": 0.1}
WITH_OTHERS = (
    replace(_ours(SAID, "others in the photos, said in the captions"), beside=SAID),
    replace(_ours("beside-masked", "others in the photos, said, masks of the head", **_MASKED), beside=SAID),
    replace(_ours(NOT_SAID, "others in the photos, not said in the captions"), beside=NOT_SAID),
    replace(
        _ours("beside-not-said-masked", "others in the photos, not said, masks of the head", **_MASKED), beside=NOT_SAID
    ),
)
"""Another person, a dog or a cup in every photo: what masks give. The masks are those that the Captions tab makes."""
ROWS: dict[str, Row] = {row.name: row for row in (*_ALL, WORDS, CLASS_ALONE, *ORACLES, *ONE_CHANGE, *WITH_OTHERS)}
TABLE = tuple(row.name for row in _ALL)
"""The rows of the table in docs/quality.md."""
