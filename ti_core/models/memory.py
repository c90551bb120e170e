"""How much memory a training needs, and what to do so that it fits: plain arithmetic from what bench/memory.py
counted, no device is asked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

from ti_core.models.families import FAMILIES
from ti_core.models.families.family import MIB, ModelFacts
from ti_core.settings import AUTOMATIC, SWITCHES, TrainSettings

if TYPE_CHECKING:
    from ti_core.checkpoints.facts import CheckpointFacts
    from ti_core.models.device import DeviceState
    from ti_core.models.stable_diffusion import StableDiffusion

_, ON, OFF = SWITCHES
TEXT_BYTES = 4
"""Text encoders are float32 whatever the precision."""
SLICE_BYTES = 32 * MIB
"""What the matrix of attention may take in float32, where it works in slices (models/attention.py)."""
SLICED_ATTENTION_BYTES = 3 * SLICE_BYTES
"""What attention in slices has on the device while it works: such a matrix, its softmax and a gradient."""
SLICED_SHARE, SLICED_SHARE_THEN = 0.9, 0.8
"""What slices keep of what attention with a kernel of its own keeps, whose answers are kept too; and what of it is
there while attention works (docs/performance.md).
"""
TILE_PX = 512
"""With VAE slicing a preview is decoded in parts of this size."""
SPARE_SHARE, SPARE_BYTES = 0.05, 128 * MIB
"""Left free for what counting cannot see: work space of single kernels and the allocator's rounding."""
CPU_PIXELS_AT_ONCE = 16_384
NO_WISHES = TrainSettings()
PROMPTS_SHARE = 0.05
"""Prompts of one update are encoded together only while what their backward pass keeps stays below this share of
the free memory.
"""


def memory_facts(sd: StableDiffusion) -> ModelFacts:
    """Facts of a loaded checkpoint: its own parameters, and the family's constants by the width of its networks."""
    known = sd.family.memory
    unet_width = sd.unet.config.block_out_channels[0] / 320
    vae_width = sd.vae.config.block_out_channels[0] / 128 * (sd.latent_factor / known.latent_factor) ** 2
    wide = sd.vae.dtype.itemsize / sd.unet.dtype.itemsize  # SDXL's autoencoder stays float32 beside a float16 UNet
    text_size = sum(sum(p.numel() for p in encoder.parameters()) for encoder in sd.text_encoders)
    return replace(
        known,
        unet_parameters=sum(p.numel() for p in sd.unet.parameters()),
        vae_parameters=int(wide * sum(p.numel() for p in sd.vae.parameters())),
        encoder_parameters=text_size,
        kept_numbers=known.kept_numbers * unet_width,
        checkpointed_numbers=known.checkpointed_numbers * unet_width,
        prompt_bytes=known.prompt_bytes * text_size / known.encoder_parameters,
        vae_numbers=known.vae_numbers * vae_width * wide,
        latent_factor=sd.latent_factor,
        sampling_numbers=known.sampling_numbers * unet_width,
        attention_bytes=0 if sd.has_fused_attention else SLICED_ATTENTION_BYTES,
    )


