"""A loaded checkpoint of any family, every weight frozen, and the three things it does: encode pictures, predict
noise, decode latents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from ti_core.checkpoints.hashes import HashInWork
from ti_core.checkpoints.library import CheckpointFile
from ti_core.models.families import Family
from ti_core.models.recompute import save_memory
from ti_core.settings import prediction_label

LATENT_CHANNELS = 4
TOKENS = 77


@dataclass(frozen=True)
class Conditioning:
    """What the UNet is conditioned on: `hidden_states` of the text encoders, float32 [prompts, 77 x chunks, width], and
    their `pooled` outputs, float32 [prompts, width] each, where the family has some.
    """

    hidden_states: Tensor
    pooled: tuple[Tensor, ...] = ()

    def __getitem__(self, indices: Sequence[int] | slice | Tensor) -> Conditioning:
        """The conditioning of some of the prompts."""
        return Conditioning(self.hidden_states[indices], tuple(tensor[indices] for tensor in self.pooled))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The hidden states, then the pooled outputs."""
        return self.hidden_states, *self.pooled

    @classmethod
    def joined(cls, parts: Sequence[Conditioning]) -> Conditioning:
        """The conditioning of all their prompts; all parts have as many chunks."""
        if len(parts) == 1:
            return parts[0]
        hidden_states, *pooled = (torch.cat(tensors) for tensors in zip(*(part.tensors for part in parts), strict=True))
        return cls(hidden_states, tuple(pooled))

    def leaf(self) -> Conditioning:
        """The same values as leaves of a new graph, which gather the gradient of many micro-batches."""
        hidden_states, *pooled = (tensor.detach().requires_grad_(True) for tensor in self.tensors)
        return Conditioning(hidden_states, tuple(pooled))

    @property
    def chunks(self) -> int:
        """How many times 77 tokens the hidden states have."""
        return self.hidden_states.shape[1] // TOKENS

    def backward(self, leaf: Conditioning, scale: float = 1.0, part: slice = slice(None)) -> None:
        """Send the gradient that `leaf`, or a part of its prompts, gathered, divided by `scale`, back through the
        graph of this conditioning to the vectors.
        """
        gradients = [tensor.grad[part] / scale for tensor in leaf.tensors if tensor.grad is not None]
        assert len(gradients) == len(self.tensors), "the UNet gave no gradient to its conditioning"
        torch.autograd.backward(self.tensors, gradients)


