"""Which checkpoints and VAEs are listed, and what is found for a choice."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from tests.conftest import TINY
from tests.models.damaged_files import save_vae
from tests.models.tiny_families import save_single_file
from ti_core.checkpoints.library import AUTOMATIC, OWN, find_checkpoint, find_checkpoints, find_vae, find_vaes
from ti_core.embeddings.folder import find_embeddings
from ti_core.errors import UserError
from ti_core.settings import PORTRAITS
from ti_core.settings.prompts import find_template, list_templates
from ti_core.workspace import SHIPPED_TEMPLATES, Workspace


def touch(path: Path, content: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def titles(workspace: Workspace) -> list[str]:
    return [checkpoint.title for checkpoint in find_checkpoints(workspace)]


@pytest.fixture
def a1111(tmp_path: Path, workspace: Workspace) -> Workspace:
    """The workspace beside an install of A1111."""
    install = tmp_path / "stable-diffusion-webui"
    touch(install / "models" / "Stable-diffusion" / "v1-5.safetensors")
    touch(install / "textual_inversion_templates" / "mine.txt", b"[name]")
    touch(install / "textual_inversion_templates" / "style.txt", b"my style of [name]")
    return dataclasses.replace(workspace, ui_dirs=(install,))


def test_files_and_folders_are_listed_by_name_after_the_built_in_model(workspace: Workspace) -> None:
    for name in (
        "zeta.ckpt",
        "Alpha.safetensors",
        "sub/beta.SAFETENSORS",
        "notes.txt",
        "a.vae.safetensors",
        "a.vae.pt",
        ".hidden.ckpt",
        ".cache/c.ckpt",
        "a.pt",
    ):
        touch(workspace.checkpoints / name)
    assert titles(workspace) == [PORTRAITS, "Alpha.safetensors", "sub/beta.SAFETENSORS", TINY, "zeta.ckpt"]


def test_the_parts_of_a_diffusers_folder_are_not_listed_and_circles_end(workspace: Workspace) -> None:
    assert list((workspace.checkpoints / TINY).rglob("*.safetensors")), "the folder has files that could be listed"
    (workspace.checkpoints / "sub").mkdir()
    (workspace.checkpoints / "sub" / "circle").symlink_to(workspace.checkpoints)
    (workspace.checkpoints / "nowhere.ckpt").symlink_to(workspace.root / "nothing")
    assert titles(workspace) == [PORTRAITS, "nowhere.ckpt", TINY]
    assert "'nowhere.ckpt' does not exist" in find_checkpoint("nowhere.ckpt", workspace).facts.problem


def test_more_folders_are_listed_with_titles_of_their_own(workspace: Workspace, tmp_path: Path) -> None:
    touch(workspace.checkpoints / "model.ckpt")
    others = tuple(tmp_path / name for name in ("disk/models", "other/models"))
    for other in others:
        touch(other / "model.ckpt")
    several = dataclasses.replace(workspace, ckpt_dirs=(*others, others[0], tmp_path / "missing"))
    assert titles(several) == [PORTRAITS, "model.ckpt", TINY, "model.ckpt (models)", "model.ckpt (other/models)"]
    assert find_checkpoint("model.ckpt (other/models)", several).path == others[1] / "model.ckpt"
    touch(others[1] / "anime" / "old" / "model.ckpt")
    assert {found.title: found.inside for found in find_checkpoints(several)}["anime/old/model.ckpt"] == (
        "anime",
        "old",
    )


def test_a_list_of_titles_reads_no_file(workspace: Workspace) -> None:
    path = touch(workspace.checkpoints / "locked.safetensors", b"x")
    os.mkfifo(workspace.checkpoints / "pipe.ckpt")  # whoever opened it would wait for ever
    assert titles(workspace) == [PORTRAITS, path.name, "pipe.ckpt", TINY]


def test_facts_follow_a_change_of_the_file(workspace: Workspace) -> None:
    path = touch(workspace.checkpoints / "model.safetensors", b"no model at all, only text")
    assert find_checkpoint("model.safetensors", workspace).facts.kind == "damaged"
    save_single_file("sd2_v", path)
    found = find_checkpoint("model.safetensors", workspace)
    assert (found.facts.family, found.facts.prediction_type, found.size_px) == ("sd2", "", 768)
    path.with_suffix(".yaml").write_text("model:\n")
    assert find_checkpoint("model.safetensors", workspace).size_px == 512


@pytest.mark.parametrize(
    "choice",
    [
        "sub/model.safetensors",
        "sub/model",
        "model",
        "model.safetensors",
        "sub/model.safetensors [0123456789]",
        "model [0a1b2c3d4e]",
    ],
)
def test_a_choice_may_leave_out_suffix_and_folder_and_have_a1111s_hash(workspace: Workspace, choice: str) -> None:
    path = touch(workspace.checkpoints / "sub" / "model.safetensors")
    found = find_checkpoint(choice, workspace)
    assert (found.title, found.path) == ("sub/model.safetensors", path)
    assert find_checkpoint(str(path), workspace) == found


def test_the_exact_title_wins(workspace: Workspace) -> None:
    touch(workspace.checkpoints / "a" / "model.ckpt")
    touch(workspace.checkpoints / "model")
    exact = touch(workspace.checkpoints / "model.ckpt")
    assert find_checkpoint("model.ckpt", workspace).path == find_checkpoint("model", workspace).path == exact
    assert find_checkpoint("portraits", workspace).title == PORTRAITS


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ("no.ckpt", "does not exist"),
        ("owner/name", "does not exist.*from the hub: .*python -m ti_core download owner/name"),
        ("a.txt", "is neither a .safetensors nor a .ckpt file"),
        ("empty", "has no model_index.json"),
        ("", "Checkpoint is empty"),
    ],
)
def test_what_is_no_checkpoint_is_refused(workspace: Workspace, choice: str, sentence: str) -> None:
    touch(workspace.root / "a.txt")
    (workspace.root / "empty").mkdir()
    with pytest.raises(UserError, match=sentence):
        find_checkpoint(choice, workspace)


def test_a_shared_page_takes_listed_titles_of_other_folders_but_no_typed_paths_there(
    workspace: Workspace, tmp_path: Path
) -> None:
    root, disk = tmp_path / "root", tmp_path / "disk"
    listed = touch(disk / "models" / "model.ckpt")
    secret = touch(disk / "secret.ckpt")
    shared = Workspace(root, confined=True, ckpt_dirs=(disk / "models",))
    inside = touch(root / "datasets" / "mine.ckpt")
    assert find_checkpoint("model.ckpt", shared).path == listed
    assert find_checkpoint("datasets/mine.ckpt", shared).path == inside
    for typed in (
        str(secret),
        "../disk/secret.ckpt",
        "model.ckpt/../../secret.ckpt",
        str(disk / "models" / ".." / "secret.ckpt"),
    ):
        with pytest.raises(UserError, match="outside the workspace"):
            find_checkpoint(typed, shared)
        with pytest.raises(UserError, match="is not there"):
            find_vae(typed, shared, find_checkpoint("model.ckpt", shared))


def test_vaes_are_those_of_their_folders_and_those_named_so_beside_checkpoints(a1111: Workspace) -> None:
    for path in (
        "models/VAE/good.safetensors",
        "models/VAE/sub/old.pt",
        "models/Stable-diffusion/model.vae.pt",
        "models/Stable-diffusion/model.ckpt",
    ):
        touch(a1111.root / path)
    touch(a1111.vae_folders[1] / "good.safetensors")
    assert [vae.title for vae in find_vaes(a1111)] == [
        "good.safetensors",
        "sub/old.pt",
        "good.safetensors (VAE)",
        "model.vae.pt",
    ]
    assert "model.vae.pt" not in titles(a1111)


def test_automatic_takes_the_vae_of_the_checkpoints_name_beside_it_or_in_the_folder(workspace: Workspace) -> None:
    touch(workspace.checkpoints / "model.ckpt")
    checkpoint = find_checkpoint("model", workspace)
    assert find_vae(AUTOMATIC, workspace, checkpoint) is None
    (workspace.root / "models" / "VAE").mkdir()
    save_vae(workspace.root / "models" / "VAE" / "model-2.safetensors")
    assert find_vae(AUTOMATIC, workspace, checkpoint) is None
    in_folder = save_vae(workspace.root / "models" / "VAE" / "model.safetensors")
    assert find_vae(AUTOMATIC, workspace, checkpoint) == in_folder
    beside = save_vae(workspace.checkpoints / "model.vae.safetensors")
    assert find_vae("", workspace, checkpoint) == beside
    assert find_vae(OWN, workspace, checkpoint) is None
    assert (
        find_vae("model-2.safetensors", workspace, checkpoint)
        == workspace.root / "models" / "VAE" / "model-2.safetensors"
    )


def test_a_file_that_is_no_vae_is_refused(workspace: Workspace) -> None:
    touch(workspace.checkpoints / "model.ckpt")
    checkpoint = find_checkpoint("model", workspace)
    (workspace.root / "models" / "VAE").mkdir()
    save_vae(workspace.root / "models" / "VAE" / "good.safetensors")
    save_single_file("sd1", workspace.root / "models" / "VAE" / "whole.safetensors")
    touch(workspace.root / "models" / "VAE" / "broken.safetensors", b"x" * 20)
    for choice, sentence in (
        ("whole.safetensors", "'whole.safetensors' is no VAE"),
        ("broken.safetensors", "neither a safetensors"),
        ("none", "'none' is not there.*Automatic"),
    ):
        with pytest.raises(UserError, match=sentence):
            find_vae(choice, workspace, checkpoint)


def test_an_install_of_a1111_lends_its_models_and_templates_and_keeps_the_embeddings(a1111: Workspace) -> None:
    (install,) = a1111.ui_dirs
    assert titles(a1111) == [PORTRAITS, TINY, "v1-5.safetensors"]
    assert a1111.embeddings == install / "embeddings"
    assert find_embeddings(a1111) == []
    touch(a1111.embeddings / "anna.pt", b"x")
    assert find_embeddings(a1111) == ["anna"]
    assert {"mine.txt", "style.txt", "subject.txt"} <= set(list_templates(a1111))
    assert find_template("style.txt", a1111).parent == install / "textual_inversion_templates"
    assert find_template("subject.txt", a1111).parent == SHIPPED_TEMPLATES
    touch(a1111.templates / "style.txt", b"[name]")
    assert find_template("style.txt", a1111).parent == a1111.templates


def test_a_vae_that_asks_for_code_is_not_given_to_torch(tmp_path: Path) -> None:
    import torch

    folder = tmp_path / "models" / "VAE"
    folder.mkdir(parents=True)
    tensors = {name: torch.zeros(1, 1) for name in ("encoder.conv_in.weight", "decoder.conv_out.weight")}
    workspace, checkpoint = Workspace(tmp_path), find_checkpoint("Portraits", Workspace(tmp_path))
    torch.save(tensors, folder / "plain.pt")
    assert find_vae("plain.pt", workspace, checkpoint) == folder / "plain.pt"
    torch.save({**tensors, "more": bytearray(4)}, folder / "greedy.pt")
    with pytest.raises(UserError, match=r"'greedy\.pt' asks for the Python code '\w+\.bytearray'"):
        find_vae("greedy.pt", workspace, checkpoint)
