"""Stable Diffusion 1 (Rombach et al. 2022): CLIP ViT-L/14 as its text encoder."""

from __future__ import annotations

from ti_core.models.families.family import MIB, Family, ModelFacts

SD1 = Family(
    "sd1",
    "Stable Diffusion 1",
    encoders=("clip_l",),
    memory=ModelFacts(859_520_964, 83_653_863, 123_060_480, 66_048, 25_088, 39 * MIB),
    old_encoder_prefix="cond_stage_model.transformer.",
)
