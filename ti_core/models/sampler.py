"""Paints pictures from prompts with one of a few solvers; all pictures and both halves of the guidance in one batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from PIL import Image

from ti_core.errors import Interrupted, is_out_of_memory
from ti_core.models.noise_schedule import TRAILING
from ti_core.models.prompt_encoder import PromptEncoder, Vectors
from ti_core.models.size_conditioning import size_conditioning
from ti_core.models.stable_diffusion import LATENT_CHANNELS, Conditioning, StableDiffusion
from ti_core.settings import SAMPLERS

SOLVERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "DPM++ 2M Karras": (
        DPMSolverMultistepScheduler,
        {"algorithm_type": "dpmsolver++", "solver_order": 2, "use_karras_sigmas": True, "final_sigmas_type": "zero"},
    ),
    "Euler a": (EulerAncestralDiscreteScheduler, {"timestep_spacing": "linspace"}),
    "Euler": (EulerDiscreteScheduler, {"timestep_spacing": "linspace"}),
    "DDIM": (DDIMScheduler, {"timestep_spacing": "trailing", "clip_sample": False, "set_alpha_to_one": False}),
    "UniPC": (UniPCMultistepScheduler, {"timestep_spacing": "linspace"}),
}
"""A1111's name of each sampler -> diffusers' class, and what is set beside the checkpoint's own noise schedule.

All begin at the last timestep, as training has it: noise of sigma 14.6 for Stable Diffusion's betas, where diffusers'
"leading" begins at 9 to 12 and paints too grey (Lin et al. 2023, section 3.3). The spacing is that of A1111 1.10.1:
evenly from the last timestep to the first (modules/sd_schedulers.py: uniform; UniPC: time_uniform) or by Karras'
sigmas from the largest. Its DDIM alone begins at 951 of 20 steps, and is given full noise there all the same.
"""

LEAST_SIGNAL = 4.8973451890853435e-08
"""What A1111 1.10.1 leaves of the picture at zero terminal SNR, so that the first sigma is 4518.8 instead of infinite
(modules/sd_models.py: rescale_zero_terminal_snr_abar).
"""


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
    when the device's memory runs out; but in a call with a prompt of more chunks of 75 tokens than its own it is
    another one, because the encoder fills shorter prompts up. `stop` raises Interrupted between solver steps and
    between decoded pictures; `on_step(done, total)` reports.
    """
    pictures: list[Image.Image] = []
    chunks = PromptEncoder(sd).most_chunks([text for r in requests for text in (r.negative_prompt, r.prompt)], vectors)
    while part := requests[len(pictures) : len(pictures) + batch]:
        try:
            pictures.extend(_sample_batch(sd, part, vectors, chunks, stop, on_step))
            continue
        except RuntimeError as error:
            if len(part) == 1 or not is_out_of_memory(error):
                raise
        # Outside of the handler, where the error no longer holds the tensors.
        clear_device_cache(garbage_collection=True)
        batch = len(part) // 2
    return pictures


