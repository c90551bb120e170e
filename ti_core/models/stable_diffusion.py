"""A loaded checkpoint of any family, every weight frozen, and the three things it does: encode pictures, predict
noise, decode latents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from ti_core.checkpoints.hashes import HashInWork
from ti_core.checkpoints.library import CheckpointFile
from ti_core.models.families import Family
from ti_core.models.recompute import save_memory
from ti_core.settings import prediction_label

VAE_OVERFLOWS = (
    "The VAE's numbers grew too large for float16, so it works in float32 from here on. Precision float32, or another"
    " VAE, does so from the start."
)
UNET_OVERFLOWS = "A picture is black, because the UNet's numbers grew too large for float16. Choose Precision float32."
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
    paints_in_turns: bool = False
    """Whether only one network at a time is on the device while pictures are painted (`painting`)."""
    has_fused_attention: bool = True
    """Whether the device computes attention without the matrix of all pairs; else it works in slices."""
    on_notice: Callable[[str], None] = field(default=lambda sentence: None, repr=False)
    """Takes a sentence for the user about what had to be changed while it works."""
    compiled_unet: Callable[..., Any] | None = None
    """Stands in for the UNet where a gradient is wanted."""
    notes: tuple[str, ...] = ()
    """Sentences for the user about choices that were made while loading."""
    _blank: dict[tuple[int, int], Tensor] = field(default_factory=dict, repr=False)
    _is_painting: bool = field(default=False, repr=False)
    _turn: nn.Module | None = field(default=None, repr=False)
    """The network whose turn it is, alone on the device."""
    _took_turns: bool = field(default=False, repr=False)
    """Whether the networks do not lie where `move_to_device` put them."""

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

    def predict(self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning, sizes: Tensor) -> Tensor:
        """The UNet's output [n, 4, h, w], epsilon or v, for noisy latents [n, 4, h, w] at timesteps, int64 [n] or one
        for all. `sizes` [n, 6] are the size conditioning of each picture (models/size_conditioning.py), which some
        families ignore.

        All in the precision of its weights, without autocast, which on CUDA would keep float32 copies of what goes
        into every norm: 20% more memory for the same gradient error.
        """
        if self.unet.config.in_channels > LATENT_CHANNELS:
            latents = torch.cat([latents, self._blank_channels(latents)], dim=1)
        self._give_turn(self.unet)
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

        def encoded(vae: AutoencoderKL) -> Tensor:
            posterior = vae.encode(pixels.to(vae.dtype)).latent_dist
            return torch.stack([posterior.mean.float(), posterior.std.float()])

        mean, deviation = self._of_vae(encoded, pixels) * self.vae.config.scaling_factor
        return mean, deviation

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Pixels float32 [n, 3, H, W] in about -1..1."""
        factor = self.vae.config.scaling_factor
        return self._of_vae(
            lambda vae: vae.decode((latents / factor).to(vae.dtype), return_dict=False)[0].float(), latents
        )

    def _of_vae(self, work: Callable[[AutoencoderKL], Tensor], given: Tensor) -> Tensor:
        """What `work` makes of `given` with the autoencoder. float16 ends at 65,504, which the activations of some
        exceed; then it goes to float32 for good, and the user is told.
        """
        with self.vae_at_work() as vae:
            found = work(vae)
            if vae.dtype is not torch.float16 or bool(found.isfinite().all()):
                return found
            if not bool(given.isfinite().all()):
                self.on_notice(UNET_OVERFLOWS)
                return found
            # through the computer's memory, so that a full device leaves no half of it behind
            vae.to("cpu", torch.float32).to(self.device)
            self.on_notice(VAE_OVERFLOWS)
            return work(vae)

    @contextmanager
    def vae_at_work(self) -> Iterator[AutoencoderKL]:
        """The autoencoder on the device; afterwards it goes back to where it was, if it idles on the CPU."""
        before = self.vae.device
        self._give_turn(self.vae)
        self.vae.to(self.device)
        try:
            yield self.vae
        finally:
            if self.vae_idles_on_cpu and not self._took_turns:
                self.vae.to(before)

    @contextmanager
    def painting(self) -> Iterator[None]:
        """While it paints: with `paints_in_turns`, each network comes to the device for its work and leaves it for the
        next one's. What comes after finds each where `move_to_device` had put it.
        """
        self._is_painting = True
        try:
            yield
        finally:
            self._is_painting = False

    @property
    def encoding_device(self) -> torch.device:
        """Where the text encoders work now."""
        return self.device if self._is_painting and self.paints_in_turns else self.encoder_device

    def encoder_at_work(self, index: int) -> Any:
        """That text encoder, on `encoding_device`."""
        self._give_turn(self.text_encoders[index])
        return self.text_encoders[index]

    def _give_turn(self, network: nn.Module) -> None:
        if self._is_painting and self.paints_in_turns:
            if network is self._turn:
                return
            self._turn, self._took_turns = None, True
            for other in (self.unet, self.vae, *self.text_encoders):
                if other is not network:
                    other.to("cpu")
            clear_device_cache()
            network.to(self.device)
            self._turn = network
        elif self._took_turns:
            self._turn = None
            self.move_to_device(self.vae_idles_on_cpu, self.encoder_device != self.device)
            self._took_turns = False

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

    def leave_device(self) -> None:
        """Every network to the computer's memory, and what the device held of them free for others."""
        for network in (self.unet, self.vae, *self.text_encoders):
            network.to("cpu")
        clear_device_cache(garbage_collection=True)

    @contextmanager
    def on_processor(self) -> Iterator[None]:
        """While the autoencoder works on the processor, in float32, for what is too large for the device."""
        device, dtype = self.device, self.vae.dtype
        self.device = torch.device("cpu")
        self.vae.to("cpu", torch.float32)
        try:
            yield
        finally:
            self.device = device
            self.vae.to(dtype=dtype)

    def rest(self) -> None:
        """As it came from its files: every network in the computer's memory, nothing switched on for one training."""
        self.unet.disable_gradient_checkpointing()
        if self.compiled_unet is not None:
            self.compiled_unet = None
            save_memory(self.unet)
        self.vae.disable_tiling()
        self.vae.disable_slicing()
        self.vae_idles_on_cpu, self.encoder_device = False, self.device
        self.paints_in_turns, self._took_turns, self._turn = False, False, None
        self.on_notice = lambda sentence: None
        for network in (self.unet, self.vae, *self.text_encoders):
            network.to("cpu")
