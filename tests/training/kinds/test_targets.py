"""What each kind of word asks and aims at, against values worked out by hand."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ti_core.models.stable_diffusion import Conditioning
from ti_core.settings import TrainSettings
from ti_core.settings.strength import at_strength, without_word
from ti_core.settings.word_kind import NEGATIVE, SLIDER, WordKind
from ti_core.training.kinds import kind_of
from ti_core.training.kinds.kind import Beside, TrainingKind
from ti_core.training.kinds.negative import GuidedNegativeWord, PlainNegativeWord
from ti_core.training.kinds.ordinary import OrdinaryWord
from ti_core.training.kinds.slider import TRAINED_STRENGTHS, SliderWord
from ti_core.training.noise_loss import MicroBatch, NoisyImages, noise_predict_loss

SMILE = WordKind(SLIDER, "a photo of a person", "smiling", "serious", "man, woman")


class Constant:
    """Stands in for a model: it predicts the first number of its conditioning everywhere."""

    prediction_type = "epsilon"
    alphas_cumprod = torch.tensor([0.9, 0.5])

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning, sizes: Tensor) -> Tensor:
        return conditioning.hidden_states[:, 0, :1, None, None].expand_as(noisy)


def says(*numbers: float) -> Conditioning:
    return Conditioning(torch.tensor(numbers).view(-1, 1, 1).requires_grad_(True))


def loss_of(kind: TrainingKind, word: Conditioning, beside: Beside, noise: float = 0.0) -> Tensor:
    count = len(word.hidden_states)
    images = NoisyImages(
        clean=[torch.zeros(1, 2, 2)] * count,
        noise=[torch.full((1, 2, 2), noise)] * count,
        timesteps=torch.zeros(count, dtype=torch.long),
        sizes=torch.zeros(count, 6),
        weight=[torch.ones(1, 2, 2)] * count,
    )
    batch = MicroBatch(list(range(count)), torch.arange(count))
    sd: Any = Constant()
    return noise_predict_loss(sd, images, batch, word, lambda *given: kind.compare(*given, beside=beside))


def draw(index: int) -> random.Random:
    return random.Random(index)


def test_a_slider_aims_at_the_neutral_prediction_plus_its_strength_times_more_less_less() -> None:
    beside = Beside((says(1.0, 1.0), says(4.0, 4.0), says(2.0, 2.0)), torch.tensor([0.5, 1.5]))
    # with a reach of 2: 1 + 0.5 * 2 * (4 - 2) = 3, and 1 + 1.5 * 2 * (4 - 2) = 7
    losses = loss_of(SliderWord(SMILE, 2.0), says(3.0, 4.0), beside)
    assert losses.tolist() == [0.0, 9.0]


def test_nothing_of_the_gradient_of_a_slider_goes_to_its_target() -> None:
    beside = Beside((says(1.0), says(4.0), says(2.0)), torch.tensor([1.0]))
    word = says(0.0)
    loss_of(SliderWord(SMILE), word, beside).sum().backward()
    # d (w - 3)^2 / dw at 0
    assert word.hidden_states.grad is not None and float(word.hidden_states.grad.sum()) == -6.0
    assert all(each.hidden_states.grad is None for each in beside.conditionings)


def test_a_guided_negative_word_is_right_where_guidance_leads_as_far_away_as_the_prompt_misses() -> None:
    # prompt 1, bad picture 4, guidance 4: guided = w + 4 * (1 - w) = 4 - 3 w is to be 2 * 1 - 4 = -2, so w = 2
    kind = GuidedNegativeWord(WordKind(NEGATIVE), 4.0)
    beside = Beside((says(1.0, 1.0),), torch.tensor([]))
    losses = loss_of(kind, says(2.0, 5.0), beside, noise=4.0)
    # at w = 5: ((4 - 15) - -2) / 3 = -3
    assert losses.tolist() == [0.0, 9.0]


def test_a_plain_negative_word_is_right_where_it_predicts_the_bad_picture_itself() -> None:
    kind = PlainNegativeWord(WordKind(NEGATIVE), 4.0)
    assert loss_of(kind, says(4.0, 2.0), Beside((), torch.tensor([])), noise=4.0).tolist() == [0.0, 4.0]


def test_a_slider_asks_with_emphasis_and_leaves_what_it_keeps_to_all_its_prompts() -> None:
    kind = SliderWord(SMILE)
    asked = kind.ask([f"{SMILE.on}, [name]"] * 40, "smile-01", draw)
    neutral, more, less = asked.beside
    assert asked.emphasis and set(asked.strengths) <= set(TRAINED_STRENGTHS)
    for word, plain, up, down, strength in zip(asked.trained, neutral, more, less, asked.strengths, strict=True):
        kept = up.removeprefix("a photo of a person, ").removesuffix(", smiling")
        assert kept in {"man", "woman"} and down == f"a photo of a person, {kept}, serious"
        named = "smile-01" if strength == 1 else f"(smile-01:{strength:g})"
        assert (plain, word) in {
            ("", named),
            (f"a photo of a person, {kept}", f"a photo of a person, {kept}, {named}"),
        }
    assert any(not plain for plain in neutral) and any(neutral)
    assert kind.ask_without(asked, []).trained == neutral


def test_a_negative_word_stands_alone_as_in_a_negative_prompt_and_its_caption_is_the_prompt() -> None:
    kind = GuidedNegativeWord(WordKind(NEGATIVE))
    asked = kind.ask(["a photo of a man, red shirt, [name]"], "bad-01", draw)
    assert (asked.trained, asked.beside) == (["bad-01"], (["a photo of a man, red shirt"],))
    assert kind.ask_without(asked, [""]).trained == [""]


def test_what_is_asked_about_some_images_is_theirs() -> None:
    asked = SliderWord(SMILE).ask([f"{SMILE.on}, [name]"] * 3, "smile", draw)
    some = asked.of([2, 0])
    assert some.trained == [asked.trained[2], asked.trained[0]]
    assert some.beside[1] == [asked.beside[1][2], asked.beside[1][0]]
    assert some.strengths == (asked.strengths[2], asked.strengths[0])


@pytest.mark.parametrize(
    ("strength", "prompt", "negative"),
    [
        (1.0, "a photo, smile", "blurry"),
        (0.5, "a photo, (smile:0.5)", "blurry"),
        (0.0, "a photo", "blurry"),
        (-0.5, "a photo", "blurry, (smile:0.5)"),
        (-1.0, "a photo", "blurry, smile"),
    ],
)
def test_a_strength_is_emphasis_and_less_than_nothing_the_negative_prompt(
    strength: float, prompt: str, negative: str
) -> None:
    assert at_strength("a photo, [name]", "blurry", "smile", strength) == (prompt, negative)


@pytest.mark.parametrize(
    ("line", "bare"), [("a cat, [name], red", "a cat, red"), ("[name], a cat", "a cat"), ("[name]", "")]
)
def test_a_line_without_its_word_has_no_comma_too_many(line: str, bare: str) -> None:
    assert without_word(line) == bare


def test_settings_say_how_each_kind_is_trained() -> None:
    settings = TrainSettings.from_dict({"slider_range": 3, "negative_guidance": 5})
    assert kind_of(SMILE, settings) == SliderWord(SMILE, 3.0)
    assert kind_of(WordKind(NEGATIVE), settings) == GuidedNegativeWord(WordKind(NEGATIVE), 5.0)
    plain = TrainSettings.from_dict({"negative_training": "plain"})
    assert type(kind_of(WordKind(NEGATIVE), plain)) is PlainNegativeWord
    assert type(kind_of(WordKind(), settings)) is OrdinaryWord


def test_the_form_beats_the_file_and_as_created_takes_the_files_kind() -> None:
    assert TrainSettings().word_kind(SMILE) == SMILE
    assert TrainSettings(kind="ordinary").word_kind(SMILE) == WordKind()
    typed = TrainSettings(slider_on="a dog", slider_more="wet")  # perhaps of the word before
    assert typed.word_kind(SMILE) == SMILE
    assert replace(typed, kind=SLIDER).word_kind(SMILE) == WordKind(SLIDER, "a dog", "wet")
    written = TrainSettings().of_kind(SMILE)
    assert written.word_kind(WordKind()) == SMILE and TrainSettings().of_kind(WordKind()) == TrainSettings()
