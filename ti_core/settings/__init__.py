"""Every option of the page and of the command line, declared once: default, A1111 label, help text, range; one file
a tab.

The same frozen objects travel from the page, the command line and the settings file to the worker. `problems()`
looks at the values alone; what is on disk is checked where it is used.
"""

from ti_core.settings.create import CreateSettings
from ti_core.settings.paint import AS_TRAINED, CompareSettings, Txt2ImgSettings
from ti_core.settings.paint_dataset import PaintDatasetSettings
from ti_core.settings.preprocess import PreprocessSettings
from ti_core.settings.shared import (
    AUTOMATIC,
    OWN_SIZE,
    PORTRAITS,
    PREDICTION_TYPES,
    SAMPLERS,
    SWITCHES,
    ZERO_SNR,
    parse_prediction,
    prediction_label,
)
from ti_core.settings.train import ResumeSettings, TrainSettings
from ti_core.settings.train_captions import ONE_LINE
from ti_core.settings.train_more import MOST_PREVIEW_PROMPTS, OF_EACH_STEP, OF_THE_RUN
from ti_core.settings.train_quality import WITH_EACH_PREVIEW

__all__ = [
    "AS_TRAINED",
    "AUTOMATIC",
    "MOST_PREVIEW_PROMPTS",
    "OF_EACH_STEP",
    "OF_THE_RUN",
    "ONE_LINE",
    "OWN_SIZE",
    "PORTRAITS",
    "PREDICTION_TYPES",
    "SAMPLERS",
    "SWITCHES",
    "WITH_EACH_PREVIEW",
    "ZERO_SNR",
    "CompareSettings",
    "CreateSettings",
    "PaintDatasetSettings",
    "PreprocessSettings",
    "ResumeSettings",
    "TrainSettings",
    "Txt2ImgSettings",
    "parse_prediction",
    "prediction_label",
]
