"""The frugal forwards against those of torch and diffusers, on tiny UNets of both shapes, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from bench.memory import kept_bytes
from ti_core.models.recompute import keep_all, save_memory

SHARED: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 2,
    "cross_attention_dim": 32,
    "norm_num_groups": 8,
}


def sd1_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        **SHARED,
        block_out_channels=(32, 64),
        attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )


def sdxl_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        **SHARED,
        block_out_channels=(32, 64, 64),
        attention_head_dim=(2, 4, 4),
        transformer_layers_per_block=(1, 2, 2),
        use_linear_projection=True,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=96,
    )


def one_pass(unet: UNet2DConditionModel, autocast: bool) -> tuple[list[Tensor], int]:
    """Output, gradient of the words and of the pooled text; and the bytes kept for the backward pass."""
    draw = torch.Generator().manual_seed(1)
    x, words = torch.randn(2, 4, 16, 16, generator=draw), torch.randn(2, 7, 32, generator=draw).requires_grad_()
    pooled = torch.randn(2, 48, generator=draw).requires_grad_()
    added = {"text_embeds": pooled, "time_ids": torch.ones(2, 6)} if unet.config.addition_embed_type else None
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast), kept_bytes(unet) as kept:
        predicted = unet(x, torch.tensor([5, 900]), words, added_cond_kwargs=added, return_dict=False)[0]
    size = kept()
    predicted.float().square().mean().backward()
    return [tensor for tensor in (predicted.detach(), words.grad, pooled.grad) if tensor is not None], size


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(
    ("weights", "autocast"), [(torch.float32, False), (torch.float32, True), (torch.bfloat16, True)]
)
@pytest.mark.parametrize("make", [sd1_unet, sdxl_unet])
def test_output_and_gradient_are_those_of_the_plain_unet_bit_for_bit(
    make: Callable[[], UNet2DConditionModel], weights: torch.dtype, autocast: bool, checkpointing: bool
) -> None:
    torch.manual_seed(0)
    unet = make().to(weights).requires_grad_(False).eval()
    plain, _ = one_pass(unet, autocast)
    save_memory(unet)
    if checkpointing:
        unet.enable_gradient_checkpointing()
    frugal, _ = one_pass(unet, autocast)
    assert len(plain) == (3 if make is sdxl_unet else 2)
    assert all(torch.equal(a, b) for a, b in zip(plain, frugal, strict=True))


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("make", [sd1_unet, sdxl_unet])
def test_at_least_a_quarter_less_is_kept_and_keep_all_undoes_it(
    make: Callable[[], UNet2DConditionModel], autocast: bool
) -> None:
    unet = make().requires_grad_(False).eval()
    plain = one_pass(unet, autocast)[1]
    save_memory(unet)
    assert one_pass(unet, autocast)[1] < 0.75 * plain
    keep_all(unet)
    assert one_pass(unet, autocast)[1] == plain


def test_a_unet_that_is_itself_trained_is_refused() -> None:
    with pytest.raises(AssertionError, match="no gradient"):
        save_memory(sd1_unet())
