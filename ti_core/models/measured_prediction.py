"""Whether a UNet predicts epsilon or v, for a single file that does not say: by what it answers to pure noise."""

from __future__ import annotations

import torch

from ti_core.models.stable_diffusion import TOKENS, Conditioning, StableDiffusion

SIDE = 32
"""Latents of the noise that is asked about."""


@torch.no_grad()
def measured_prediction_type(sd: StableDiffusion) -> str:
    """ "epsilon" where the UNet answers almost pure noise with the noise itself, "v_prediction" where with minus the
    picture, which is unlike it (Salimans & Ho 2022, appendix D). The UNet stays on the device.
    """
    sd.unet.to(sd.device)
    noise = torch.randn((1, 4, SIDE, SIDE), generator=torch.Generator().manual_seed(0)).to(sd.device)
    hidden_states = torch.zeros(1, TOKENS, sum(sd.widths.values()), device=sd.device)
    last = torch.tensor([len(sd.alphas_cumprod) - 1], device=sd.device)
    predicted = sd.predict(noise, last, Conditioning(hidden_states), torch.zeros(1, 6, device=sd.device))
    alike = torch.nn.functional.cosine_similarity(predicted.float().flatten(), noise.flatten(), dim=0)
    return "epsilon" if float(alike) > 0.5 else "v_prediction"


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
