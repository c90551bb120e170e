"""The kinds of words that can be trained, one file each: a kind says what an update sees and what its target is. All go
through the one loop.
"""

from ti_core.settings import TrainSettings
from ti_core.settings.train_kind import GUIDED
from ti_core.settings.word_kind import NEGATIVE, SLIDER, WordKind
from ti_core.training.kinds.kind import TrainingKind
from ti_core.training.kinds.negative import GuidedNegativeWord, PlainNegativeWord
from ti_core.training.kinds.ordinary import OrdinaryWord
from ti_core.training.kinds.slider import SliderWord


def kind_of(word: WordKind, settings: TrainSettings) -> TrainingKind:
    """How a word of that kind is trained."""
    if word.kind == SLIDER:
        return SliderWord(word, settings.slider_range)
    if word.kind == NEGATIVE:
        negative = GuidedNegativeWord if settings.negative_training == GUIDED else PlainNegativeWord
        return negative(word, settings.negative_guidance)
    return OrdinaryWord(word)
