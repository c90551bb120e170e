"""How pictures are painted in the memory that a device has: a plan before the first one, and what makes way for what
when it runs out all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ti_core.errors import TooLittleMemory, is_out_of_memory
from ti_core.models.families.family import ModelFacts
from ti_core.models.memory import SPARE_BYTES, SPARE_SHARE, TEXT_BYTES, TILE_PX, memory_facts, with_attention

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

    from ti_core.models.stable_diffusion import StableDiffusion


@dataclass(frozen=True)
class PaintingPlan:
    """How to paint: `at_once` pictures together; `in_turns` lets one network after the other be on the device;
    `vae_slicing` decodes in parts. `total` is the most bytes at one time; `fits` is False where nothing is enough.
    """

    at_once: int
    in_turns: bool
    vae_slicing: bool
    total: int
    fits: bool


def plan_painting(
    free_bytes: int, facts: ModelFacts, width: int, height: int, pictures: int, bytes_per_number: int = 2
) -> PaintingPlan:
    """The fastest way that fits into `free_bytes`. Sizes in pixels, `bytes_per_number` as in `memory.estimate`.

    In this order: everything on the device and as many pictures at once as fit; decoding in parts; the networks in
    turns, again without parts first.
    """
    usable = int(free_bytes * (1 - SPARE_SHARE)) - SPARE_BYTES
    for in_turns in (False, True):
        for slicing in (False, True):
            totals = [
                painting_bytes(facts, width, height, count, bytes_per_number, in_turns, slicing)
                for count in range(1, pictures + 1)
            ]
            fitting = sum(total <= usable for total in totals)
            if fitting:
                return PaintingPlan(fitting, in_turns, slicing, totals[fitting - 1], True)
    return PaintingPlan(1, True, True, totals[0], False)


def painting_bytes(
    facts: ModelFacts, width: int, height: int, pictures: int, bytes_per_number: int, in_turns: bool, vae_slicing: bool
) -> int:
    """The most that painting so many pictures together has on the device. They are decoded one by one."""
    pixels = width * height / facts.latent_factor**2
    decoded = min(pixels, (TILE_PX / facts.latent_factor) ** 2) if vae_slicing else pixels
    encoders = facts.encoder_parameters * TEXT_BYTES
    unet, vae = facts.unet_parameters * bytes_per_number, facts.vae_parameters * bytes_per_number
    denoising = with_attention(facts, pictures * pixels * bytes_per_number * facts.sampling_numbers)
    decoding = decoded * bytes_per_number * facts.vae_numbers
    if in_turns:
        return int(max(encoders, unet + denoising, vae + decoding))
    return int(encoders + unet + vae + max(denoising, decoding))


def decode_in_parts(vae: AutoencoderKL, latent_factor: int) -> None:
    """Let it decode one picture after the other, in parts of TILE_PX."""
    vae.enable_slicing()
    vae.enable_tiling()
    # SDXL's own tiles are as large as its pictures
    vae.tile_sample_min_size = min(vae.tile_sample_min_size, TILE_PX)
    vae.tile_latent_min_size = vae.tile_sample_min_size // latent_factor


def place_networks(sd: StableDiffusion, vae_off_device: bool, encoders_off_device: bool) -> None:
    """Bring the networks to the device, those that the plan wants there; where they do not fit, without the VAE, then
    without the text encoders. Raises TooLittleMemory where the UNet alone is too large.
    """
    for vae_off, encoders_off in ((vae_off_device, encoders_off_device), (True, encoders_off_device), (True, True)):
        try:
            sd.move_to_device(vae_off, encoders_off)
            return
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        sd.leave_device()
    raise TooLittleMemory(
        f"The device's memory is too small for the UNet of {sd.file.title}.",
        "Choose a smaller checkpoint, or close other programs that use the graphics card.",
    )


def plan_and_place(sd: StableDiffusion, free_bytes: int, width: int, height: int, pictures: int) -> PaintingPlan:
    """Plan the painting of so many pictures and bring the networks to the device, or nothing where they take turns."""
    plan = plan_painting(free_bytes, memory_facts(sd), width, height, pictures, sd.unet.dtype.itemsize)
    if plan.vae_slicing and sd.device.type != "cpu":
        decode_in_parts(sd.vae, sd.latent_factor)
    if sd.device.type == "cpu" or not plan.in_turns:
        try:
            sd.move_to_device()
            return plan
        except RuntimeError as error:
            if sd.device.type == "cpu" or not is_out_of_memory(error):
                raise
        sd.leave_device()
    sd.paints_in_turns = True
    sd.on_notice(
        "The device's memory is too small for all parts of the checkpoint at once, so they take turns on it. Each"
        " picture takes some seconds longer."
    )
    return plan


def make_room_for_painting(sd: StableDiffusion, is_decoding: bool) -> bool:
    """Take the next thing off the device that painting can do without for a while, or let it decode in parts; False
    where there is nothing more.
    """
    if is_decoding and not sd.vae.use_tiling:
        decode_in_parts(sd.vae, sd.latent_factor)
        return True
    if sd.device.type == "cpu" or sd.paints_in_turns:
        return False
    sd.paints_in_turns = True
    return True
