"""One word for one file everywhere, and what files are called that are no embedding."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.embeddings.stored import put
from ti_core.cli.main import main
from ti_core.embeddings.actions import ONETRAINER, convert, merge_stored
from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.folder import find_embedding, find_embeddings, find_stored, stored_embeddings
from ti_core.embeddings.formats import load_embedding, load_embeddings, save_embedding
from ti_core.embeddings.merge import merge
from ti_core.embeddings.named_in import named_in
from ti_core.embeddings.png_file import hide_in_pixels
from ti_core.errors import UserError
from ti_core.ui.server.uploads import keep_embedding
from ti_core.workspace import Workspace

ROWS = torch.ones(1, 32)
POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 3840\n"
)
PAGE = "\ufeff\n<!DOCTYPE html><html><head><title>Log in</title></head></html>"


@pytest.mark.parametrize("suffix", [".pt", ".bin", ".safetensors", ".png", ".webp"])
@pytest.mark.parametrize(("text", "said"), [(POINTER, "only git's pointer to the embedding"), (PAGE, "a web page")])
def test_pointers_and_web_pages_are_called_what_they_are(tmp_path: Path, suffix: str, text: str, said: str) -> None:
    path = tmp_path / f"anna{suffix}"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=said):
        load_embeddings(path)


def test_vectors_of_t5_are_called_so(tmp_path: Path) -> None:
    save_file({"clip_l": torch.zeros(1, 768), "t5xxl": torch.zeros(1, 4096)}, tmp_path / "flux.safetensors")
    with pytest.raises(UserError, match=r"holds vectors of T5 \(clip_l, t5xxl\)"):
        load_embeddings(tmp_path / "flux.safetensors")
    save_file({"emb_params": torch.zeros(1, 4096)}, tmp_path / "t5.safetensors")
    assert load_embedding(tmp_path / "t5.safetensors").widths == {"t5": 4096}


def test_what_safetensors_says_of_a_damaged_file_is_kept(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 12]}}).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(12))
    with pytest.raises(UserError, match=r"does not fit what follows \(.+\)"):
        load_embeddings(tmp_path / "a.safetensors")


def inspected(path: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()
    assert main(["inspect", str(path), "--json", "--workspace", str(workspace.root)]) == 0
    return json.loads(capsys.readouterr().out)


def old_card(path: Path, name: str) -> Path:
    """As the first versions of A1111 saved them: in the pixels alone, under another name than the file's."""
    picture = hide_in_pixels(Image.new("RGB", (256, 256), (90, 120, 150)), Embedding(name, {"clip_l": ROWS}, 5))
    picture.save(path)
    return path


