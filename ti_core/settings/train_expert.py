"""Options of the Train tab: optimizer, schedule and loss, for those who look for them by name."""

from __future__ import annotations

from dataclasses import dataclass

from ti_core.settings.option import Group, Settings, option
from ti_core.settings.schedule import RATE_FORMS

EXPERT = Group("expert", "Optimizer, schedule and loss, for experts")
OPTIMIZERS = ("AdamW", "Prodigy", "Adafactor")


@dataclass(frozen=True)
class ExpertTrainOptions(Settings):
    """What other trainers offer, off by default; A1111 has none of it."""

    optimizer: str = option(
        OPTIMIZERS[0],
        "Optimizer",
        "dropdown",
        "Keep AdamW. Prodigy finds the rate by itself: write 1 as the Embedding Learning rate."
        " It was slower to begin and no better at the end.",
        choices=OPTIMIZERS,
        reset_by_presets=True,
        group=EXPERT,
    )
    rate_form: str = option(
        RATE_FORMS[0],
        "Form of the learning rate",
        "dropdown",
        "Keep as written. The others let the rates above fall to nothing until Max steps."
        " That brought nothing on faces.",
        choices=RATE_FORMS,
        reset_by_presets=True,
    )
    warm_up: int = option(
        0,
        "Warm-up steps",
        "number",
        "Keep 0. So many first steps begin with a small rate that rises to the one above."
        " That brought nothing on faces.",
        minimum=0,
        step=1,
        reset_by_presets=True,
    )
    min_snr_gamma: float = option(
        0.0,
        "Min-SNR gamma, 0 to disable",
        "number",
        "Keep 0, for sliders 1. 5 lets steps of little noise count less, as kohya and OneTrainer offer it."
        " Faces came sooner, and no better.",
        minimum=0,
        maximum=100,
        reset_by_presets=True,
    )
    huber_delta: float = option(
        0.0,
        "Huber loss from, 0 to disable",
        "number",
        "Keep 0. 0.1 lets large errors count less, for photos with odd spots. Faces came sooner, and no better.",
        minimum=0,
        maximum=10,
        reset_by_presets=True,
    )
    noise_offset: float = option(
        0.0,
        "Noise offset",
        "number",
        "Keep 0. 0.05 helps a model that cannot paint very dark or very bright pictures."
        " That brought nothing on faces.",
        minimum=0,
        maximum=1,
        reset_by_presets=True,
    )
