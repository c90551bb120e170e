"""Options that several tabs have: the size of pictures, and how the checkpoint is loaded (at the top of the page,
as in A1111).
"""

from __future__ import annotations

from typing import Any

from ti_core.settings.option import option

PORTRAITS = "Portraits (built in)"
OWN_SIZE = 0
AUTOMATIC = "Automatic"
"""The choice that leaves a decision to the file or to the device."""
ZERO_SNR = "zero terminal SNR"
PREDICTION_TYPES = (AUTOMATIC, "epsilon", "v_prediction", f"v_prediction, {ZERO_SNR}")
PRECISIONS = (AUTOMATIC, "bfloat16", "float16", "float32")
SWITCHES = (AUTOMATIC, "on", "off")
MIN_SIZE_PX, MAX_SIZE_PX = 64, 2048
SAMPLERS = ("DPM++ 2M Karras", "Euler a", "Euler", "DDIM", "UniPC")


def size_options(what: str, a1111_prefix: str = "") -> tuple[Any, Any]:
    """Width and Height in px."""
    more = {"minimum": MIN_SIZE_PX, "maximum": MAX_SIZE_PX, "step": 8, "of_size": lambda size_px: size_px}
    text = f"{what} in pixels. Keep the checkpoint's own size (512 for Stable Diffusion 1, 1024 for XL)."
    return tuple(
        option(OWN_SIZE, label, "slider", text, a1111=a1111_prefix + label.lower(), changes_plan=True, **more)
        for label in ("Width", "Height")
    )


def checkpoint_option() -> Any:
    """The checkpoint by its title, or as a path."""
    text = "Choose the model that learns the new word. Portraits is small and built in, for cartoon faces only."
    return option(
        PORTRAITS, "Stable Diffusion checkpoint", "dropdown", text, required=True, flag="--ckpt", changes_plan=True
    )


def vae_option() -> Any:
    """Another autoencoder than the checkpoint's."""
    return option(
        AUTOMATIC,
        "SD VAE",
        "dropdown",
        "Keep Automatic. Choose a file of models/VAE if colours look pale.",
        required=True,
    )


def prediction_option() -> Any:
    """What the UNet predicts, where the file does not say it, or says it wrongly."""
    return option(
        AUTOMATIC,
        "Prediction type",
        "dropdown",
        "Keep Automatic. If previews are brown or grey mush, choose v_prediction; if that is no better, epsilon.",
        choices=PREDICTION_TYPES,
    )


def sampler_option(label: str = "Sampling method", what: str = "the picture is", **more: Any) -> Any:
    """How noise becomes a picture."""
    text = f"How {what} worked out of noise. Keep {SAMPLERS[0]}."
    return option(SAMPLERS[0], label, "dropdown", text, choices=SAMPLERS, **more)


def steps_option(
    default: int = 20,
    label: str = "Sampling steps",
    help: str = "More steps paint finer pictures and take longer. 20 is good.",
) -> Any:
    """How many steps a picture is painted in."""
    return option(default, label, "slider", help, minimum=1, maximum=150, step=1)


def cfg_scale_option(label: str = "CFG Scale", what: str = "the pictures") -> Any:
    """The scale of classifier-free guidance."""
    text = f"How strictly {what} follow the prompt. Keep 7."
    return option(7.0, label, "slider", text, minimum=1, maximum=30, step=0.5)


def seed_option(default: int, help: str, label: str = "Seed", least: int = 0, **more: Any) -> Any:
    """The seed of pictures or of a training. Where `least` is -1, that draws a new one each time."""
    return option(default, label, "number", help, minimum=least, maximum=2**32 - 1, step=1, **more)


def rescale_option(label: str) -> Any:
    """Guidance that keeps the contrast which the prompt alone gives (Lin et al. 2023, section 3.4)."""
    return option(
        0.0,
        label,
        "slider",
        "Keep 0. For checkpoints of zero terminal SNR whose pictures come out too bright or too strong, choose 0.7.",
        minimum=0,
        maximum=1,
        step=0.05,
    )


def prediction_label(prediction_type: str, zero_terminal_snr: bool) -> str:
    """As the choices of `prediction_option` name it: "v_prediction, zero terminal SNR"."""
    return ", ".join(filter(None, [prediction_type, ZERO_SNR if zero_terminal_snr else ""]))


def parse_prediction(label: str) -> tuple[str, bool]:
    """Prediction type, and whether the noise ends at zero terminal SNR, of a label."""
    prediction_type, _, rest = label.partition(", ")
    return prediction_type, rest == ZERO_SNR


def precision_option(**more: Any) -> Any:
    """How exactly the networks compute."""
    return option(
        AUTOMATIC,
        "Precision",
        "dropdown",
        "Keep Automatic: the fastest that this device computes well. float32 is exact, and needs twice the memory.",
        choices=PRECISIONS,
        **more,
    )


def clip_skip_option() -> Any:
    """Which of the text encoder's last layers is used (A1111: CLIP_stop_at_last_layers)."""
    return option(
        1,
        "Clip skip",
        "slider",
        "Keep 1. Choose 2 only for checkpoints that say so, such as anime ones. SDXL has its own and ignores it.",
        minimum=1,
        maximum=12,
        step=1,
    )


def device_option() -> Any:
    """Which of the server's devices does the job; a program of the command line is told by --device."""
    return option(
        AUTOMATIC,
        "Device",
        "dropdown",
        "Keep Automatic: the first free card that has room. Choose one to wait for it; other tabs then prefer it too.",
        page_only=True,
        changes_plan=True,
    )


def switch(label: str, help: str, **more: Any) -> Any:
    """What the program decides by itself, unless the user says on or off."""
    return option(AUTOMATIC, label, "radio", help, choices=SWITCHES, **more)
