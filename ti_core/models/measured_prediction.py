"""What a UNet's answer to pure noise tells: whether it predicts epsilon or v, for a single file that does not say, and
whether the device can compute it in float16.
"""

from __future__ import annotations

import torch
from accelerate.utils.memory import clear_device_cache
from torch import Tensor

from ti_core.errors import is_out_of_memory
from ti_core.models.stable_diffusion import TOKENS, Conditioning, StableDiffusion

SIDE = 32
"""Latents of the noise that is asked about."""


@torch.no_grad()
def measured_prediction_type(sd: StableDiffusion) -> str:
    """ "epsilon" where the UNet answers almost pure noise with the noise itself, "v_prediction" where with minus the
    picture, which is unlike it (Salimans & Ho 2022, appendix D). The UNet stays on the device.
    """
    noise, predicted = _answer_to_noise(sd)
    alike = torch.nn.functional.cosine_similarity(predicted.float().flatten(), noise.flatten(), dim=0)
    return "epsilon" if float(alike) > 0.5 else "v_prediction"


@torch.no_grad()
def computes_in_float16(sd: StableDiffusion) -> bool:
    """Whether the UNet's answer is finite. Convolutions of the GTX 16 cards are not, in float16. The UNet stays on the
    device. True where it does not even fit: that is said later.
    """
    try:
        return bool(_answer_to_noise(sd)[1].isfinite().all())
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    sd.unet.to("cpu")
    clear_device_cache(garbage_collection=True)
    return True


def _answer_to_noise(sd: StableDiffusion) -> tuple[Tensor, Tensor]:
    """Noise [1, 4, SIDE, SIDE], and the prediction for it at the last timestep, without a prompt."""
    sd.unet.to(sd.device)
    noise = torch.randn((1, 4, SIDE, SIDE), generator=torch.Generator().manual_seed(0)).to(sd.device)
    hidden_states = torch.zeros(1, TOKENS, sd.unet.config.cross_attention_dim, device=sd.device)
    pooled = tuple(torch.zeros(1, width, device=sd.device) for width in sd.family.pooled_widths(sd.text_encoders))
    last = torch.tensor([len(sd.alphas_cumprod) - 1], device=sd.device)
    conditioning = Conditioning(hidden_states, pooled)
    return noise, sd.predict(noise, last, conditioning, torch.zeros(1, 6, device=sd.device))


def settle_prediction_type(sd: StableDiffusion) -> None:
    """Measure what `sd` predicts, set it, and leave a note for the user."""
    kind = measured_prediction_type(sd)
    sd.notes = (
        (
            f"{sd.file.title} does not say what it predicts; its answer to pure noise says {kind}. Choose Prediction"
            " type if pictures come out wrong."
        ),
    )
    sd.prediction_type = sd.scheduler_config["prediction_type"] = kind
