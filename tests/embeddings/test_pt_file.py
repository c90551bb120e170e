"""`.pt` files against the rules of A1111's file check (A1111 1.10.1, modules/safe.py)."""

from __future__ import annotations

import pickle
import pickletools
import zipfile
from pathlib import Path

import pytest
import torch

from ti_core.embeddings.embedding import Embedding, initial_rows
from ti_core.embeddings.formats import load_embedding
from ti_core.embeddings.pt_file import save_pt
from ti_core.errors import UserError

EMBEDDING = Embedding("anna-10", {"clip_l": torch.randn(3, 768)}, 10, "0123456789", "portraits")
ALLOWED_GLOBALS = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch FloatStorage"}


def globals_of(data: bytes) -> set[str]:
    """Every name that the pickle asks for."""
    found, strings = set(), []
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == "GLOBAL":
            found.add(argument)
        elif opcode.name == "STACK_GLOBAL":
            found.add(" ".join(strings[-2:]))
        elif isinstance(argument, str):
            strings.append(argument)
    return found


def test_it_reads_back_exactly_and_takes_its_name_from_the_file(tmp_path: Path) -> None:
    again = load_embedding(save_pt(tmp_path / "other.pt", EMBEDDING))
    assert torch.equal(again.vectors["clip_l"], EMBEDDING.vectors["clip_l"])
    assert (again.name, again.step, again.checkpoint_hash, again.checkpoint_name) == (
        "other",
        10,
        "0123456789",
        "portraits",
    )


def test_every_zip_member_and_every_global_is_one_that_a1111_allows(tmp_path: Path) -> None:
    with zipfile.ZipFile(save_pt(tmp_path / "anna.pt", EMBEDDING)) as archive:
        members = archive.namelist()
        assert sorted(members) == ["archive/data.pkl", "archive/data/0", "archive/version"]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert globals_of(archive.read("archive/data.pkl")) <= ALLOWED_GLOBALS


def test_it_holds_a1111s_keys_with_plain_values(tmp_path: Path) -> None:
    content = torch.load(save_pt(tmp_path / "anna.pt", EMBEDDING), weights_only=True)
    assert list(content) == [
        "string_to_token",
        "string_to_param",
        "name",
        "step",
        "sd_checkpoint",
        "sd_checkpoint_name",
    ]
    assert content["string_to_token"] == {"*": 265} and content["name"] == "anna-10"
    tensor = content["string_to_param"]["*"]
    assert tensor.dtype is torch.float32 and tensor.shape == (3, 768)


def test_a_parameter_that_was_trained_is_saved_as_a_plain_tensor(tmp_path: Path) -> None:
    trained = Embedding("a", {"clip_l": torch.nn.Parameter(torch.ones(1, 768)) * 2})
    assert not torch.load(save_pt(tmp_path / "a.pt", trained), weights_only=True)["string_to_param"]["*"].requires_grad


class Harm:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("harm",))


@pytest.mark.parametrize("content", [Harm(), {"string_to_param": {"*": Harm()}}])
def test_a_file_that_would_run_code_is_refused_unread(
    tmp_path: Path, content: object, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.pt"
    torch.save(content, bad)
    with pytest.raises(UserError, match=r"'bad\.pt' (cannot be read|is neither)"):
        load_embedding(bad)
    bad.write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match=r"'bad\.pt' (cannot be read|is neither)"):
        load_embedding(bad)
    assert "harm" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        {"string_to_param": {}},
        {"string_to_param": {"*": torch.ones(1, 8), "+": torch.ones(1, 8)}},
        {"string_to_param": {"*": "text"}},
        {"string_to_param": {"*": torch.ones(2, 2, 2)}},
        {"string_to_param": {"*": torch.tensor([[float("nan")]])}},
        {"string_to_param": {"*": torch.ones(1, 8, dtype=torch.int64)}},
    ],
)
def test_other_content_is_refused_with_the_files_name(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "bad.pt")
    with pytest.raises(UserError, match=r"'bad\.pt'"):
        load_embedding(tmp_path / "bad.pt")


@pytest.mark.parametrize("data", [b"", b"not a file of torch", b"PK\x03\x04 broken"])
def test_damaged_files_are_refused_with_the_files_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "bad.pt").write_bytes(data)
    with pytest.raises(UserError, match=r"'bad\.pt'"):
        load_embedding(tmp_path / "bad.pt")


@pytest.mark.parametrize(
    ("tokens", "vectors", "rows"),
    [(2, 8, [0, 0, 0, 0, 1, 1, 1, 1]), (8, 3, [0, 2, 5]), (1, 2, [0, 0]), (3, 3, [0, 1, 2])],
)
def test_new_vectors_take_a1111s_rows_of_the_initialization_text(tokens: int, vectors: int, rows: list[int]) -> None:
    table = torch.arange(tokens, dtype=torch.float32)[:, None].repeat(1, 4)
    assert initial_rows(table, vectors, 4)[:, 0].tolist() == rows


def test_an_empty_initialization_text_starts_at_zero() -> None:
    assert torch.equal(initial_rows([], 2, 4), torch.zeros(2, 4))