def _sample_batch(
    sd: StableDiffusion,
    requests: Sequence[SampleRequest],
    vectors: Vectors,
    chunks: int,
    stop: threading.Event | None,
    on_step: Callable[[int, int], None] | None,
) -> list[Image.Image]:
    first = requests[0]
    width, height = first.width or sd.file.size_px, first.height or sd.file.size_px

    # Timesteps and noise levels of the solver.
    solver = solver_for(sd.scheduler_config, first.sampler)
    set_timesteps(solver, first.steps, sd.device)

    # Noise to begin with: one generator a picture, so that a picture does not depend on how many are sampled.
    shape = (LATENT_CHANNELS, height // sd.latent_factor, width // sd.latent_factor)
    generators = [torch.Generator().manual_seed(r.seed % 2**63) for r in requests]
    noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators]).to(sd.device)
    latents = noise * solver.init_noise_sigma
    draws_noise = isinstance(solver, EulerAncestralDiscreteScheduler)  # the only one that does so at each step
    more = {"generator": generators} if draws_noise else {}

    # Conditioning: negative prompts, then prompts; the same size for all.
    conditioning = _guidance(sd, requests, vectors, chunks)
    sizes = torch.tensor([size_conditioning(width, height)] * (2 * len(requests)), device=sd.device)

    # Denoise, with guidance.
    for done, t in enumerate(solver.timesteps):
        if stop is not None and stop.is_set():
            raise Interrupted
        scaled = solver.scale_model_input(torch.cat([latents, latents]), t)
        without, with_prompt = sd.predict(scaled, t, conditioning, sizes).float().chunk(2)
        guided = guide(without, with_prompt, first.cfg_scale, first.guidance_rescale)
        latents = solver.step(guided, t, latents, return_dict=False, **more)[0]
        if on_step:
            on_step(done + 1, len(solver.timesteps))

    # Decode one by one, because a picture takes more memory here than in the UNet.
    with sd.vae_at_work():
        decoded = torch.cat([_decode(sd, one, stop) for one in latents])
    pixels = ((decoded.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(p) for p in pixels]


def guide(without: torch.Tensor, with_prompt: torch.Tensor, scale: float, rescale: float) -> torch.Tensor:
    """Classifier-free guidance (Ho & Salimans 2022, eq. 6) of predictions [n, 4, h, w]; `rescale` brings the spread of
    each picture's back to that of the prompt alone by this share (Lin et al. 2023, eq. 15 and 16).
    """
    guided = without + scale * (with_prompt - without)
    if not rescale:
        return guided
    spread, wanted = (tensor.std(dim=(1, 2, 3), keepdim=True) for tensor in (guided, with_prompt))
    return guided * (rescale * wanted / spread.clamp(min=1e-12) + 1 - rescale)


def _decode(sd: StableDiffusion, latents: torch.Tensor, stop: threading.Event | None) -> torch.Tensor:
    """float [1, 3, height, width] from [channels, height / factor, width / factor]."""
    if stop is not None and stop.is_set():
        raise Interrupted
    return sd.decode(latents[None])


def solver_for(schedule: dict[str, Any], sampler: str) -> Any:
    """diffusers' solver of that name, with a checkpoint's noise (models/noise_schedule.py). A checkpoint that wants
    "trailing" steps gets them from every solver.

    At zero terminal SNR the last timestep keeps LEAST_SIGNAL of the picture, so that nothing divides by zero.
    """
    solver_class, options = SOLVERS[sampler]
    if schedule["timestep_spacing"] == TRAILING:
        options = {**options, "timestep_spacing": TRAILING}
    solver = solver_class.from_config(schedule, **options)
    if schedule["rescale_betas_zero_snr"]:
        solver.alphas_cumprod[-1] = LEAST_SIGNAL
    return solver


def set_timesteps(solver: Any, steps: int, device: torch.device) -> None:
    """diffusers' own, without the timestep -1 that "trailing" ends with where 1000 / steps is rounded down (61
    steps); a single step is the last timestep, where Euler's even spacing would take the first.

    The solver is told to begin with the first: Karras' first two noise levels round to one timestep at zero
    terminal SNR, and it would take the second.
    """
    if steps == 1:
        solver.register_to_config(timestep_spacing=TRAILING)
    solver.set_timesteps(steps, device=device)
    if hasattr(solver, "set_begin_index"):
        solver.set_begin_index(0)
    if len(solver.timesteps) > steps:
        solver.timesteps = solver.timesteps[:steps]
        if hasattr(solver, "sigmas"):
            solver.sigmas = torch.cat([solver.sigmas[:steps], solver.sigmas[-1:]])


def _guidance(sd: StableDiffusion, requests: Sequence[SampleRequest], vectors: Vectors, chunks: int) -> Conditioning:
    """Conditioning of all negative prompts, then of all prompts, filled up to so many chunks."""
    negative = [request.negative_prompt for request in requests]
    prompts = [*negative, *(request.prompt for request in requests)]
    conditioning = PromptEncoder(sd).encode(prompts, vectors, chunks, emphasis=True)
    if sd.family.zeros_for_no_prompt:
        empty = [i for i, prompt in enumerate(negative) if not prompt.strip()]
        for tensor in conditioning.tensors:
            tensor[empty] = 0
    return conditioning
