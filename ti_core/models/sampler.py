"""Paints pictures from prompts with one of a few solvers; all pictures and both halves of the guidance in one batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from accelerate.utils.memory import clear_device_cache
from PIL import Image

from ti_core.errors import Interrupted, TooLittleMemory, is_out_of_memory
from ti_core.models.painting_memory import make_room_for_painting
from ti_core.models.prompt_encoder import PromptEncoder, Vectors
from ti_core.models.size_conditioning import size_conditioning
from ti_core.models.solvers import EulerAncestral, set_timesteps, solver_for
from ti_core.models.stable_diffusion import LATENT_CHANNELS, Conditioning, StableDiffusion
from ti_core.models.transfer import to_device
from ti_core.settings import SAMPLERS


@dataclass(frozen=True)
class SampleRequest:
    """One picture to paint. Brackets in its prompts are emphasis. Width and height in pixels; 0 is the checkpoint's
    own size.
    """

    prompt: str
    negative_prompt: str = ""
    seed: int = 0
    steps: int = 20
    cfg_scale: float = 7.0
    width: int = 0
    height: int = 0
    sampler: str = SAMPLERS[0]
    guidance_rescale: float = 0.0
    """Share, 0 to 1, by which guidance keeps the contrast that the prompt alone gives."""


@torch.no_grad()
def sample_images(
    sd: StableDiffusion,
    requests: Sequence[SampleRequest],
    vectors: Vectors,
    stop: threading.Event | None = None,
    on_step: Callable[[int, int], None] | None = None,
    batch: int = 32,
) -> list[Image.Image]:
    """The pictures, in order. Requests of one call share sampler, steps, guidance and size (those of the first).

    A picture depends on its own seed and prompt, not on how many are painted together, so that these become fewer
    when the device's memory runs out, and the networks then take turns on it; but in a call with a prompt of more
    chunks of 75 tokens than its own it is another one, because the encoder fills shorter prompts up. `stop` raises
    Interrupted between solver steps and between decoded pictures; `on_step(done, total)` reports. Raises
    TooLittleMemory where nothing smaller is left to try.
    """
    pictures: list[Image.Image] = []
    chunks = PromptEncoder(sd).most_chunks([text for r in requests for text in (r.negative_prompt, r.prompt)], vectors)
    with sd.painting():
        while part := requests[len(pictures) : len(pictures) + batch]:
            try:
                latents = _sample_latents(sd, part, vectors, chunks, stop, on_step)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            else:
                # a picture takes more memory here than in the UNet
                pictures.extend(_picture_of(sd, one, stop) for one in latents)
                continue
            # Outside of the handler, where the error no longer holds the tensors.
            clear_device_cache(garbage_collection=True)
            if len(part) > 1:
                batch = len(part) // 2
            elif not make_room_for_painting(sd, is_decoding=False):
                raise _too_large(latent_size(sd, part[0]), sd.latent_factor)
    return pictures


def latent_size(sd: StableDiffusion, request: SampleRequest) -> tuple[int, int]:
    """Height and width of the latents."""
    width, height = request.width or sd.file.size_px, request.height or sd.file.size_px
    return height // sd.latent_factor, width // sd.latent_factor


def _sample_latents(
    sd: StableDiffusion,
    requests: Sequence[SampleRequest],
    vectors: Vectors,
    chunks: int,
    stop: threading.Event | None,
    on_step: Callable[[int, int], None] | None,
) -> torch.Tensor:
    """Of all pictures in one batch, float32 [n, channels, height / factor, width / factor]."""
    first = requests[0]
    width, height = first.width or sd.file.size_px, first.height or sd.file.size_px

    # Timesteps and noise levels of the solver.
    solver = solver_for(sd.scheduler_config, first.sampler)
    set_timesteps(solver, first.steps)

    # Noise to begin with: one generator a picture, so that a picture does not depend on how many are sampled.
    shape = (LATENT_CHANNELS, *latent_size(sd, first))
    generators = [torch.Generator().manual_seed(r.seed % 2**63) for r in requests]
    noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
    if isinstance(solver, EulerAncestral):  # the only one that adds noise at each step
        solver.begin(generators, shape, sd.device)
    noise, timesteps = (to_device([tensor], sd.device)[0] for tensor in (noise, solver.timesteps))
    latents = noise * solver.init_noise_sigma

    # Conditioning: negative prompts, then prompts; the same size for all.
    conditioning = _guidance(sd, requests, vectors, chunks)
    sizes = torch.tensor([size_conditioning(width, height)] * (2 * len(requests)))
    (sizes,) = to_device([sizes], sd.device)

    # Denoise, with guidance.
    for done, t in enumerate(solver.timesteps):
        if stop is not None and stop.is_set():
            raise Interrupted
        scaled = solver.scale_model_input(torch.cat([latents, latents]), t)
        without, with_prompt = sd.predict(scaled, timesteps[done], conditioning, sizes).float().chunk(2)
        guided = guide(without, with_prompt, first.cfg_scale, first.guidance_rescale)
        latents = solver.step(guided, t, latents, return_dict=False)[0]
        if on_step:
            on_step(done + 1, len(solver.timesteps))
    return latents


def guide(without: torch.Tensor, with_prompt: torch.Tensor, scale: float, rescale: float) -> torch.Tensor:
    """Classifier-free guidance (Ho & Salimans 2022, eq. 6) of predictions [n, 4, h, w]; `rescale` brings the spread of
    each picture's back to that of the prompt alone by this share (Lin et al. 2023, eq. 15 and 16).
    """
    guided = without + scale * (with_prompt - without)
    if not rescale:
        return guided
    spread, wanted = (tensor.std(dim=(1, 2, 3), keepdim=True) for tensor in (guided, with_prompt))
    return guided * (rescale * wanted / spread.clamp(min=1e-12) + 1 - rescale)


def _picture_of(sd: StableDiffusion, latents: torch.Tensor, stop: threading.Event | None) -> Image.Image:
    """The picture of latents [channels, height / factor, width / factor], which are not painted again if it does not
    fit: it is decoded in parts, then with the other networks off the device.
    """
    while True:
        if stop is not None and stop.is_set():
            raise Interrupted
        try:
            with sd.vae_at_work():
                decoded = sd.decode(latents[None])[0]
            pixels = ((decoded.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
            return Image.fromarray(pixels)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        clear_device_cache(garbage_collection=True)  # outside of the handler, where no error holds the tensors
        if not make_room_for_painting(sd, is_decoding=True):
            raise _too_large(latents.shape[-2:], sd.latent_factor)


def _too_large(size: Sequence[int], factor: int) -> TooLittleMemory:
    """For latents of that height and width."""
    return TooLittleMemory(
        f"The device's memory is too small for a picture of {size[1] * factor}x{size[0] * factor}.",
        "Choose a smaller Width and Height, or close other programs that use the graphics card.",
    )


def _guidance(sd: StableDiffusion, requests: Sequence[SampleRequest], vectors: Vectors, chunks: int) -> Conditioning:
    """Conditioning of all negative prompts, then of all prompts, filled up to so many chunks."""
    negative = [request.negative_prompt for request in requests]
    prompts = [*negative, *(request.prompt for request in requests)]
    conditioning = PromptEncoder(sd).encode(prompts, vectors, chunks, emphasis=True)
    if sd.family.zeros_for_no_prompt:
        for i, prompt in enumerate(negative):
            if not prompt.strip():
                for tensor in conditioning.tensors:
                    tensor[i].zero_()  # not by a list of them, which would be sent and waited for
    return conditioning
