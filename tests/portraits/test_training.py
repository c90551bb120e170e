"""The training of the Portraits model: it goes on where it was stopped, and a name's row means a person."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTokenizer

from ti_core.portraits.gallery import Gallery, Painter, to_pixels
from ti_core.portraits.networks import ROW_NORM, TEXT_WIDTH, CaptionReader, NameRows, new_unet, start_unet
from ti_core.portraits.pictures import SLOT, PictureBook
from ti_core.portraits.stage import Clock, OutOfTime, Stage, Training
from ti_core.portraits.tokenizer import build_tokenizer
from ti_core.portraits.train_model import named, sheet_prompts, truth_of
from ti_core.portraits.world import draw_person, known_people
from ti_core.workspace import ASSETS

STAGE = Stage("tiny", examples=40, batch=2, rate=0.1, ema=0.9, warmup=3)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    return build_tokenizer(tmp_path_factory.mktemp("tokenizer"), captions=300)


def loss_of(model: nn.Module, step: int) -> Tensor:
    inputs = torch.randn(2, 3, generator=torch.Generator().manual_seed(step))
    return (model(inputs).float() - inputs.sum(1, keepdim=True)).square().mean()


def line() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def test_a_stopped_stage_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = Training(STAGE, line(), tmp_path / "whole", torch.device("cpu"))
    whole.run(loss_of, Clock.of(60, last=False))
    clock = Clock.of(60, last=False)

    def stopped_in_the_middle(model: nn.Module, step: int) -> Tensor:
        if step == 7:
            clock.stop()
        return loss_of(model, step)

    with pytest.raises(OutOfTime):
        Training(STAGE, line(), tmp_path, torch.device("cpu")).run(stopped_in_the_middle, clock)
    rest = Training(STAGE, line(), tmp_path, torch.device("cpu"))
    assert (rest.steps, rest.seen) == (8, 16)
    rest.run(loss_of, Clock.of(60, last=False))
    for key, value in whole.average.items():
        assert torch.equal(rest.average[key], value)
    assert rest.done and not list(tmp_path.glob("*.part"))


def test_the_rate_falls_over_the_second_half_or_at_the_end_of_the_last_minutes() -> None:
    clock = Clock.of(60, last=False)
    assert STAGE.rate_at(50, 20, clock) == STAGE.rate > STAGE.rate_at(50, 30, clock) > STAGE.rate_at(50, 39, clock) > 0
    endless = Stage("endless", None, 2, 0.1, 0.9)
    assert endless.rate_at(500, 10**9, clock) == 0.1
    last = Clock.of(60, last=True)
    assert endless.rate_at(500, 10, last) == 0.1
    last.stop()
    assert endless.rate_at(500, 10, last) == 0


def test_a_names_row_is_as_long_as_a_word_and_means_one_person() -> None:
    torch.manual_seed(0)
    rows, rng = NameRows(), random.Random(1)
    one, other = draw_person(rng), draw_person(rng)
    own = torch.randn(2, TEXT_WIDTH)
    first, second = rows([one, other], own)
    assert first.norm().item() == pytest.approx(ROW_NORM) and second.norm().item() == pytest.approx(ROW_NORM)
    assert torch.equal(rows([one], own[:1])[0], first)
    assert torch.cosine_similarity(first, second, dim=0) < 0.95


def test_every_known_name_is_one_token_that_the_saved_encoder_reads_as_the_person(tokenizer: CLIPTokenizer) -> None:
    torch.manual_seed(0)
    reader, people = CaptionReader(tokenizer).eval(), known_people()
    assert all(len(tokenizer(name).input_ids) == 3 for name in people)
    assert len(set(tokenizer.get_vocab().values())) == len(tokenizer)
    encoder = reader.with_known_names(tokenizer)
    own = torch.randn(len(people), TEXT_WIDTH, generator=torch.Generator().manual_seed(99))
    number, name = 41, list(people)[41]
    ids = [tokenizer(f"a photo of {who}, smiling", return_tensors="pt").input_ids for who in (SLOT, name)]
    with torch.no_grad():
        in_training = reader.read(ids[0], [people[name]], own[number : number + 1])
        saved = encoder(ids[1])[0]
    assert torch.allclose(in_training, saved, atol=1e-5)


def test_people_who_are_described_do_not_get_a_row(tokenizer: CLIPTokenizer) -> None:
    torch.manual_seed(0)
    reader = CaptionReader(tokenizer).eval()
    ids = tokenizer(["a photo of a man", f"a photo of {SLOT}"], padding=True, return_tensors="pt").input_ids
    person, own = draw_person(random.Random(0)), torch.randn(2, TEXT_WIDTH)
    with torch.no_grad():
        with_row, without = reader.read(ids, [None, person], own), reader.read(ids, [None, None], own)
    assert torch.allclose(with_row[0], without[0], atol=1e-6) and not torch.allclose(with_row[1], without[1], atol=1e-3)


def test_what_captions_say_is_learned_and_nothing_else() -> None:
    book, rng = PictureBook(3), random.Random(0)
    for picture in (book[i] for i in range(80)):
        said = picture.caption(rng)
        truth = truth_of(picture, said.says)
        assert {name for name, value in truth.items() if value >= 0} >= {"kind", "style"}
        assert (named(picture) is not None) == (SLOT in said.text)
        assert truth["kind"] == ("dog" in said.text.split(",")[0])


def test_the_gallery_grows_and_is_found_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vae = AutoencoderKL(
        3, 3, ("DownEncoderBlock2D",) * 3, ("UpDecoderBlock2D",) * 3, (4, 4, 4), 1, latent_channels=4, norm_num_groups=2
    ).eval()
    painter = Painter(PictureBook(1), 1)
    gallery = Gallery(tmp_path, painter, vae)
    gallery.grow(3)
    gallery.grow(5)
    again = Gallery(tmp_path, painter, vae)
    assert again.count == 5
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = vae.encode(to_pixels(painter.draw(3, 2))).latent_dist.mean
    assert torch.allclose(again[np.array([3, 4])], expected.float(), atol=0.02)


def test_a_training_goes_on_from_the_shipped_weights_and_leaves_out_what_has_another_shape() -> None:
    unet, before = new_unet(), UNet2DConditionModel.from_pretrained(ASSETS / "portraits" / "unet").float()
    start_unet(unet, ASSETS / "portraits")
    assert all(torch.equal(value, before.state_dict()[key]) for key, value in unet.state_dict().items())


def test_the_sheet_shows_names_words_every_style_and_dogs() -> None:
    prompts = sheet_prompts()
    assert len(prompts) == 40 and prompts == sheet_prompts()
    assert all(
        any(word in prompt for prompt in prompts)
        for word in ("sketch", "neon", "painting", "comic", "watercolor", "dog")
    )