@dataclass
class StableDiffusion:
    """Networks are frozen and in eval mode; `alphas_cumprod` is float32 [timesteps] on `device`, in 0..1 (Ho et al.
    2020, eq. 4); its last is 0 at zero terminal SNR. `scheduler_config` holds what describes the noise
    (models/noise_schedule.py).

    Tokenizers and text encoders are in the order of the family's `encoders`. `encoder_device` is the CPU when the
    text encoders had to make room.
    """

    file: CheckpointFile
    hashed: str | HashInWork
    family: Family
    tokenizers: tuple[CLIPTokenizer, ...]
    text_encoders: tuple[CLIPTextModel | CLIPTextModelWithProjection, ...]
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    scheduler_config: dict[str, Any]
    alphas_cumprod: Tensor
    prediction_type: str
    device: torch.device
    autocast_dtype: torch.dtype | None
    clip_skip: int = 1
    chosen_prediction: str = ""
    """What somebody chose it to predict, in the place of what the checkpoint says."""
    other_vae: str = ""
    """File name of the VAE that stands in for the checkpoint's own."""
    vae_idles_on_cpu: bool = False
    encoder_device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    compiled_unet: Callable[..., Any] | None = None
    """Stands in for the UNet where a gradient is wanted."""
    notes: tuple[str, ...] = ()
    """Sentences for the user about choices that were made while loading."""
    _blank: dict[tuple[int, int], Tensor] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """The hidden states stay float32 until each layer reads them, so that their gradient is summed in float32: the
        error of a bf16 gradient was 1.12% instead of 1.26% on the Portraits model, and SDXL sums over 140 readings.
        """
        for name, module in self.unet.named_modules():
            if name.endswith(("attn2.to_k", "attn2.to_v")):
                module.register_forward_pre_hook(lambda module, args: (args[0].to(module.weight.dtype), *args[1:]))
        for encoder in self.text_encoders:  # of one that was not moved to the device first
            encoder.register_forward_pre_hook(lambda module, args: module.float() and None)

    @property
    def hash(self) -> str:
        """A1111's short hash of the checkpoint; waits where it is still computed. Raises UserError if the file cannot
        be read any more.
        """
        return self.hashed if isinstance(self.hashed, str) else self.hashed.result()

    @property
    def widths(self) -> dict[str, int]:
        """Length of one vector for each text encoder."""
        tables = (encoder.get_input_embeddings().weight for encoder in self.text_encoders)
        return {name: int(table.shape[1]) for name, table in zip(self.family.encoders, tables, strict=True)}

    @property
    def latent_factor(self) -> int:
        """Pixels to one latent."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def prediction(self) -> str:
        """What it predicts and how its noise ends, as the choices of Prediction type name it."""
        return prediction_label(self.prediction_type, self.zero_terminal_snr)

    @property
    def zero_terminal_snr(self) -> bool:
        """Whether the last timestep is pure noise (Lin et al. 2023)."""
        return bool(self.scheduler_config["rescale_betas_zero_snr"])

    @property
    def name(self) -> str:
        """As A1111 writes it into pictures: without the suffix of a file."""
        return self.file.path.name if self.file.path.is_dir() else self.file.path.stem

    @property
    def stored_name(self) -> str:
        """As A1111 writes it into embeddings, with the folders that it lies in, such as anime_model for anime/model
        (A1111 1.10.1, modules/sd_models.py: CheckpointInfo.model_name).
        """
        return "_".join([*self.file.inside, self.name])

    def autocast(self, enabled: bool = True) -> torch.autocast:
        """Mixed precision, where the device has it."""
        return torch.autocast(
            self.device.type, self.autocast_dtype or torch.bfloat16, enabled=enabled and self.autocast_dtype is not None
        )

    def predict(self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning, sizes: Tensor) -> Tensor:
        """The UNet's output [n, 4, h, w], epsilon or v, for noisy latents [n, 4, h, w] at timesteps, int64 [n] or one
        for all. `sizes` [n, 6] are the size conditioning of each picture (models/size_conditioning.py), which some
        families ignore.

        All in the precision of its weights, without autocast, which on CUDA would keep float32 copies of what goes
        into every norm: 20% more memory for the same gradient error.
        """
        if self.unet.config.in_channels > LATENT_CHANNELS:
            latents = torch.cat([latents, self._blank_channels(latents)], dim=1)
        added = self.family.added_conditioning(conditioning.pooled, sizes)
        unet = self.compiled_unet if self.compiled_unet is not None and torch.is_grad_enabled() else self.unet
        latents, hidden_states = latents.to(self.unet.dtype), conditioning.hidden_states
        return unet(latents, timesteps, hidden_states, added_cond_kwargs=added, return_dict=False)[0]

    def _blank_channels(self, latents: Tensor) -> Tensor:
        """For inpainting checkpoints: the mask, 1 everywhere, and the latents of a grey picture, as nothing of the
        picture is given (A1111's train_embedding).
        """
        height, width = latents.shape[-2:]
        if (height, width) not in self._blank:
            grey = torch.zeros(1, 3, height * self.latent_factor, width * self.latent_factor, device=self.device)
            self._blank[height, width] = torch.cat(
                [torch.ones(1, 1, height, width, device=self.device), self.encode(grey)[0]], dim=1
            )
        return self._blank[height, width].to(latents.dtype).expand(len(latents), -1, -1, -1)

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the latents, float32 [n, 4, h, w] times the scaling factor, of pixels [n, 3, H, W]
        in -1..1 on the device.
        """
        with self.vae_at_work() as vae:
            posterior = vae.encode(pixels.to(vae.dtype)).latent_dist
        factor = vae.config.scaling_factor
        return posterior.mean.float() * factor, posterior.std.float() * factor

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Pixels float32 [n, 3, H, W] in about -1..1."""
        with self.vae_at_work() as vae:
            return vae.decode((latents / vae.config.scaling_factor).to(vae.dtype), return_dict=False)[0].float()

    @contextmanager
    def vae_at_work(self) -> Iterator[AutoencoderKL]:
        """The autoencoder on the device; afterwards it goes back to where it was, if it idles on the CPU."""
        before = self.vae.device
        self.vae.to(self.device)
        try:
            yield self.vae
        finally:
            if self.vae_idles_on_cpu:
                self.vae.to(before)

    def move_to_device(self, vae_off_device: bool = False, encoders_off_device: bool = False) -> None:
        """Bring the networks to the device, apart from those that must make room: the VAE then comes for its work
        only, the text encoders work on the CPU.
        """
        self.vae_idles_on_cpu = vae_off_device
        self.vae.to("cpu" if vae_off_device else self.device)
        self.encoder_device = torch.device("cpu") if encoders_off_device else self.device
        for encoder in self.text_encoders:
            encoder.to(self.encoder_device, torch.float32)
        self.unet.to(self.device)

    def rest(self) -> None:
        """As it came from its files: every network in the computer's memory, nothing switched on for one training."""
        self.unet.disable_gradient_checkpointing()
        if self.compiled_unet is not None:
            self.compiled_unet = None
            save_memory(self.unet)
        self.vae.disable_tiling()
        self.vae.disable_slicing()
        self.vae_idles_on_cpu, self.encoder_device = False, self.device
        for network in (self.unet, self.vae, *self.text_encoders):
            network.to("cpu")
