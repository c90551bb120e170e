"""What we use of torch that is not part of its public interface; tests/models/test_private.py names the version."""

from __future__ import annotations


def cpu_multiplies_bf16() -> bool:
    """Whether the processor has AVX-512's instructions for bfloat16 (avx512_bf16). Elsewhere torch computes it too,
    by float32, and more slowly.
    """
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported())
