"""Stable Diffusion 2: OpenCLIP ViT-H/14 as its text encoder, of which the last layer is never used. Its models predict
epsilon or v, and a single file does not always say which (checkpoints/families.py).
"""

from __future__ import annotations

from ti_core.models.families.family import MIB, Family, ModelFacts

SD2 = Family(
    "sd2",
    "Stable Diffusion 2",
    encoders=("clip_h",),
    memory=ModelFacts(865_910_724, 83_653_863, 340_387_840, 66_048, 25_088, 70 * MIB),
)
