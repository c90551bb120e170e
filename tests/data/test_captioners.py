"""BLIP, Florence-2 and the taggers from files in the workspace, without network; what is missing is named and stops
nothing.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.tiny_models import (
    TAGGER_SIZE_PX,
    WORDS,
    irregular,
    save_tiny_blip,
    save_tiny_florence,
    save_tiny_tagger,
    tiny_config,
    tiny_state,
)
from ti_core.data import florence
from ti_core.data.blip import Blip
from ti_core.data.captioners import make_caption_writer
from ti_core.data.florence import QUESTIONS, Florence, plain_description
from ti_core.data.swin_transformer import SwinTransformer
from ti_core.data.tagger import Tag, Tagger, Thresholds, read_network, tag_caption
from ti_core.errors import UserError
from ti_core.events import Event, Notice
from ti_core.settings import PreprocessSettings
from ti_core.settings.preprocess import FLORENCE_LENGTHS, TAGGERS
from ti_core.workspace import REPOSITORY, Workspace

BLIP = "models/BLIP/blip-image-captioning-base"
TAGGER = "models/tagger/wd-vit-tagger-v3"
FLORENCE = "models/Florence-2/Florence-2-base"


def noise(size: tuple[int, int] = (40, 30), seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8))


def settings(**values: object) -> PreprocessSettings:
    return PreprocessSettings(**{"source_directory": "photos", "destination_directory": "out", **values})


def test_blip_writes_words_of_the_asked_length_and_not_its_prompt(tmp_path: Path) -> None:
    save_tiny_blip(tmp_path / BLIP)
    long = Blip(settings(blip_min_length=24, blip_max_length=30), Workspace(tmp_path)).describe(noise())
    short = Blip(settings(blip_min_length=1, blip_max_length=8), Workspace(tmp_path)).describe(noise())
    assert set(long.split()) <= {*WORDS, "[UNK]"} and not long.startswith("a picture of")
    assert (
        24 - 4 - 6 <= len(long.split()) <= 30 - 4
    )  # begin and the prompt's three words count; special words drop out of the text
    assert len(short.split()) <= 8 - 4


def test_blip_says_the_same_of_the_same_picture_and_looks_at_it(tmp_path: Path) -> None:
    save_tiny_blip(tmp_path / BLIP)
    blip = Blip(settings(blip_beams=2), Workspace(tmp_path))
    assert blip.describe(noise()) == blip.describe(noise())
    assert not torch.equal(blip._pixels(noise()), blip._pixels(noise(seed=1)))


def test_blip_sees_the_whole_picture_squashed_and_normalised(tmp_path: Path) -> None:
    save_tiny_blip(tmp_path / BLIP)
    pixels = Blip(settings(), Workspace(tmp_path))._pixels(Image.new("RGB", (100, 20), (255, 0, 0)))
    assert pixels.shape == (1, 3, 32, 32)
    assert pixels[0, :, 0, 0].tolist() == pytest.approx(
        [(1 - 0.48145466) / 0.26862954, -0.4578275 / 0.26130258, -0.40821073 / 0.27577711], abs=1e-5
    )


def test_the_tagger_lists_sure_tags_sorted_with_spaces_and_escaped_brackets_and_no_ratings(tmp_path: Path) -> None:
    save_tiny_tagger(
        tmp_path / TAGGER, {"general": 9, "long_hair": 2, "ganyu_(genshin_impact)": 3, "^_^": 1, "1girl": -0.1}
    )
    assert Tagger(settings(), Workspace(tmp_path)).describe(noise()) == "^_^, ganyu \\(genshin impact\\), long hair"
    assert Tagger(settings(booru_threshold=0.4), Workspace(tmp_path)).describe(noise()).startswith("1girl, ")
    strict = settings(booru_threshold=0.99, booru_character_threshold=0.99)
    assert Tagger(strict, Workspace(tmp_path)).describe(noise()) == ""


def test_a_score_at_the_threshold_counts() -> None:
    scored = [(Tag("big_cat", 0), 0.5), (Tag("a\\b", 0), 0.6), (Tag("old_dog", 0), 0.4999), (Tag("safe", 9), 1.0)]
    assert tag_caption(scored, Thresholds(0.5, 0.5)) == "a\\\\b, big cat"


def test_names_of_characters_have_a_threshold_of_their_own_and_ratings_are_never_written(tmp_path: Path) -> None:
    save_tiny_tagger(tmp_path / TAGGER, {"general": 9, "long_hair": 1, "ganyu_(genshin_impact)": 1})  # 0.73

    def tags(**values: object) -> str:
        return Tagger(settings(**values), Workspace(tmp_path)).describe(noise())

    assert tags() == "long hair"  # 0.5 and 0.85
    assert tags(booru_character_threshold=0.7) == "ganyu \\(genshin impact\\), long hair"
    assert tags(booru_threshold=0.9, booru_character_threshold=0.7) == "ganyu \\(genshin impact\\)"
    assert "general" not in tags(booru_threshold=0, booru_character_threshold=0)


def test_the_tagger_pads_with_white_and_hands_over_bgr(tmp_path: Path) -> None:
    save_tiny_tagger(tmp_path / TAGGER)
    pixels = Tagger(settings(), Workspace(tmp_path))._pixels(Image.new("RGB", (100, 50), (255, 0, 0)))
    assert pixels.shape == (1, 3, 32, 32)
    assert pixels[0, :, 16, 16].tolist() == [-1, -1, 1]
    assert pixels[0, :, 1, 16].tolist() == [1, 1, 1]


OF_TIMM = {
    "vit": (0.65647, 0.16428, 0.13535),
    "swinv2": (-1.94952, 0.13676, 0.35671),
    "convnext": (0.45663, 0.0444, 0.07695),
    "eva02": (-1.70585, -0.77917, -0.15868),
}
"""What timm 1.0.31 computes with these tensors for this picture."""


@pytest.mark.parametrize("kind", OF_TIMM)
def test_every_network_of_the_family_computes_what_timm_computes(kind: str) -> None:
    network = read_network(tiny_state(kind, 3), tiny_config(kind, 3), TAGGER_SIZE_PX).eval()
    with torch.no_grad():
        scores = network(irregular((1, 3, TAGGER_SIZE_PX, TAGGER_SIZE_PX), 0.5))[0]
    assert scores.tolist() == pytest.approx(OF_TIMM[kind], abs=1e-4)


@pytest.mark.parametrize(("kind", "model"), zip(OF_TIMM, TAGGERS, strict=True))
def test_the_chosen_tagger_of_the_family_writes_from_its_own_folder(tmp_path: Path, kind: str, model: str) -> None:
    save_tiny_tagger(tmp_path / "models/tagger" / model, {"general": 9, "long_hair": 2}, kind=kind)
    tagger = Tagger(settings(booru_model=model), Workspace(tmp_path))
    assert tagger.describe(noise()) == "long hair"
    assert {tensor.dtype for tensor in tagger.model.state_dict().values()} == {torch.float32}


def test_half_precision_files_are_read_in_float32(tmp_path: Path) -> None:
    state = {name: tensor.half() for name, tensor in tiny_state("swinv2", 3).items()}
    network = read_network(state, tiny_config("swinv2", 3), TAGGER_SIZE_PX)
    assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}


@pytest.mark.parametrize(("given", "window"), [({"window_size": [7, 7]}, 7), ({"window_size": 14}, 14), ({}, 8)])
def test_the_window_is_that_of_the_config_else_of_the_architecture(given: dict[str, object], window: int) -> None:
    config = {"architecture": "swinv2_base_window8_256", "model_args": given}
    blocks = SwinTransformer(tiny_state("swinv2", 3), config, 256).layers[0].blocks
    assert [(block.block.window, block.block.shift) for block in blocks] == [(window, 0), (window, window // 2)]


def test_blip_comes_first_and_a_comma_stands_between(tmp_path: Path) -> None:
    save_tiny_blip(tmp_path / BLIP)
    save_tiny_tagger(tmp_path / TAGGER, {"long_hair": 5})
    given = settings(blip_caption=True, booru_caption=True)
    alone = Blip(given, Workspace(tmp_path)).describe(noise())
    assert (
        make_caption_writer(given, Workspace(tmp_path), lambda event: None, threading.Event()).describe(noise())
        == f"{alone}, long hair"
    )


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model never ends by itself."""
    monkeypatch.setattr(florence, "_MOST_TOKENS", 6)


