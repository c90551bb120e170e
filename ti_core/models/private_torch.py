"""What we use of torch that is not part of its public interface; tests/models/test_private.py names the version."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def cpu_multiplies_bf16() -> bool:
    """Whether the processor has AVX-512's instructions for bfloat16 (avx512_bf16). Elsewhere torch computes it too,
    by float32, and more slowly.
    """
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported())


def has_fused_attention(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether torch has an attention for the device, forward and backward, that never holds the matrix of all pairs."""
    import torch

    query = torch.zeros(1, 2, 64, 64, device=device, dtype=dtype, requires_grad=True)
    answer = torch.nn.functional.scaled_dot_product_attention(query, query, query)
    chosen = answer.grad_fn.name() if answer.grad_fn else ""  # of products and a softmax where it has none
    return chosen.startswith("ScaledDotProduct") and "Math" not in chosen