def facts_by_size(checkpoint: CheckpointFacts) -> ModelFacts:
    """Facts of a checkpoint that is not loaded, by the number of its weights: those of its family, narrower by the
    root of the share.
    """
    known = FAMILIES[checkpoint.family].memory
    share = checkpoint.parameters / (known.unet_parameters + known.vae_parameters + known.encoder_parameters) or 1.0
    width = share**0.5
    return ModelFacts(
        int(known.unet_parameters * share),
        int(known.vae_parameters * share),
        int(known.encoder_parameters * share),
        known.kept_numbers * width,
        known.checkpointed_numbers * width,
        known.prompt_bytes * share,
        known.vae_numbers * width * (checkpoint.latent_factor / known.latent_factor) ** 2,
        checkpoint.latent_factor,
        known.sampling_numbers * width,
    )


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes on the device. `weights` are the UNet's; `vae` is what a preview needs on top while nothing is in work;
    `total` is the most at one time. `painted_pixels` is how many latent pixels are painted together in it.
    """

    weights: int
    activations: int
    vae: int
    encoders: int
    prompts: int
    total: int
    micro_batch: int
    painted_pixels: int = 0

    def sentence(self) -> str:
        """For the user, in gigabytes."""
        pictures = "1 picture" if self.micro_batch == 1 else f"{self.micro_batch} pictures"
        parts = {
            "the UNet": self.weights,
            "the text encoders": self.encoders + self.prompts,
            f"{pictures} at once": self.activations,
            "a preview": self.vae,
        }
        text = ", ".join(f"{bytes / 2**30:.1f} for {what}" for what, bytes in parts.items() if bytes > 0.05 * 2**30)
        size = f"about {self.total / 2**30:.1f} GB" if self.total >= 0.05 * 2**30 else "less than 0.1 GB"
        return f"{size} of the device's memory" + (f": {text}" if self.total > 2**30 else "")


def estimate(
    facts: ModelFacts,
    width: int,
    height: int,
    micro_batch: int,
    bytes_per_number: int,
    checkpointing: bool,
    encoders_on_device: bool,
    vae_on_device: bool,
    prompts: int = 1,
    vae_slicing: bool = False,
) -> MemoryNeed:
    """What a training needs on the device. Sizes in pixels; `bytes_per_number` is 2 in half precision, 4 in
    float32.

    `prompts` is how many keep their graph during the passes. A preview is painted while no training pass is under
    way, so that only the larger of the two counts. It needs the autoencoder, wherever that idles, and before that the
    UNet without a gradient: of so many pictures together as the training itself has room for, of one at least, which is
    less than a checkpointed pass.
    """
    pixels = width * height / facts.latent_factor**2
    numbers = facts.checkpointed_numbers if checkpointing else facts.kept_numbers
    weights = facts.unet_parameters * bytes_per_number
    activations = with_attention(facts, micro_batch * pixels * bytes_per_number * numbers, SLICED_SHARE)
    encoders = facts.encoder_parameters * TEXT_BYTES if encoders_on_device else 0
    kept_prompts = prompts * facts.prompt_bytes if encoders_on_device else 0
    vae_weights = facts.vae_parameters * bytes_per_number
    decoded = min(pixels, (TILE_PX / facts.latent_factor) ** 2) if vae_slicing else pixels
    preview = vae_weights + decoded * bytes_per_number * facts.vae_numbers
    at_work = activations + kept_prompts + (vae_weights if vae_on_device else 0)
    total = weights + encoders + max(at_work, preview)
    to_paint = max(at_work, preview) - facts.attention_bytes - (vae_weights if vae_on_device else 0)
    painted = max(int(pixels), int(to_paint / bytes_per_number / facts.sampling_numbers))
    return MemoryNeed(
        weights, int(activations), int(preview), encoders, int(kept_prompts), int(total), micro_batch, painted
    )


def with_attention(facts: ModelFacts, bytes_at_once: float, share: float = 1.0) -> float:
    """The most of a pass that would have so many bytes at once with an attention kernel: where there is none, slices
    keep `share` of them, and have matrices of their own while attention works.
    """
    if not facts.attention_bytes:
        return bytes_at_once
    return max(share * bytes_at_once, SLICED_SHARE_THEN * bytes_at_once + facts.attention_bytes)


@dataclass(frozen=True)
class FitPlan:
    """How to train. `prompts_at_once` is how many prompts of an update are encoded together: all of them, or else
    they are encoded once more, in parts, for the backward pass. `fits` is False where nothing is enough.
    """

    micro_batch: int
    gradient_checkpointing: bool
    vae_off_device: bool
    encoders_off_device: bool
    vae_slicing: bool
    prompts_at_once: int
    need: MemoryNeed
    fits: bool


def choose_fit(
    free_bytes: int,
    facts: ModelFacts,
    width: int,
    height: int,
    images: int,
    bytes_per_number: int = 2,
    wishes: TrainSettings = NO_WISHES,
    most: int = 0,
) -> FitPlan:
    """The fastest way that fits into `free_bytes`, counted before anything is loaded; `images` is the number of one
    update, `most` how many of them are put together where the user wishes no number (0: as many as fit). Of the
    `wishes` those of the group Memory count.

    In this order: everything on the device and all images at once; the VAE off the device and as many images as
    fit; previews decoded in parts; gradient checkpointing; the text encoders off the device, again without
    checkpointing first.
    """
    usable = int(free_bytes * (1 - SPARE_SHARE)) - SPARE_BYTES
    together = min(images, max(1, int(usable * PROMPTS_SHARE / facts.prompt_bytes)))
    wanted = min(images, wishes.micro_batch or most or images)
    ways = product(
        *map(_ways_of, (wishes.encoders_to_ram, wishes.gradient_checkpointing, wishes.vae_slicing, wishes.vae_to_ram))
    )
    for encoders_off, checkpointing, slicing, vae_off in ways:
        prompts = images if encoders_off else together
        need = partial(
            estimate,
            facts,
            width,
            height,
            bytes_per_number=bytes_per_number,
            checkpointing=checkpointing,
            encoders_on_device=not encoders_off,
            vae_on_device=not vae_off,
            prompts=prompts if prompts == images else 0,
            vae_slicing=slicing,
        )
        fitting = [n for n in range(1, wanted + 1) if need(n).total <= usable]
        enough = fitting and (not wishes.micro_batch or fitting[-1] == wanted)
        count = fitting[-1] if enough else wishes.micro_batch or 1
        plan = FitPlan(count, checkpointing, vae_off, encoders_off, slicing, prompts, need(count), bool(enough))
        if enough and (vae_off or count == wanted or wishes.vae_to_ram == OFF):
            break
    return plan


def plan_fit(
    settings: TrainSettings,
    state: DeviceState,
    facts: ModelFacts,
    width: int,
    height: int,
    images: int,
    bytes_per_number: int = 0,
) -> FitPlan:
    """`choose_fit` for a training with these settings on a device in this state; the page asks it before the start,
    and the run at its start.

    `images` is what one device has of an update, `bytes_per_number` that of a loaded UNet. A CPU gains nothing from
    more than a few thousand latent pixels at once.
    """
    most = max(1, CPU_PIXELS_AT_ONCE * facts.latent_factor**2 // (width * height)) if state.kind == "cpu" else 0
    half = state.half if settings.precision == AUTOMATIC else settings.precision != "float32"
    if not state.fused_attention:
        facts = replace(facts, attention_bytes=SLICED_ATTENTION_BYTES)
    return choose_fit(
        state.free_bytes, facts, width, height, images, bytes_per_number or (2 if half else 4), settings, most
    )


def _ways_of(switch: str) -> tuple[bool, ...]:
    return (False, True) if switch == AUTOMATIC else (switch == ON,)
