"""What the loader, the prompt encoder, the sampler and the memory plan ask of a family of Stable Diffusion. The page
asks too, so nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ti_core.workspace import ASSETS

if TYPE_CHECKING:
    from torch import Tensor

CONFIGS = ASSETS / "families"
"""Configs without weights, in diffusers' layout, one folder a family; tokenizers share the vocabulary in
`clip_vocabulary`.
"""
MIB = 2**20


@dataclass(frozen=True)
class ModelFacts:
    """What of a model decides about memory.

    `kept_numbers` and `checkpointed_numbers` are the most that one image has on the device in forward and backward,
    for each latent pixel, without and with gradient checkpointing; `vae_numbers` the same for decoding.
    `prompt_bytes` is what one prompt of 77 tokens keeps for the backward pass. `sampling_numbers` are those of one
    picture that is painted, with both halves of its guidance. `attention_bytes` is what attention has while it
    works, where the device has no kernel of its own for it.
    """

    unet_parameters: int
    vae_parameters: int
    encoder_parameters: int
    kept_numbers: float
    checkpointed_numbers: float
    prompt_bytes: float
    vae_numbers: float = 49_152
    latent_factor: int = 8
    sampling_numbers: float = 16_672
    attention_bytes: int = 0


@dataclass(frozen=True)
class Family:
    """A family whose one text encoder conditions the UNet with its last layer, as Stable Diffusion 1 and 2; others
    replace the methods.

    `encoders` names the text encoders in the order of their parts of the hidden states, by the keys of embedding
    files; `encoder_classes` are their classes in transformers. `pipeline` is the class of diffusers that reads the
    text encoders of a single file. `memory` is what models of full size need.
    """

    name: str
    title: str
    encoders: tuple[str, ...]
    memory: ModelFacts
    encoder_classes: tuple[str, ...] = ("CLIPTextModel",)
    pipeline: str = "StableDiffusionPipeline"
    uses_clip_skip: bool = True
    zeros_for_no_prompt: bool = False
    """Whether it was trained with zeros as the conditioning of an empty prompt."""
    vae_overflows_in_fp16: bool = False
    """Whether the autoencoders that ask for it (`force_upcast`) stay float32 beside a float16 UNet."""
    old_encoder_prefix: str = ""
    """Of the text encoder's weights in files from before transformers put `text_model.` into their names."""

    @property
    def folder_suffixes(self) -> tuple[str, ...]:
        """What diffusers puts behind text_encoder and tokenizer in the names of their folders, for each of them."""
        return ("", "_2", "_3")[: len(self.encoders)]

    @property
    def configs(self) -> Path:
        """The folder of its configs, laid out as a checkpoint of diffusers."""
        return CONFIGS / self.name

    def encode(self, encoder: Any, ids: Tensor, clip_skip: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Pass `ids`, int64 [chunks, 77], through one of the text encoders: its hidden states, float32
        [chunks, 77, width], and its pooled outputs, float32 [chunks, width] each, as many as the UNet takes of it.

        These are the last layer's but `clip_skip` - 1, through the final norm (A1111 1.10.1, sd_hijack_clip.py:
        encode_with_transformers).
        """
        out = encoder(ids, output_hidden_states=clip_skip > 1)
        if clip_skip == 1:
            return out.last_hidden_state, ()
        skipped = out.hidden_states[-min(clip_skip, len(out.hidden_states) - 1)]
        return encoder.final_layer_norm(skipped), ()

    def pooled_widths(self, encoders: tuple[Any, ...]) -> tuple[int, ...]:
        """The width of each pooled output that the UNet takes of these text encoders."""
        return ()

    def added_conditioning(self, pooled: tuple[Tensor, ...], size_conditioning: Tensor) -> dict[str, Tensor] | None:
        """What the UNet takes beside the hidden states (`added_cond_kwargs` of diffusers), of the pooled outputs,
        [n, width] each, and the sizes, [n, 6]; None where it takes nothing.
        """
        return None
