"""convert, merge and inspect on the command line."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from ti_core.cli.main import EXIT_OK, EXIT_USER_ERROR, main
from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.formats import load_embedding
from ti_core.embeddings.pt_file import save_pt
from ti_core.workspace import Workspace


def run(workspace: Workspace, *arguments: str) -> int:
    return main([arguments[0], "--workspace", str(workspace.root), *arguments[1:]])


@pytest.fixture
def words(workspace: Workspace) -> Workspace:
    """anna (two ones vectors), ben (two vectors of three), wide (one vector), all .pt."""
    for name, rows in (("anna", torch.ones(2, 768)), ("ben", torch.ones(2, 768) * 3), ("wide", torch.ones(1, 1024))):
        save_pt(workspace.embeddings / f"{name}.pt", Embedding(name, {"clip_l": rows}, 4, "0123456789", "model"))
    return workspace


def test_convert_writes_the_format_of_the_suffix_under_the_new_name(
    words: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words, "convert", "embeddings/anna.pt", "embeddings/anna two.safetensors") == EXIT_OK
    assert "Saved: embeddings/anna two.safetensors (2 vectors of 768 numbers)" in capsys.readouterr().out
    assert run(words, "convert", "embeddings/anna two.safetensors", "card.png") == EXIT_OK
    found = load_embedding(words.root / "card.png")
    assert (found.name, found.step, found.checkpoint_hash) == ("card", 4, "0123456789") and torch.equal(
        found.vectors["clip_l"], torch.ones(2, 768)
    )


def test_convert_joins_diffusers_two_files_and_tells_what_it_left_out(
    words: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file({"<a>": torch.ones(1, 768)}, words.root / "learned_embeds.safetensors")
    save_file({"<a>": torch.ones(1, 1280)}, words.root / "learned_embeds_2.safetensors")
    assert run(words, "convert", "learned_embeds.safetensors", "learned_embeds_2.safetensors", "xl.pt") == EXIT_OK
    assert "(1 vector of 768 + 1280 numbers)" in capsys.readouterr().out
    save_file({"emp_params": torch.ones(1, 768), "emp_params_out": torch.ones(1, 768)}, words.root / "out.safetensors")
    assert run(words, "convert", "out.safetensors", "in.pt") == EXIT_OK
    assert "note: Output vectors (emp_params_out)" in capsys.readouterr().out


def test_a_bundled_embedding_is_taken_and_inspected_by_its_name(
    words: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(
        {"bundle_emb.a.clip_l": torch.ones(1, 768), "bundle_emb.b.clip_l": torch.zeros(3, 768)},
        words.root / "lora.safetensors",
    )
    assert run(words, "convert", "lora.safetensors", "b.pt", "--name", "b") == EXIT_OK
    assert load_embedding(words.root / "b.pt").count == 3
    capsys.readouterr()
    assert run(words, "inspect", "lora.safetensors", "--name", "a", "--json") == EXIT_OK
    assert json.loads(capsys.readouterr().out)["encoders"] == {"clip_l": 768}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [((), [1, 1, 3, 3]), (("--mode", "average"), [2, 2]), (("--mode", "weighted", "--weights=-1,0.5"), [0.5, 0.5])],
)
def test_merge_has_three_modes(words: Workspace, flags: tuple[str, ...], expected: list[float]) -> None:
    assert run(words, "merge", "both.safetensors", "embeddings/anna.pt", "embeddings/ben.pt", *flags) == EXIT_OK
    merged = load_embedding(words.root / "both.safetensors")
    assert merged.name == "both" and merged.vectors["clip_l"][:, 0].tolist() == expected


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("convert", "embeddings/anna.pt", "a.bin"), "'a.bin' does not end in a format"),
        (("convert", "none.pt", "a.pt"), "'none.pt' does not exist"),
        (("convert", "embeddings/anna.pt", "embeddings/ben.pt"), "'ben.pt' exists already"),
        (("convert", *["embeddings/anna.pt"] * 3, "a.pt"), "3 input files"),
        (("convert", *["embeddings/anna.pt"] * 2, "a.pt"), "not the two files of one SDXL"),
        (("merge", "a.pt", "embeddings/anna.pt"), "there is 1"),
        (("merge", "a.pt", "embeddings/anna.pt", "embeddings/wide.pt"), "'anna' has 768, 'wide' has 1024"),
        (("merge", "a.pt", *["embeddings/anna.pt"] * 2, "--mode", "weighted", "--weights", "1,x"), "Weights are '1,x'"),
        (("merge", "a.pt", *["embeddings/anna.pt"] * 2, "--mode", "sum"), "Mode is 'sum'"),
    ],
)
def test_what_cannot_be_done_ends_with_one_sentence_and_nothing_written(
    words: Workspace, arguments: tuple[str, ...], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in words.root.rglob("*.pt")}
    assert len(before) == 3
    assert run(words, *arguments) == EXIT_USER_ERROR
    assert named in capsys.readouterr().err
    assert {path: path.read_bytes() for path in words.root.rglob("*.pt")} == before


def test_overwrite_replaces_the_file(words: Workspace) -> None:
    assert run(words, "convert", "embeddings/anna.pt", "embeddings/wide.pt", "--overwrite") == EXIT_OK
    assert load_embedding(words.embeddings / "wide.pt").count == 2
