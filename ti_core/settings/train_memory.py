"""Options of the Train tab: memory and devices."""

from __future__ import annotations

from dataclasses import dataclass

from ti_core.settings.option import Group, Settings, option
from ti_core.settings.shared import device_option, switch

MEMORY = Group("memory", "Memory")


@dataclass(frozen=True)
class MemoryTrainOptions(Settings):
    """What fits on which device; none of it changes the result."""

    micro_batch: int = option(
        0,
        "Pictures at once",
        "number",
        "Keep 0: as many as fit. Choose 1 if memory runs out; the result is the same.",
        minimum=0,
        step=1,
        changes_plan=True,
        group=MEMORY,
    )
    gradient_checkpointing: str = switch(
        "Gradient checkpointing",
        "Keep Automatic. on needs much less memory and takes nearly half as long again; the result is the same.",
        changes_plan=True,
    )
    vae_to_ram: str = switch(
        "Move VAE to RAM when training. Saves VRAM.",
        "Keep Automatic: it makes room where the device's memory is short, and is brought back for each preview.",
        changes_plan=True,
    )
    encoders_to_ram: str = switch(
        "Move CLIP to RAM when training. Saves VRAM.",
        "Keep Automatic. on runs the text encoders on the processor, which makes each step some seconds longer.",
        changes_plan=True,
    )
    compile_unet: str = switch(
        "Compile the UNet",
        "Keep Automatic: on for long trainings on an NVIDIA card, if it computes the same. It takes a minute or two at"
        " the start.",
        changes_plan=True,
    )
    gpus: int = option(
        1,
        "GPUs",
        "number",
        "How many graphics cards share a step's pictures; no more than a step has pictures.",
        minimum=1,
        step=1,
        changes_plan=True,
    )
    device: str = device_option()
    vae_slicing: str = switch(
        "VAE slicing",
        "Keep Automatic. on decodes previews one by one and in parts, for large pictures on small cards.",
        changes_plan=True,
    )
