"""Stable Diffusion XL (Podell et al. 2023): two text encoders side by side, the pooled output of the second, and the
size and the crop of each picture condition the UNet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ti_core.models.families.family import MIB, Family, ModelFacts

if TYPE_CHECKING:
    from torch import Tensor


class StableDiffusionXL(Family):
    """What differs from a family of one text encoder."""

    def encode(self, encoder: Any, ids: Tensor, clip_skip: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The last layer but one, without a norm, whatever the clip skip; the second encoder also has a projection,
        whose output is its pooled one (Podell et al. 2023, section 2.1).
        """
        out = encoder(ids, output_hidden_states=True)
        return out.hidden_states[-2], (out.text_embeds,) if "text_embeds" in out else ()

    def pooled_widths(self, encoders: tuple[Any, ...]) -> tuple[int, ...]:
        """That of the second encoder's projection."""
        return (int(encoders[-1].config.projection_dim),)

    def added_conditioning(self, pooled: tuple[Tensor, ...], size_conditioning: Tensor) -> dict[str, Tensor]:
        """The pooled output of the second encoder, [n, width], and the sizes, [n, 6]."""
        (text_embeds,) = pooled
        return {"text_embeds": text_embeds, "time_ids": size_conditioning}


SDXL = StableDiffusionXL(
    "sdxl",
    "Stable Diffusion XL",
    encoders=("clip_l", "clip_g"),
    memory=ModelFacts(2_567_463_684, 83_653_863, 817_720_320, 128_256, 22_528, 160 * MIB, sampling_numbers=10_112),
    encoder_classes=("CLIPTextModel", "CLIPTextModelWithProjection"),
    pipeline="StableDiffusionXLPipeline",
    uses_clip_skip=False,
    zeros_for_no_prompt=True,
    vae_overflows_in_fp16=True,
)