def test_list_prompt_train_and_inspect_know_a_file_by_one_word(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = workspace.embeddings
    folder.mkdir(parents=True)
    files = {
        old_card(folder / "card-of-2022.png", "rick"): "rick",
        put(workspace, "another name.png", name="morty"): "morty",
        put(workspace, "anna.pt").rename(folder / "LOUD.PT"): "LOUD",
        put(workspace, "ben.safetensors", name="inside"): "ben",
    }
    torch.save({"<cat-toy>": ROWS[0]}, folder / "learned_embeds.bin")
    files[folder / "learned_embeds.bin"] = "learned_embeds"
    words = sorted(files.values())
    assert sorted(stored.name for stored in stored_embeddings(workspace)) == words == sorted(find_embeddings(workspace))
    assert sorted(named_in([" ".join(words)], workspace, {"clip_l": 32}).vectors) == words
    for path, word in files.items():
        assert find_embedding(word, workspace) == path and find_stored(word, workspace).path == path
        assert inspected(path, workspace, capsys)["name"] == word
    notes = inspected(folder / "learned_embeds.bin", workspace, capsys)["notes"]
    assert notes == ["It was trained under the token 'cat-toy'; in prompts its word is that of the file."]


def test_somebodys_thumbnail_is_no_embedding(workspace: Workspace) -> None:
    put(workspace, "anna.pt")
    Image.new("RGB", (64, 64)).save(workspace.embeddings / "anna.png")
    put(workspace, "card.png", name="b").rename(workspace.embeddings / "b.preview.png")
    assert find_embeddings(workspace) == ["anna"]


def test_an_upload_of_diffusers_file_gets_its_token_as_its_name(workspace: Workspace, tmp_path: Path) -> None:
    torch.save({"<cat-toy>": ROWS[0]}, tmp_path / "learned_embeds-steps-500.bin")
    path = keep_embedding(tmp_path / "learned_embeds-steps-500.bin", workspace, allow_pickle=True)
    assert path.name == "cat-toy.bin" and find_embeddings(workspace) == ["cat-toy"]


def save_bundle(path: Path, *words: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    bundled = {f"bundle_emb.{word}.string_to_param.*": ROWS * i for i, word in enumerate(words, 1)}
    save_file({**bundled, "lora_unet_x.lora_up.weight": torch.zeros(4, 4)}, path)
    return path


def test_a_lora_of_several_words_gives_all_of_them(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    path = save_bundle(workspace.embeddings / "pivotal.safetensors", "s0", "s1")
    assert [stored.name for stored in stored_embeddings(workspace)] == ["s0", "s1"]
    named = named_in(["a photo of s0 s1"], workspace, {"clip_l": 32}).vectors
    assert [float(named[word]["clip_l"].mean()) for word in ("s0", "s1")] == [1, 2]
    assert float(find_stored("pivotal.safetensors: s1", workspace).content.vectors["clip_l"].mean()) == 2
    assert [facts["name"] for facts in inspected(path, workspace, capsys)] == ["s0", "s1"]
    out = workspace.root / "out.pt"
    assert main(["convert", str(path), str(out), "--workspace", str(workspace.root)]) == 0
    assert [float(load_embedding(out.with_name(f"{w}.pt")).vectors["clip_l"].mean()) for w in ("s0", "s1")] == [1, 2]
    assert main(["convert", str(path), str(out), "--workspace", str(workspace.root)]) == 2
    assert keep_embedding(save_bundle(workspace.root / "more.safetensors", "a", "b"), workspace, True).is_file()


def test_slerp_turns_and_keeps_the_length() -> None:
    one, other = (
        Embedding(name, {"clip_l": torch.tensor([rows])}) for name, rows in (("a", [2.0, 0.0]), ("b", [0.0, 4.0]))
    )
    half = merge([one, other], "slerp").vectors["clip_l"]
    assert torch.allclose(half, torch.tensor([[3 / 2**0.5, 3 / 2**0.5]]))
    third = merge([one, other], "slerp", [2, 1]).vectors["clip_l"]
    angle = torch.tensor(torch.pi / 6)
    assert torch.allclose(third, (8 / 3) * torch.stack([angle.cos(), angle.sin()])[None])
    for again in (
        one,
        Embedding("z", {"clip_l": torch.zeros(1, 2)}),
        Embedding("n", {"clip_l": -one.vectors["clip_l"]}),
    ):
        straight = merge([one, again], "slerp").vectors["clip_l"]
        assert torch.allclose(straight, (one.vectors["clip_l"] + again.vectors["clip_l"]) / 2)
    with pytest.raises(UserError, match="slerp mixes two"):
        merge([one, other, one], "slerp")
    with pytest.raises(UserError, match="from 0 on"):
        merge([one, other], "slerp", [1, -1])


def test_slerp_on_the_page_takes_weights_or_none(workspace: Workspace) -> None:
    put(workspace, "a.pt")
    put(workspace, "b.pt", torch.ones(2, 32))
    assert merge_stored(["a.pt", "b.pt"], "slerp", "", "mixed", workspace).is_file()
    assert merge_stored(["a.pt", "b.pt"], "slerp", "0.7, 0.3", "mixed-2", workspace).is_file()


def test_onetrainers_layout_is_a_choice(workspace: Workspace) -> None:
    from safetensors import safe_open

    put(workspace, "anna.pt")
    written = convert("anna.pt", ONETRAINER, workspace)
    flag = workspace.root / "flag.safetensors"
    main(["convert", "embeddings/anna.pt", str(flag), "--onetrainer", "--workspace", str(workspace.root)])
    assert written.name == "anna.safetensors"
    for path in (written, flag):
        with safe_open(path, "pt") as file:
            assert list(file.keys()) == ["emp_params"]
    xl = Embedding("xl", {"clip_l": torch.ones(1, 768), "clip_g": torch.ones(1, 1280)})
    save_embedding(workspace.embeddings / "xl.safetensors", xl)
    assert set(load_embedding(convert("xl.safetensors", ONETRAINER, workspace)).vectors) == {"clip_l", "clip_g"}
