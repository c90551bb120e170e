from __future__ import annotations

import pytest
import torch

from tests.conftest import TINY
from ti_core.models.checkpoint import load_checkpoint
from ti_core.models.prompt_encoder import PromptEncoder, Slot
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.workspace import Workspace


@pytest.fixture
def sd(workspace: Workspace) -> StableDiffusion:
    return load_checkpoint(TINY, workspace)


def test_without_embeddings_it_is_the_text_encoders_own_output(sd: StableDiffusion) -> None:
    prompts = ["a photo of a man, smiling", "red shirt", "a photo of a man, smiling"]
    ids = sd.tokenizers[0](prompts, padding="max_length", max_length=77, return_tensors="pt").input_ids
    assert torch.equal(PromptEncoder(sd).encode(prompts, {}).hidden_states, sd.text_encoders[0](ids)[0])


def test_the_name_takes_as_many_slots_as_vectors_in_any_case_and_only_as_a_whole_word(sd: StableDiffusion) -> None:
    encoder = PromptEncoder(sd)
    slots = [t for t in encoder.tokenize("Anna and joanna, ANNA-x anna", {"anna": 2}) if isinstance(t, Slot)]
    assert slots == [Slot("anna", 0), Slot("anna", 1)] * 3
    assert [t.name for t in encoder.tokenize("anna-x, anna", {"anna": 1, "anna-x": 1}) if isinstance(t, Slot)] == [
        "anna-x",
        "anna",
    ]


@pytest.mark.parametrize(
    ("name", "text", "count"), [("İrem", "a photo of İrem", 1), ("kiz", "bir kız, kiz, KIZ", 3), ("masse", "maſſe", 1)]
)
def test_letters_that_fold_in_their_own_way_are_found_as_the_search_finds_them(
    sd: StableDiffusion, name: str, text: str, count: int
) -> None:
    slots = [t for t in PromptEncoder(sd).tokenize(text, {name: 1}) if isinstance(t, Slot)]
    assert slots == [Slot(name, 0)] * count


def test_brackets_are_text_and_not_emphasis(sd: StableDiffusion) -> None:
    encoder = PromptEncoder(sd)
    assert encoder.tokenize(r"saber \(fate\)", {}) == encoder.tokenize("saber (fate)", {})
    assert encoder.tokenize("saber (fate)", {}) == sd.tokenizers[0]("saber (fate)", add_special_tokens=False).input_ids
    assert not torch.equal(
        encoder.encode(["saber (fate)"], {}).hidden_states, encoder.encode(["saber fate"], {}).hidden_states
    )


def test_a_vector_that_is_a_words_own_row_means_that_word(sd: StableDiffusion) -> None:
    (token,) = sd.tokenizers[0]("a", add_special_tokens=False).input_ids
    row = sd.text_encoders[0].get_input_embeddings().weight[token]
    encoder = PromptEncoder(sd)
    assert torch.allclose(
        encoder.encode(["photo of anna, red"], {"anna": {"clip_l": row[None]}}).hidden_states,
        encoder.encode(["photo of a, red"], {}).hidden_states,
        atol=1e-6,
    )


def test_gradients_reach_the_vectors_used_and_nothing_else(sd: StableDiffusion) -> None:
    vectors = torch.randn(2, sd.widths["clip_l"], requires_grad=True)
    PromptEncoder(sd).encode(
        ["a photo of anna", "a photo"], {"anna": {"clip_l": vectors}}
    ).hidden_states.square().sum().backward()
    assert vectors.grad is not None and bool((vectors.grad.abs().sum(1) > 0).all())
    assert all(p.grad is None for p in sd.text_encoders[0].parameters())


def test_a_long_caption_becomes_chunks_and_short_ones_are_filled_up(sd: StableDiffusion) -> None:
    encoder = PromptEncoder(sd)
    encoded = encoder.encode(["x" * 100, "x"], {}).hidden_states
    assert encoded.shape == (2, 2 * 77, sd.widths["clip_l"])
    assert torch.allclose(encoded[1, 77:], encoder.encode([""], {}).hidden_states[0], atol=1e-6)


def test_an_embedding_is_never_cut_between_two_chunks(sd: StableDiffusion) -> None:
    encoder = PromptEncoder(sd)
    pieces = encoder.chunks(encoder.tokenize("x, " * 36 + "anna", {"anna": 5}))
    assert [len(piece) for piece in pieces] == [72, 5]
    assert all(isinstance(token, Slot) for token in pieces[1])
