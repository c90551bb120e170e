from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.conftest import TINY
from tests.models.tiny_families import save_single_file
from ti_core.models.checkpoint import load_checkpoint
from ti_core.models.prompt_encoder import PromptEncoder, Slot
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.workspace import Workspace


@pytest.fixture
def sd(workspace: Workspace) -> StableDiffusion:
    sd = load_checkpoint(TINY, workspace)
    sd.move_to_device()
    return sd


def test_without_embeddings_it_is_the_text_encoders_own_output(sd: StableDiffusion) -> None:
    prompts = ["a photo of a man, smiling", "red shirt", "a photo of a man, smiling"]
    ids = sd.tokenizers[0](prompts, padding="max_length", max_length=77, return_tensors="pt").input_ids.to(sd.device)
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


# ---- emphasis


def with_a_mean(sd: StableDiffusion) -> StableDiffusion:
    """As the text encoder of Stable Diffusion 1 has one, of about a tenth of the deviation."""
    with torch.no_grad():
        sd.text_encoders[0].final_layer_norm.bias.add_(0.2)
    return sd


@torch.no_grad()
def test_weights_multiply_the_hidden_states_and_the_mean_is_restored(sd: StableDiffusion) -> None:
    encoder = PromptEncoder(with_a_mean(sd))
    anna = {"anna": {"clip_l": torch.randn(2, sd.widths["clip_l"])}}
    plain = encoder.encode(["x anna y"], anna).hidden_states[0].cpu()
    count = len(encoder.tokenize("x anna y", {"anna": 2}))
    weights = torch.ones(77, 1)
    weights[2:4] = 1.5  # after the start token and x: the two vectors
    by_hand = plain * weights
    by_hand *= plain.mean() / by_hand.mean()
    assert count == 4 and not torch.allclose(by_hand, plain)
    found = encoder.encode(["x (anna:1.5) y"], anna, emphasis=True).hidden_states[0].cpu()
    assert torch.allclose(found, by_hand, atol=1e-6) and torch.isclose(found.mean(), plain.mean(), atol=1e-6)


@torch.no_grad()
def test_a_mean_of_noise_is_not_restored(sd: StableDiffusion) -> None:
    encoder = PromptEncoder(sd)  # its last layer leaves a mean of 0
    plain = encoder.encode(["x y"], {}).hidden_states[0].cpu()
    weights = torch.ones(77, 1)
    weights[1] = 1 / 1.1
    found = encoder.encode(["[x] y"], {}, emphasis=True).hidden_states[0].cpu()
    assert torch.allclose(found, plain * weights, atol=1e-6)


@torch.no_grad()
def test_without_brackets_emphasis_changes_no_bit(sd: StableDiffusion) -> None:
    encoder, anna = PromptEncoder(sd), {"anna": {"clip_l": torch.randn(2, sd.widths["clip_l"])}}
    for prompts in (["a photo of anna, smiling", ""], ["x" * 100, r"saber \(fate\) 12:30"]):
        assert torch.equal(
            encoder.encode(prompts, anna, emphasis=True).hidden_states, encoder.encode(prompts, anna).hidden_states
        )


@torch.no_grad()
def test_a_weighted_prompt_does_not_change_its_neighbour(sd: StableDiffusion) -> None:
    encoder = PromptEncoder(with_a_mean(sd))
    both = encoder.encode(["(x:2) y", "y"], {}, emphasis=True).hidden_states
    assert torch.equal(both[1], encoder.encode(["(x) y", "y"], {}, emphasis=True).hidden_states[1])


@torch.no_grad()
def test_weights_reach_the_second_chunk(sd: StableDiffusion) -> None:
    encoder = PromptEncoder(sd)
    plain = encoder.encode(["x, " * 40 + "y"], {}).hidden_states[0]
    found = encoder.encode(["x, " * 40 + "(y:2)"], {}, emphasis=True).hidden_states[0]
    changed = (found != plain).any(dim=1).nonzero().flatten().tolist()
    assert plain.shape[0] == 2 * 77 and changed == [77 + 81 - 75]


@pytest.mark.usefixtures("tiny_families")
@torch.no_grad()
def test_each_text_encoder_of_sdxl_restores_its_own_mean_and_pooled_outputs_stay(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.checkpoints.mkdir(parents=True)
    save_single_file("sdxl", workspace.checkpoints / "xl.safetensors")
    sd = load_checkpoint("xl.safetensors", workspace)
    sd.move_to_device()
    encoder = PromptEncoder(sd)
    plain, found = encoder.encode(["x y"], {}), encoder.encode(["(x:1.4) y"], {}, emphasis=True)
    widths = list(sd.widths.values())
    halves = (both.hidden_states[0].cpu().split(widths, -1) for both in (plain, found))
    for before, after in zip(*halves, strict=True):
        weights = torch.ones(77, 1)
        weights[1] = 1.4
        by_hand = before * weights
        if min(abs(before.mean()), abs(by_hand.mean())) >= 0.02 * before.std():
            by_hand = by_hand * (before.mean() / by_hand.mean())
        assert torch.allclose(after, by_hand, atol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(plain.pooled, found.pooled, strict=True))
