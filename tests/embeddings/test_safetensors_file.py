"""`.safetensors`: the layout that other programs read, and files made to harm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.safetensors_file import MAX_HEADER_BYTES, load_safetensors, save_safetensors
from ti_core.errors import UserError

ROWS = torch.randn(3, 768, generator=torch.Generator().manual_seed(0))
SDXL = {"clip_l": ROWS, "clip_g": torch.ones(3, 1280)}


def write(path: Path, header: object, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def test_one_encoder_is_one_tensor_and_everything_else_is_metadata(tmp_path: Path) -> None:
    path = save_safetensors(
        tmp_path / "other.safetensors", Embedding("anna-10", {"clip_l": ROWS}, 10, "0123456789", "portraits")
    )
    assert {key: value.shape for key, value in load_file(path).items()} == {"emb_params": ROWS.shape}
    with safe_open(path, "pt") as file:
        assert file.metadata() == {
            "name": "anna-10",
            "step": "10",
            "sd_checkpoint": "0123456789",
            "sd_checkpoint_name": "portraits",
        }
    (again,) = load_safetensors(path)
    assert (again.step, again.checkpoint_hash, again.checkpoint_name) == (10, "0123456789", "portraits")
    assert again.name == "other"  # by the file, as in A1111


def test_sdxl_is_clip_l_and_clip_g_and_nothing_else(tmp_path: Path) -> None:
    path = save_safetensors(tmp_path / "xl.safetensors", Embedding("xl", SDXL, 5))
    assert sorted(load_file(path)) == ["clip_g", "clip_l"]
    (again,) = load_safetensors(path)
    assert again.step == 5 and all(torch.equal(again.vectors[encoder], SDXL[encoder]) for encoder in SDXL)


def test_a_row_of_a_larger_tensor_is_saved_alone(tmp_path: Path) -> None:
    path = save_safetensors(
        tmp_path / "a.safetensors", Embedding("a", {"clip_l": torch.nn.Parameter(ROWS.t().contiguous()).t()})
    )
    assert torch.equal(load_file(path)["emb_params"], ROWS)


@pytest.mark.parametrize(
    ("metadata", "step"),
    [
        ({}, None),
        ({"name": "../../evil", "step": "7"}, 7),
        ({"name": "///", "step": "-1"}, None),
        ({"step": "²"}, None),
        ({"step": "9" * 5000}, None),
    ],
)
def test_metadata_from_anybody_is_made_safe(tmp_path: Path, metadata: dict[str, str], step: int | None) -> None:
    save_file({"emb_params": ROWS}, tmp_path / "a.safetensors", metadata)
    (found,) = load_safetensors(tmp_path / "a.safetensors")
    assert (found.name, found.step) == ("a", step)


def tensor(shape: list[int], size: int, kind: str = "F32") -> dict[str, object]:
    return {"a": {"dtype": kind, "shape": shape, "data_offsets": [0, size]}}


@pytest.mark.parametrize(
    ("header", "data", "length", "reason"),
    [
        (b"", b"", None, "no safetensors file"),
        (b"{}", b"", 2**63, "only a part"),
        (b"{}", b"", 3, "only a part"),
        (b"[]", b"", None, "no safetensors"),
        (b"{" * 50, b"", None, "damaged"),
        (tensor([2, 8], 10**12), b"\0" * 64, None, "damaged"),
        (tensor([2**40, 2**40], 64), b"\0" * 64, None, "damaged"),
        (tensor([-1, 8], 64), b"\0" * 64, None, "damaged"),
        (tensor([2, 8], 64, "F99"), b"\0" * 64, None, "damaged"),
        ({"a": 5}, b"", None, "damaged"),
        (tensor([1, 8], 64), b"\0" * 64, None, "damaged"),
        (tensor([2, 8], 64), b"\0" * 63, None, "damaged"),
        (tensor([2, 2, 4], 64), b"\0" * 64, None, "no list of vectors"),
        (tensor([0, 8], 0), b"", None, "no list of vectors"),
        (tensor([2, 8], 64, "I32"), b"\0" * 64, None, "no list of vectors"),
        (tensor([2, 8], 64), b"\xff" * 64, None, "not finite"),
        ({}, b"", None, "not a Textual"),
        (b"{" + b" " * MAX_HEADER_BYTES + b"}", b"", None, "header of"),
    ],
    ids=[
        "empty",
        "endless",
        "longer than the file",
        "list",
        "braces",
        "far offsets",
        "giant shape",
        "negative",
        "unknown type",
        "number",
        "shape too small",
        "cut off",
        "three deep",
        "no rows",
        "integers",
        "nan",
        "no tensors",
        "giant header",
    ],
)
def test_hostile_and_damaged_files_are_refused_with_name_and_reason(
    tmp_path: Path, header: object, data: bytes, length: int | None, reason: str
) -> None:
    with pytest.raises(UserError, match=rf"'bad\.safetensors' .*{reason}"):
        load_safetensors(write(tmp_path / "bad.safetensors", header, data, length))


def test_a_model_is_told_from_an_embedding_without_reading_it(tmp_path: Path) -> None:
    save_file({f"lora_unet_{i}.lora_up.weight": torch.zeros(1) for i in range(20)}, tmp_path / "lora.safetensors")
    save_file({f"model.diffusion_model.{i}": torch.zeros(1) for i in range(20)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="a LoRA without embeddings"):
        load_safetensors(tmp_path / "lora.safetensors")
    with pytest.raises(UserError, match="a checkpoint"):
        load_safetensors(tmp_path / "model.safetensors")