@pytest.mark.usefixtures("short")
def test_florence_writes_words_and_says_the_same_of_the_same_picture(tmp_path: Path) -> None:
    save_tiny_florence(tmp_path / FLORENCE)
    model = Florence(settings(), Workspace(tmp_path))
    text = model.describe(noise())
    assert text and text == model.describe(noise()) and "<" not in text
    assert model.model.dtype == torch.float32  # from a file in half precision


def test_florence_is_asked_for_the_length_of_the_settings_after_all_parts_of_the_picture(tmp_path: Path) -> None:
    save_tiny_florence(tmp_path / FLORENCE)
    for length in FLORENCE_LENGTHS:
        model = Florence(settings(florence_length=length), Workspace(tmp_path))
        (asked,) = model._asked().tolist()
        assert asked[:577] == [model.model.config.image_token_id] * 577  # 24 x 24 parts and the whole
        assert (asked[577], asked[-1]) == (0, 2)
        assert asked[578:-1] == model.tokenizer.encode(QUESTIONS[length], add_special_tokens=False)
    pixels = model._pixels(Image.new("RGB", (100, 20), (255, 0, 0)))
    assert pixels.shape == (1, 3, 768, 768)
    assert pixels[0, :, 0, 0].tolist() == pytest.approx([(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225], abs=1e-5)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("The image shows a man in a hat.", "a man in a hat"),
        ("In this image we can see a dog. Behind it is a wall.", "a dog. Behind it is a wall"),
        ("a cat\non the image is of grass", "a cat on the image is of grass"),
        ("", ""),
    ],
)
def test_a_description_loses_its_opening_and_its_last_full_stop(written: str, kept: str) -> None:
    assert plain_description(written) == kept


