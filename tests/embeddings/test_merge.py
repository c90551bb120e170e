"""Merging against values computed by hand, and refusals that show the numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.merge import join, merge, with_norm
from ti_core.errors import UserError


def word(name: str, *vectors: Sequence[float], checkpoint: str | None = "0123456789") -> Embedding:
    return Embedding(name, {"clip_l": torch.tensor(vectors)}, 7, checkpoint, "model")


ANNA, BEN = word("anna", (1.0, 2.0), (3.0, 4.0)), word("ben", (5.0, 6.0), (7.0, 8.0))


@pytest.mark.parametrize(
    ("mode", "weights", "expected"),
    [
        ("concatenate", (), [[1, 2], [3, 4], [5, 6], [7, 8]]),
        ("average", (), [[3, 4], [5, 6]]),
        ("weighted", (0.5, -1), [[-4.5, -5], [-5.5, -6]]),
    ],
)
def test_each_mode_gives_the_values_computed_by_hand(
    mode: str, weights: tuple[float, ...], expected: list[list[float]]
) -> None:
    merged = merge([ANNA, BEN], mode, weights, "both")
    assert merged.vectors["clip_l"].tolist() == expected and merged.vectors["clip_l"].dtype is torch.float32
    assert (merged.name, merged.step, merged.checkpoint_hash) == ("both", None, "0123456789")


def test_sdxl_merges_each_encoder_and_a_checkpoint_that_differs_is_dropped() -> None:
    one = Embedding("a", {"clip_l": torch.ones(1, 2), "clip_g": torch.ones(1, 3)}, checkpoint_hash="a")
    merged = merge(
        [one, Embedding("b", {"clip_l": torch.ones(1, 2) * 3, "clip_g": torch.zeros(1, 3)}, checkpoint_hash="b")],
        "average",
    )
    assert merged.vectors["clip_l"].tolist() == [[2, 2]] and merged.vectors["clip_g"].tolist() == [[0.5, 0.5, 0.5]]
    assert merged.checkpoint_hash is None


@pytest.mark.parametrize(
    ("embeddings", "mode", "weights", "named"),
    [
        ([ANNA, word("wide", (1.0, 2.0, 3.0))], "concatenate", (), "'anna' has 2, 'wide' has 3"),
        ([ANNA, word("one", (1.0, 2.0))], "average", (), "'anna' has 2, 'one' has 1"),
        ([ANNA, word("one", (1.0, 2.0))], "weighted", (1, 1), "'one' has 1"),
        ([ANNA, BEN], "weighted", (1,), "2 embeddings, but 1 weights"),
        ([ANNA, BEN], "weighted", (float("nan"), 1), "Weights are nan, 1"),
        ([ANNA, BEN], "weighted", (3e38, 3e38), "no finite number"),
        ([ANNA, BEN], "average", (1, 1), "the mode is 'average'"),
        ([ANNA, BEN], "sum", (), "Mode is 'sum'"),
        ([ANNA], "average", (), "there is 1"),
        ([], "average", (), "there are none"),
        ([word("long", *[(1.0, 2.0)] * 38)] * 2, "concatenate", (), "76 vectors.* more than 75 is not read"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_numbers(
    embeddings: list[Embedding], mode: str, weights: tuple[float, ...], named: str
) -> None:
    with pytest.raises(UserError, match=named):
        merge(embeddings, mode, weights)


def test_halves_of_sdxl_with_different_numbers_of_vectors_are_not_joined() -> None:
    with pytest.raises(UserError, match="'a' has 1 vectors and 'b' has 2"):
        join(Embedding("a", {"clip_l": torch.ones(1, 768)}), Embedding("b", {"clip_g": torch.ones(2, 1280)}))


def test_a_repaired_norm_keeps_the_direction() -> None:
    repaired = with_norm(word("loud", (30.0, 40.0), (0.003, 0.004)), 0.5)
    assert torch.allclose(repaired.vectors["clip_l"], torch.tensor([[0.3, 0.4], [0.3, 0.4]]))
    assert (repaired.name, repaired.step) == ("loud", 7)
    both = with_norm(
        Embedding("xl", {"clip_l": torch.ones(1, 4), "clip_g": torch.ones(1, 4)}), {"clip_l": 2.0, "clip_g": 4.0}
    )
    assert both.norms == {"clip_l": [2.0], "clip_g": [4.0]}


@pytest.mark.parametrize("norm", [0.0, -1.0, float("nan"), float("inf")])
def test_a_norm_that_is_none_and_a_vector_of_zeros_are_refused(norm: float) -> None:
    with pytest.raises(UserError, match=f"Norm is {norm}"):
        with_norm(ANNA, norm)
    with pytest.raises(UserError, match="Vector 2 of 'empty' is all zeros"):
        with_norm(word("empty", (1.0, 0.0), (0.0, 0.0)), 0.4)
