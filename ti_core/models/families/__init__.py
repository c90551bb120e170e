"""The families of Stable Diffusion that can be trained: one file and one row each."""

from __future__ import annotations

from ti_core.models.families.family import Family
from ti_core.models.families.sd1 import SD1
from ti_core.models.families.sd2 import SD2
from ti_core.models.families.sdxl import SDXL

FAMILIES: dict[str, Family] = {family.name: family for family in (SD1, SD2, SDXL)}