@pytest.mark.usefixtures("short")
def test_florence_stands_between_blip_and_the_tags(tmp_path: Path) -> None:
    save_tiny_florence(tmp_path / FLORENCE)
    save_tiny_tagger(tmp_path / TAGGER, {"long_hair": 5})
    given = settings(florence_caption=True, booru_caption=True)
    alone = Florence(given, Workspace(tmp_path)).describe(noise())
    writer = make_caption_writer(given, Workspace(tmp_path), lambda event: None, threading.Event())
    assert writer.describe(noise()) == f"{alone}, long hair"


@pytest.mark.parametrize("damage", ["weights", "config", "tokenizer", "half of the tensors"])
def test_a_damaged_florence_is_named_with_what_to_do(tmp_path: Path, damage: str) -> None:
    from safetensors.torch import load_file, save_file

    folder = save_tiny_florence(tmp_path / FLORENCE)
    if damage == "half of the tensors":
        file = folder / "model.safetensors"
        kept = {name: tensor for name, tensor in load_file(file).items() if "vision_tower" not in name}
        save_file(kept, file, {"format": "pt"})
    else:
        broken = {"weights": "model.safetensors", "config": "config.json", "tokenizer": "tokenizer.json"}
        (folder / broken[damage]).write_bytes(b"\xff{" * 20)
    with pytest.raises(
        UserError,
        match=r"The model Florence-2-base in models/Florence-2/Florence-2-base cannot be read: .*Download its files",
    ):
        Florence(settings(), Workspace(tmp_path))


