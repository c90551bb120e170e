"""BLIP and the tagger from files in the workspace, without network; what is missing is named and stops nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from tests.data.tiny_models import WORDS, save_tiny_blip, save_tiny_tagger
from ti_core.data.blip import Blip
from ti_core.data.captioners import make_caption_writer
from ti_core.data.tagger import Tag, Tagger, tag_caption
from ti_core.errors import UserError
from ti_core.events import Event, Notice
from ti_core.settings import PreprocessSettings
from ti_core.workspace import REPOSITORY, Workspace

BLIP = "models/BLIP/blip-image-captioning-base"
TAGGER = "models/tagger/wd-vit-tagger-v3"


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
    assert Tagger(settings(booru_threshold=0.99), Workspace(tmp_path)).describe(noise()) == ""


def test_a_score_at_the_threshold_counts() -> None:
    scored = [(Tag("big_cat", 0), 0.5), (Tag("a\\b", 0), 0.6), (Tag("old_dog", 0), 0.4999), (Tag("safe", 9), 1.0)]
    assert tag_caption(scored, 0.5) == "a\\\\b, big cat"


def test_the_tagger_pads_with_white_and_hands_over_bgr(tmp_path: Path) -> None:
    save_tiny_tagger(tmp_path / TAGGER)
    pixels = Tagger(settings(), Workspace(tmp_path))._pixels(Image.new("RGB", (100, 50), (255, 0, 0)))
    assert pixels.shape == (1, 3, 32, 32)
    assert pixels[0, :, 16, 16].tolist() == [-1, -1, 1]
    assert pixels[0, :, 1, 16].tolist() == [1, 1, 1]


def test_the_transformer_computes_what_timms_names_mean(tmp_path: Path) -> None:
    """The same file, read here tensor by tensor with torch's own multi-head attention."""
    from safetensors.torch import load_file

    folder = save_tiny_tagger(tmp_path / TAGGER)
    tagger = Tagger(settings(), Workspace(tmp_path))
    state, pixels = load_file(folder / "model.safetensors"), tagger._pixels(noise())
    x = (
        F.conv2d(pixels, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=8)
        .flatten(2)
        .transpose(1, 2)
        + state["pos_embed"]
    )
    for i in range(2):
        block = {
            name.removeprefix(f"blocks.{i}."): tensor
            for name, tensor in state.items()
            if name.startswith(f"blocks.{i}.")
        }
        normed = F.layer_norm(x, (32,), block["norm1.weight"], block["norm1.bias"], 1e-6).transpose(0, 1)
        attended, _ = F.multi_head_attention_forward(
            normed,
            normed,
            normed,
            32,
            2,
            block["attn.qkv.weight"],
            block["attn.qkv.bias"],
            None,
            None,
            False,
            0.0,
            block["attn.proj.weight"],
            block["attn.proj.bias"],
            training=False,
        )
        x = x + attended.transpose(0, 1)
        normed = F.layer_norm(x, (32,), block["norm2.weight"], block["norm2.bias"], 1e-6)
        hidden = F.gelu(F.linear(normed, block["mlp.fc1.weight"], block["mlp.fc1.bias"]), approximate="tanh")
        x = x + F.linear(hidden, block["mlp.fc2.weight"], block["mlp.fc2.bias"])
    pooled = F.layer_norm(x, (32,), state["norm.weight"], state["norm.bias"], 1e-6).mean(dim=1)
    expected = F.linear(pooled, state["head.weight"], state["head.bias"])
    with torch.no_grad():
        assert torch.allclose(tagger.model(pixels), expected, atol=1e-5)


def test_blip_comes_first_and_a_comma_stands_between(tmp_path: Path) -> None:
    save_tiny_blip(tmp_path / BLIP)
    save_tiny_tagger(tmp_path / TAGGER, {"long_hair": 5})
    given = settings(blip_caption=True, booru_caption=True)
    alone = Blip(given, Workspace(tmp_path)).describe(noise())
    assert (
        make_caption_writer(given, Workspace(tmp_path), lambda event: None, threading.Event()).describe(noise())
        == f"{alone}, long hair"
    )


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
