"""The recipes for negative and slider words, as settings of Create, of painting the pictures, and of Train. Page and
command line share them.
"""

from __future__ import annotations

from typing import Any

from ti_core.embeddings.kind_in_file import kind_of_file
from ti_core.settings import TrainSettings
from ti_core.settings.train_kind import AS_CREATED
from ti_core.settings.word_kind import NEGATIVE, SLIDER, WordKind
from ti_core.training.presets import PRESETS, preset_values
from ti_core.workspace import Workspace

NEGATIVE_PRESET, SLIDER_PRESET = "Negative word", "Slider word"
_SHARED = {
    "batch_size": 4,
    "gradient_accumulation_steps": 1,
    "latent_sampling_method": "deterministic",
    "norm_control": "direction only",
}
_NEGATIVE = {"learning_rate": "0.01:50, 0.005:120, 0.002", "steps": 200, "image_every": 50, "save_every": 50}
_SLIDER = {"learning_rate": "0.002", "steps": 72, "image_every": 36, "save_every": 36, "min_snr_gamma": 1}
KIND_PRESETS: dict[str, dict[str, Any]] = {
    NEGATIVE_PRESET: {**_SHARED, **_NEGATIVE, "kind": NEGATIVE},
    SLIDER_PRESET: {**_SHARED, **_SLIDER, "kind": SLIDER},
}
"""What each preset sets beside the defaults. docs/words.md tells how the values were found."""
ALL_PRESETS = {**PRESETS, **KIND_PRESETS}
PRESET_OF_KIND = {NEGATIVE: NEGATIVE_PRESET, SLIDER: SLIDER_PRESET}
VECTORS = 2
"""Of a new negative or slider word."""
BAD_PROMPTS = "a photo of a man\na photo of a woman"
PAINTED, PAINTED_BADLY = 24, 40
"""How many pictures the recipes paint."""


def kind_preset_values(preset: str, dataset_directory: str, embedding: str, word: WordKind) -> dict[str, Any]:
    """Values of the Train form for a word that is to be of the preset's kind; where it was created so (`word`), its
    file says the rest, and what stood in the form before does not count.
    """
    values = TrainSettings.reset_values() | KIND_PRESETS[preset]
    values |= {"embedding": embedding, "dataset_directory": dataset_directory}
    return values | ({"kind": AS_CREATED} if values["kind"] == word.kind else {})


def all_preset_values(preset: str, workspace: Workspace, dataset_directory: str, embedding: str) -> dict[str, Any]:
    """`preset_values`, also for the presets of other kinds of words. Raises UserError."""
    if preset not in KIND_PRESETS:
        return preset_values(preset, workspace, dataset_directory, embedding)
    return kind_preset_values(preset, dataset_directory, embedding, kind_of_file(embedding, workspace))


def painted_prompts(word: WordKind) -> list[str]:
    """What to paint for a slider: what it acts on, plain, with more, with less, and each of that with what it keeps, so
    that it is trained on all it will meet.
    """
    on = word.on.replace("[filewords]", "").strip(" ,")
    kept = [piece.strip() for piece in word.keep.split(",") if piece.strip()] or [""]
    return [", ".join(filter(None, [on, keep, end])) for keep in kept for end in ("", word.more, word.less)]