def test_missing_models_are_named_once_with_folder_and_files_and_the_other_still_writes(tmp_path: Path) -> None:
    save_tiny_tagger(tmp_path / TAGGER, {"long_hair": 5})
    events: list[Event] = []
    writer = make_caption_writer(
        settings(blip_caption=True, booru_caption=True), Workspace(tmp_path), events.append, threading.Event()
    )
    assert [writer.describe(noise(seed=i)) for i in range(2)] == ["long hair"] * 2
    (notice,) = (event.text for event in events if isinstance(event, Notice))
    assert notice.startswith(
        "The BLIP model blip-image-captioning-base is not on this machine and could not be downloaded."
    )
    assert (
        "Put config.json, model.safetensors, tokenizer_config.json, vocab.txt of"
        f" huggingface.co/Salesforce/blip-image-captioning-base into {BLIP}." in notice
    )


def test_only_the_files_that_are_missing_are_asked_for(tmp_path: Path) -> None:
    (save_tiny_tagger(tmp_path / TAGGER) / "selected_tags.csv").unlink()
    with pytest.raises(UserError, match=r"Put selected_tags\.csv of huggingface"):
        Tagger(settings(), Workspace(tmp_path))


@pytest.mark.parametrize("damage", ["weights", "config", "other model", "too few tags"])
def test_a_damaged_tagger_is_named_with_what_to_do(tmp_path: Path, damage: str) -> None:
    folder = save_tiny_tagger(tmp_path / TAGGER)
    if damage == "weights":
        (folder / "model.safetensors").write_bytes(b"\xff" * 40)
    elif damage == "config":
        (folder / "config.json").write_text("{")
    elif damage == "other model":
        from safetensors.torch import save_file

        save_file({"stem.conv.weight": torch.zeros(2)}, folder / "model.safetensors")
    else:
        (folder / "selected_tags.csv").write_text("tag_id,name,category,count\n0,1girl,0,5\n")
    with pytest.raises(
        UserError,
        match=(
            r"The tagger wd-vit-tagger-v3 in models/tagger/wd-vit-tagger-v3 cannot be read: .*Download its files anew"
        ),
    ):
        Tagger(settings(), Workspace(tmp_path))


@pytest.mark.parametrize("damage", ["weights", "config", "half of the tensors"])
def test_a_damaged_blip_is_named_with_what_to_do(tmp_path: Path, damage: str) -> None:
    folder = save_tiny_blip(tmp_path / BLIP)
    weights = folder / "model.safetensors"
    if damage == "weights":
        weights.write_bytes(b"\xff" * 40)
    elif damage == "config":
        (folder / "config.json").write_text("{")
    else:
        from safetensors.torch import load_file, save_file

        save_file(
            {name: tensor for name, tensor in load_file(weights).items() if not name.startswith("vision_model")},
            weights,
            {"format": "pt"},
        )
    with pytest.raises(
        UserError,
        match=r"The BLIP model .* in models/BLIP/blip-image-captioning-base cannot be read: .*Download its files anew",
    ):
        Blip(settings(), Workspace(tmp_path))


def test_without_a_ticked_captioner_nothing_is_loaded() -> None:
    code = (
        "import sys; from pathlib import Path; from threading import Event; from PIL import Image; from"
        " ti_core.data.captioners import make_caption_writer;from ti_core.settings import PreprocessSettings as S; from"
        " ti_core.workspace import Workspace;writer = make_caption_writer(S('a', 'b'), Workspace(Path('.')), print,"
        " Event()); assert writer.describe(Image.new('RGB', (8, 8))) == '';make_caption_writer(S('a', 'b',"
        " blip_caption=True), Workspace(Path('.')), print, Event()); import ti_core.data.preprocess;sys.exit(any(name"
        " in sys.modules for name in ('torch', 'transformers', 'cv2')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, timeout=60).returncode == 0
