"""Whether the UNet is compiled for training: only where it pays, and only if the compiled one gives the gradient of
the plain one.
"""

from __future__ import annotations

import importlib.util
from functools import partial

import torch
from torch import Tensor

from ti_core.events import Notice, Progress
from ti_core.models.prompt_encoder import PromptEncoder
from ti_core.models.recompute import keep_all, save_memory
from ti_core.settings import AUTOMATIC, SWITCHES
from ti_core.training.noise_loss import MicroBatch, NoisyImages, loss_scale, noise_predict_loss
from ti_core.training.room import with_room
from ti_core.training.run import Run

_, ON, OFF = SWITCHES
PAYS_FROM_S = 600
"""Compiling takes one to two minutes and gains a tenth or two, so a training that is soon over is better without."""
ALIKE = 0.999
"""Least cosine between the two gradients. On a CPU torch.compile once gave 0.72, with a loss that looked right
(docs/performance.md).
"""


def try_compiled(run: Run, seconds_left: float) -> None:
    """Compile the UNet for the rest of the run if the user or the time left says so; a wrong or failed one is
    refused with a Notice.

    Previews go on with the plain UNet. A compiled one keeps what it likes for the backward pass, so the frugal
    forwards make way for it.
    """
    sd, choice = run.sd, run.settings.compile_unet
    wanted = sd.device.type == "cuda" and seconds_left > PAYS_FROM_S and not sd.unet.is_gradient_checkpointing
    lacks_triton = sd.device.type in ("cuda", "xpu") and importlib.util.find_spec("triton") is None
    if choice == OFF or (choice == AUTOMATIC and (lacks_triton or not wanted)):
        return
    if lacks_triton:
        run.log(
            Notice(
                "The UNet is not compiled, because Triton is missing, which torch compiles with on a card. The training"
                " goes on without it."
            )
        )
        return
    run.log(Progress("Compiling the UNet", 0, 1))
    plain = with_room(run, partial(_gradient, run))
    keep_all(sd.unet)
    try:
        sd.compiled_unet = torch.compile(sd.unet)
        alike = float(torch.nn.functional.cosine_similarity(_gradient(run), plain, dim=0))
        problem = "" if alike > ALIKE else f"its gradient is not that of the plain one (cosine {alike:.4f})"
    # whatever keeps it from being compiled, the plain UNet can still be trained with
    except Exception as error:  # noqa: BLE001
        problem = f"{type(error).__name__}: {' '.join(str(error).split()) or 'no reason given'}"
    if problem:
        sd.compiled_unet = None
        save_memory(sd.unet)
        run.log(Notice(f"The compiled UNet is not used: {problem}. The training goes on without it."))


def _gradient(run: Run) -> Tensor:
    """Gradient of the conditioning, float32 [numbers], for one micro-batch of the run's own size, flattened."""
    sd, clean = run.sd, run.latents.mean[0]
    count = min(run.memory.micro_batch(clean), run.inputs.plan.images_per_step)
    draw = torch.Generator().manual_seed(0)
    images = NoisyImages(
        clean=[clean] * count,
        noise=list(torch.randn(count, *clean.shape, generator=draw).to(sd.device)),
        timesteps=torch.randint(0, len(sd.alphas_cumprod), (count,), generator=draw).to(sd.device),
        sizes=torch.tensor(run.latents.sizes[:1] * count, device=sd.device),
        weight=run.latents.weight[:1] * count,
    )
    all_of_them = MicroBatch(list(range(count)), torch.arange(count, device=sd.device))
    with torch.no_grad():
        prompts = [f"a photo of {run.name}"] * count
        leaf = PromptEncoder(sd).encode(prompts, run.prompt_vectors(run.state.vectors)).leaf()
    (noise_predict_loss(sd, images, all_of_them, leaf).sum() * loss_scale(sd, images.clean, count)).backward()
    return torch.cat([tensor.grad.float().flatten() for tensor in leaf.tensors if tensor.grad is not None])
