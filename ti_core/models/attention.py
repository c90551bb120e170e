"""Attention where torch has no kernel that does without the matrix of all pairs (Apple, some AMD cards): in slices of
the queries, each computed again for the backward pass (Rabe & Staats 2021, arXiv 2112.05682).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from ti_core.models.memory import SLICE_BYTES


class _SlicedAttention(torch.autograd.Function):
    """softmax(query key^T) value of [n, heads, tokens, width] each. Only these are kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        ctx.save_for_backward(query, key, value)
        answer = torch.empty_like(query)
        for rows in _slices(query, key):
            answer[..., rows, :] = F.scaled_dot_product_attention(query[..., rows, :], key, value)
        return answer

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        query, key, value = ctx.saved_tensors
        of_query = torch.empty_like(query)
        # of all slices together, so in float32: in half precision the small ones would be lost beside the sum
        of_key, of_value = (torch.zeros_like(tensor, dtype=torch.float32) for tensor in (key, value))
        for rows in _slices(query, key):
            with torch.enable_grad():
                leaves = [tensor.detach().requires_grad_() for tensor in (query[..., rows, :], key, value)]
                answer = F.scaled_dot_product_attention(*leaves)
            of_query[..., rows, :], of_slice_key, of_slice_value = torch.autograd.grad(
                answer, leaves, grads[0][..., rows, :]
            )
            of_key += of_slice_key
            of_value += of_slice_value
        return of_query, of_key.to(key.dtype), of_value.to(value.dtype)


def _slices(query: Tensor, key: Tensor) -> Iterator[slice]:
    """Parts of the queries whose matrices are at most SLICE_BYTES large; one query at least."""
    pictures, heads, queries, _ = query.shape
    size = max(1, SLICE_BYTES // (4 * pictures * heads * key.shape[-2]))
    return (slice(start, start + size) for start in range(0, queries, size))


class SlicedAttention:
    """diffusers' attention processor, for what Stable Diffusion's UNets and autoencoders have of attention."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """[n, tokens, width], or [n, width, h, w] as in the autoencoder, to the same."""
        assert attention_mask is None, "Stable Diffusion masks no token"
        before, hidden = hidden_states, hidden_states
        if before.ndim == 4:
            hidden = hidden.flatten(2).transpose(1, 2)
        if attn.group_norm is not None:
            hidden = attn.group_norm(hidden.transpose(1, 2)).transpose(1, 2)
        source = hidden if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            layer(tokens).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for layer, tokens in ((attn.to_q, hidden), (attn.to_k, source), (attn.to_v, source))
        )
        answer = _SlicedAttention.apply(query, key, value).transpose(1, 2).flatten(2)
        for layer in attn.to_out:
            answer = layer(answer)
        if before.ndim == 4:
            answer = answer.transpose(1, 2).reshape(before.shape)
        if attn.residual_connection:
            answer = answer + before
        return answer if attn.rescale_output_factor == 1 else answer / attn.rescale_output_factor


def slice_attention(network: UNet2DConditionModel | AutoencoderKL) -> None:
    """Let all attention of the network work in slices: the result is the same, apart from rounding."""
    network.set_attn_processor(SlicedAttention())
