"""Files as other trainers write them, made here by hand in their layouts (A1111 1.10.1, textual_inversion.py:
create_embedding_from_data).
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
import torch
from PIL import Image, PngImagePlugin
from safetensors.torch import save_file
from torch import Tensor, nn

from ti_core.embeddings.formats import load_embedding, load_embeddings
from ti_core.embeddings.png_file import CARD_KEY, TENSOR_KEY
from ti_core.errors import UserError

NUMBERS = torch.Generator().manual_seed(0)
SD1, SD2, SECOND = (torch.randn(2, width, generator=NUMBERS) for width in (768, 1024, 1280))


def write(path: Path, content: object) -> Path:
    if path.suffix == ".safetensors":
        assert isinstance(content, dict)
        save_file({key: rows.clone() for key, rows in content.items()}, path)
    else:
        torch.save(content, path)
    return path


def a1111(rows: Tensor) -> dict[str, object]:
    return {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": rows},
        "name": "old",
        "step": 99,
        "sd_checkpoint": "abcdef0123",
        "sd_checkpoint_name": "model",
    }


@pytest.mark.parametrize(
    ("file", "content", "encoder", "rows"),
    [
        ("a1111.pt", a1111(SD1), "clip_l", SD1),
        ("a1111-sd2.pt", a1111(SD2), "clip_h", SD2),
        (
            "rinon.pt",
            {
                "string_to_token": {"*": torch.tensor(265)},
                "string_to_param": nn.ParameterDict({"*": nn.Parameter(SD1)}),
            },
            "clip_l",
            SD1,
        ),
        ("diffusers.bin", {"<cat>": SD1}, "clip_l", SD1),
        ("concept.bin", {"<cat>": nn.Parameter(SD1[0])}, "clip_l", SD1[:1]),
        ("diffusers.safetensors", {"<cat>": SD1.half()}, "clip_l", SD1.half().float()),
        ("kohya.safetensors", {"emb_params": SD1}, "clip_l", SD1),
        ("kohya.pt", {"emb_params": SD1}, "clip_l", SD1),
        ("onetrainer.safetensors", {"emp_params": SD1}, "clip_l", SD1),
        ("invoke.safetensors", {"emb_params": SD1.bfloat16()}, "clip_l", SD1.bfloat16().float()),
        ("second.safetensors", {"<cat>": SECOND}, "clip_g", SECOND),
        ("plain.bin", SD1, "clip_l", SD1),
    ],
)
def test_every_trainers_file_of_one_encoder_is_read(
    tmp_path: Path, file: str, content: object, encoder: str, rows: Tensor
) -> None:
    found = load_embedding(write(tmp_path / file, content))
    assert found.name == Path(file).stem and not found.notes
    assert list(found.vectors) == [encoder] and torch.equal(found.vectors[encoder], rows)


def test_a1111s_step_and_checkpoint_are_read(tmp_path: Path) -> None:
    found = load_embedding(write(tmp_path / "a.pt", a1111(SD1)))
    assert (found.step, found.checkpoint_hash, found.checkpoint_name) == (99, "abcdef0123", "model")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_sdxl_in_one_file_is_read(tmp_path: Path, suffix: str) -> None:
    found = load_embedding(write(tmp_path / f"xl{suffix}", {"clip_g": SECOND, "clip_l": SD1}))
    assert list(found.vectors) == ["clip_l", "clip_g"] and found.widths == {"clip_l": 768, "clip_g": 1280}
    assert torch.equal(found.vectors["clip_g"], SECOND)


def test_sdxl_in_diffusers_two_files_is_joined_in_any_order_and_named_by_its_token(tmp_path: Path) -> None:
    first = write(tmp_path / "learned_embeds.safetensors", {"<anna>": SD1})
    second = write(tmp_path / "learned_embeds_2.safetensors", {"<anna>": SECOND})
    for pair in ((first, second), (second, first)):
        found = load_embedding(*pair)
        assert found.name == "anna" and found.widths == {"clip_l": 768, "clip_g": 1280}
    with pytest.raises(UserError, match=r"768 .* and .* \(768\) are not the two files"):
        load_embedding(first, first)


def test_onetrainers_output_vectors_are_left_out_and_said_so(tmp_path: Path) -> None:
    found = load_embedding(write(tmp_path / "both.safetensors", {"emp_params": SD1, "emp_params_out": SD1 * 2}))
    assert torch.equal(found.vectors["clip_l"], SD1) and "emp_params_out" in found.notes[0]
    double = {"clip_l": SD1, "clip_g": SECOND, "clip_l_out": SD1 * 2, "clip_g_out": SECOND * 2}
    assert load_embedding(write(tmp_path / "xl.safetensors", double)).notes
    with pytest.raises(UserError, match=r"'out\.safetensors' holds output vectors only \(emp_params_out\)"):
        load_embedding(write(tmp_path / "out.safetensors", {"emp_params_out": SD1}))


def test_embeddings_bundled_in_a_lora_are_listed_and_chosen_by_name(tmp_path: Path) -> None:
    lora = {f"lora_unet_{i}.lora_up.weight": torch.zeros(4, 4) for i in range(30)}
    bundled = {
        "bundle_emb.anna.string_to_param.*": SD1,
        "bundle_emb.ben.clip_l": SD1,
        "bundle_emb.ben.clip_g": SECOND,
        "bundle_emb.<v1.5>.clip_l": SD1,
    }
    path = write(tmp_path / "lora.safetensors", lora | bundled)
    assert {e.name: e.widths for e in load_embeddings(path)} == {
        "anna": {"clip_l": 768},
        "ben": {"clip_l": 768, "clip_g": 1280},
        "v1.5": {"clip_l": 768},
    }
    assert torch.equal(load_embedding(path, name="ben").vectors["clip_g"], SECOND)
    with pytest.raises(UserError, match=r"bundles 3 embeddings\. Choose by name: .*anna"):
        load_embedding(path)
    with pytest.raises(UserError, match="has none called 'cora'"):
        load_embedding(path, name="cora")


def test_sdxl_in_a_picture_is_read(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    payload = {"clip_l": {TENSOR_KEY: SD1.tolist()}, "clip_g": {TENSOR_KEY: SECOND.tolist()}}
    info.add_text(CARD_KEY, base64.b64encode(json.dumps(payload).encode()).decode())
    Image.new("RGB", (8, 8)).save(tmp_path / "xl.png", pnginfo=info)
    assert torch.equal(load_embedding(tmp_path / "xl.png").vectors["clip_g"], SECOND)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"string_to_param": {"a": SD1, "b": SD1}}, "2 terms"),
        ({"string_to_param": {}}, "no vectors"),
        ({"string_to_param": 5}, "no vectors"),
        ({"a": SD1, "b": SD1, "c": SD1, "d": SD1, "e": SD1}, r"5 tensors \(a, b, c, d, \.\.\.\)"),
        ({"clip_l": SD1, "clip_g": SECOND, "t5": SD2}, r"vectors of T5 \(clip_l, clip_g, t5\)"),
        ({"clip_l": SD1, "clip_g": SECOND[:1]}, r"2 vectors for one text encoder \(clip_l\) and 1"),
        ({"hash": "x", "optimizer_state_dict": {}}, "no vectors"),
        ([SD1], "not a Textual"),
        ({"a": torch.ones(1, 8).to_sparse()}, "no plain table|never done"),
        ({"a": torch.ones(1, 8, device="meta")}, "no plain table|never done"),
        ({"a": torch.ones(1).expand(10**6, 10**6)}, "no list of vectors"),
        ({"a": torch.tensor([[float("nan")]])}, "not finite"),
    ],
)
def test_what_is_no_embedding_of_one_word_is_refused_with_name_and_reason(
    tmp_path: Path, content: object, reason: str
) -> None:
    with pytest.raises(UserError, match=rf"'bad\.pt' .*{reason}"):
        load_embedding(write(tmp_path / "bad.pt", content))
