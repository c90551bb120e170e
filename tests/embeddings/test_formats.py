"""Every format gives back what it was given, whatever it was before, and diffusers reads what is written."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file

from ti_core.embeddings.describe import describe
from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.formats import (
    PICKLE_BEARING,
    PICTURES,
    SAVED_BY_TRAINING,
    SUFFIXES,
    TRAINABLE,
    WRITABLE,
    load_embedding,
    save_embedding,
    suffix_of_training,
    written_in_words,
)
from ti_core.errors import UserError
from ti_core.workspace import REPOSITORY

NUMBERS = torch.Generator().manual_seed(0)
XL = Embedding(
    "xl", {"clip_l": torch.randn(2, 768, generator=NUMBERS), "clip_g": torch.randn(2, 1280, generator=NUMBERS)}, 5
)


def rows(vectors: int, width: int) -> torch.Tensor:
    return torch.randn(vectors, width, generator=NUMBERS)


def same(one: Embedding, other: Embedding) -> bool:
    return one.widths == other.widths and all(
        torch.equal(one.vectors[encoder], other.vectors[encoder]) for encoder in one.vectors
    )


@pytest.mark.parametrize(
    ("width", "encoder", "family"),
    [(192, "clip_l", "Portraits"), (768, "clip_l", "Stable Diffusion 1"), (1024, "clip_h", "Stable Diffusion 2")],
)
def test_an_embedding_wanders_through_all_formats_unchanged(
    tmp_path: Path, width: int, encoder: str, family: str
) -> None:
    first = Embedding("anna", {encoder: rows(3, width)}, 150, "0123456789", "model")
    found = first
    for suffix in (*WRITABLE, *reversed(WRITABLE)):
        found = load_embedding(save_embedding(tmp_path / f"anna{suffix}", found))
        assert same(found, first), suffix
        assert (found.name, found.step, found.checkpoint_hash, found.checkpoint_name) == (
            "anna",
            150,
            "0123456789",
            "model",
        )
    assert describe(found)["family"] == family


@pytest.mark.parametrize("suffix", WRITABLE)
def test_sdxl_comes_back_from_every_format(tmp_path: Path, suffix: str) -> None:
    found = load_embedding(save_embedding(tmp_path / f"xl{suffix}", XL))
    assert same(found, XL) and found.name == "xl"
    assert found.step == (5 if suffix == ".safetensors" else None)
    assert (describe(found)["family"], describe(found)["width"]) == ("SDXL", 2048)


def test_sdxl_in_a_pt_holds_a_plain_dict_of_tensors_alone(tmp_path: Path) -> None:
    content = torch.load(save_embedding(tmp_path / "xl.pt", XL), weights_only=True)
    assert type(content) is dict and {key: type(value) for key, value in content.items()} == {
        "clip_l": torch.Tensor,
        "clip_g": torch.Tensor,
    }


values = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=15, deadline=None)
@given(
    table=st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(values, min_size=width, max_size=width), min_size=1, max_size=3)
    ),
    step=st.none() | st.integers(0, 10**6),
    checkpoint=st.none() | st.text(max_size=20),
    suffix=st.sampled_from(WRITABLE),
)
def test_any_numbers_and_texts_survive_any_format(
    table: list[list[float]], step: int | None, checkpoint: str | None, suffix: str
) -> None:
    given_one = Embedding("anna", {"clip_l": torch.tensor(table)}, step, checkpoint, checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        found = load_embedding(save_embedding(Path(folder) / f"anna{suffix}", given_one))
    assert same(found, given_one)
    assert (found.step, found.checkpoint_hash, found.checkpoint_name) == (step, checkpoint, checkpoint)


def test_content_counts_more_than_the_suffix(tmp_path: Path) -> None:
    one = Embedding("a", {"clip_l": rows(1, 640)})
    for written in WRITABLE:
        source = save_embedding(tmp_path / f"source{written}", one)
        for other in (*WRITABLE, ".bin", ".webp"):
            renamed = Path(shutil.copy(source, tmp_path / f"renamed{other}"))
            assert same(load_embedding(renamed), one), (written, other)


def test_a_card_without_a_picture_is_plain_and_named(tmp_path: Path) -> None:
    path = save_embedding(tmp_path / "anna.png", Embedding("anna", {"clip_l": rows(1, 192)}, None))
    with Image.open(path) as card:
        middle = np.asarray(card.convert("RGB"))[:, card.width // 2 - 256 : card.width // 2 + 256]
    assert middle.shape[0] == 512 and middle[:60].max() > 200, "the name is drawn at the top"
    assert np.ptp(middle[200:210], axis=1).max() == 0, "the middle is plain"


def test_the_lists_of_formats_and_files_need_no_torch() -> None:
    lists = "formats", "folder", "names", "named_in", "actions", "merge", "table"
    script = "import sys\n" + "\n".join(f"import ti_core.embeddings.{module}" for module in lists)
    script += "\nprint({'torch', 'numpy', 'PIL', 'safetensors'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "set()"


def test_a_format_says_all_that_lists_of_suffixes_need() -> None:
    assert SUFFIXES == (".pt", ".safetensors", ".bin", ".png", ".webp")
    assert (WRITABLE, TRAINABLE) == ((".pt", ".safetensors", ".png"), (".pt", ".safetensors", ".bin", ".png"))
    assert (PICTURES, PICKLE_BEARING) == ((".png", ".webp"), (".pt", ".bin"))
    assert (suffix_of_training(["clip_l"]), suffix_of_training(["clip_l", "clip_g"])) == (".pt", ".safetensors")
    assert SAVED_BY_TRAINING == (".pt", ".safetensors") and written_in_words() == ".pt, .safetensors or .png"


def test_an_unknown_suffix_is_neither_written_nor_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'a\.bin' does not end in a format that can be written\. Choose one of: \.pt"):
        save_embedding(tmp_path / "a.bin", XL)
    (tmp_path / "a.doc").write_text("text")
    with pytest.raises(UserError, match=r"'a\.doc' is no embedding file"):
        load_embedding(tmp_path / "a.doc")
    assert [path.name for path in tmp_path.iterdir()] == ["a.doc"]


def test_diffusers_reads_what_is_written(tmp_path: Path, tiny_checkpoint: Path) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_checkpoint)
    one = Embedding("anna", {"clip_l": rows(2, 32)}, 10)
    for suffix in (".pt", ".safetensors"):
        pipeline.load_textual_inversion(
            str(save_embedding(tmp_path / f"anna{suffix}", one)), token=f"<anna{suffix[1:]}>"
        )
    halves = load_file(
        save_embedding(tmp_path / "xl.safetensors", Embedding("xl", {"clip_l": rows(2, 32), "clip_g": rows(2, 40)}))
    )
    pipeline.load_textual_inversion(halves["clip_l"], token="<xl>")
    table = pipeline.text_encoder.get_input_embeddings().weight
    for token, expected in (
        ("<annapt>", one.vectors["clip_l"]),
        ("<annasafetensors>", one.vectors["clip_l"]),
        ("<xl>", halves["clip_l"]),
    ):
        ids = pipeline.tokenizer.convert_tokens_to_ids([token, f"{token}_1"])
        assert torch.equal(table[ids].detach(), expected), token
