"""The folders of seven programs, built as trees of empty and tiny files, are known and used where each looks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ti_core.checkpoints.library import find_checkpoints, find_vaes
from ti_core.errors import UserError
from ti_core.other_programs import PROGRAMS, keep_folders, program_in, recognise
from ti_core.workspace import Workspace

CMD_ARGS = 'parser.add_argument("--embeddings-dir", type=normalized_filepath, default=os.path.join({}, "embeddings"))\n'
TREES: dict[str, tuple[dict[str, str], str, str]] = {
    "AUTOMATIC1111": (
        {
            "webui.py": "",
            "modules/cmd_args.py": CMD_ARGS.format("data_path"),
            "models/Stable-diffusion/a.safetensors": "",
            "models/embeddings/of-an-extension.txt": "",
        },
        "models/Stable-diffusion",
        "embeddings",
    ),
    "Forge": (
        {"webui.py": "", "modules_forge/main_entry.py": "", "models/Stable-diffusion/a.safetensors": ""},
        "models/Stable-diffusion",
        "embeddings",
    ),
    "Forge Neo": (
        {
            "webui.py": "",
            "modules_forge/main_entry.py": "",
            "modules/cmd_args.py": CMD_ARGS.format("models_path"),
            "models/Stable-diffusion/a.safetensors": "",
            "embeddings/of-the-older-forge.pt": "",
        },
        "models/Stable-diffusion",
        "models/embeddings",
    ),
    "SD.Next": (
        {
            "webui.py": "",
            "installer.py": "",
            "models/Stable-diffusion/a.safetensors": "",
            "models/Diffusers/x/model_index.json": "{}",
        },
        "models/Stable-diffusion",
        "models/embeddings",
    ),
    "ComfyUI": (
        {"main.py": "", "folder_paths.py": "", "models/checkpoints/a.safetensors": "", "models/vae/v.safetensors": ""},
        "models/checkpoints",
        "models/embeddings",
    ),
    "InvokeAI": (
        {"invokeai.yaml": "schema_version: 4.0.2\n", "models/sdxl/main/a.safetensors": ""},
        "models/sdxl/main",
        "autoimport/embedding",
    ),
    "Stability Matrix": (
        {"settings.json": "{}", "Models/StableDiffusion/a.safetensors": "", "Models/VAE/v.safetensors": ""},
        "Models/StableDiffusion",
        "Models/Embeddings",
    ),
}


def build(root: Path, name: str) -> Path:
    for file, content in TREES[name][0].items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def test_there_is_a_tree_of_each_program() -> None:
    assert tuple(TREES) == PROGRAMS


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_known_by_what_lies_in_its_folder(tmp_path: Path, name: str) -> None:
    root = build(tmp_path / "it", name)
    _, checkpoints, embeddings = TREES[name]
    found = recognise(root)
    assert found is not None
    assert (found.name, found.root, found.checkpoints[0], found.embeddings[0]) == (
        name,
        root,
        root / checkpoints,
        root / embeddings,
    )
    assert name in found.sentence and str(root / embeddings) in found.sentence


@pytest.mark.parametrize(
    ("name", "outer", "given"),
    [
        ("ComfyUI", "ComfyUI", ""),
        ("Forge", "webui", ""),
        ("Stability Matrix", "Data", ""),
        ("ComfyUI", "", "models"),
        ("Stability Matrix", "", "Models"),
    ],
)
def test_the_folder_around_it_and_its_models_folder_will_do(tmp_path: Path, name: str, outer: str, given: str) -> None:
    build(tmp_path / "it" / outer, name)
    found = recognise(tmp_path / "it" / given)
    assert found is not None and found.name == name
    assert found.embeddings[0] == tmp_path / "it" / outer / TREES[name][2]


def test_sd_next_is_asked_where_its_folders_are(tmp_path: Path) -> None:
    root = build(tmp_path, "SD.Next")
    elsewhere = tmp_path / "disk" / "embeddings"
    (root / "config.json").write_text(
        json.dumps({"embeddings_dir": str(elsewhere), "ckpt_dir": "ckpts", "vae_dir": ""})
    )
    found = recognise(root)
    assert found is not None
    assert (found.embeddings[0], found.checkpoints, found.vaes) == (
        elsewhere,
        (root / "ckpts", root / "models" / "Diffusers"),
        (root / "models" / "VAE",),
    )
    (root / "config.json").write_text("{")
    assert recognise(root) is not None


def test_comfyuis_extra_model_paths_are_read(tmp_path: Path) -> None:
    root = build(tmp_path / "ComfyUI", "ComfyUI")
    for folder in ("a1111/models/Stable-diffusion", "a1111/embeddings", "a1111/models/one", "more/ckpt", "more/emb"):
        (tmp_path / folder).mkdir(parents=True)
    (root / "extra_model_paths.yaml").write_text(
        f"""#Rename this to extra_model_paths.yaml
a111:
    base_path: {tmp_path}/a1111/   # where it lies

    checkpoints: |
        models/Stable-diffusion
        models/one
        models/not-there
    embeddings: "embeddings"
other:
  base_path: ../more
  is_default: true
  checkpoints: ckpt
  embeddings:
    - emb
"""
    )
    found = recognise(root)
    assert found is not None
    assert [path.resolve().relative_to(tmp_path).as_posix() for path in found.checkpoints] == [
        "ComfyUI/models/checkpoints",
        "a1111/models/Stable-diffusion",
        "a1111/models/one",
        "more/ckpt",
    ]
    assert [path.name for path in found.embeddings] == ["embeddings", "embeddings", "emb"]
    (root / "extra_model_paths.yaml").write_bytes(b"\xff: [\n  x\n    y: |\n z")
    assert recognise(root) is not None


def test_another_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--ui-dir 'x' is no folder of AUTOMATIC1111, Forge, .* or Stability Matrix"):
        program_in(tmp_path, "x", "--ui-dir")
    with pytest.raises(UserError, match=r"--ui-dir 'x' is not a folder"):
        program_in(tmp_path / "x", "x", "--ui-dir")


def test_what_is_written_lies_where_the_first_program_looks_and_all_lend_their_models(tmp_path: Path) -> None:
    comfy, neo = (build(tmp_path / name, name) for name in ("ComfyUI", "Forge Neo"))
    touched = neo / "models" / "Stable-diffusion" / "b.safetensors"
    touched.touch()
    workspace = Workspace(tmp_path / "work", ui_dirs=(comfy, neo))
    assert workspace.embeddings == comfy / "models" / "embeddings"
    titles = [file.title for file in find_checkpoints(workspace)[1:]]
    assert titles == ["a.safetensors", "a.safetensors (Stable-diffusion)", "b.safetensors"]
    assert [vae.title for vae in find_vaes(workspace)] == ["v.safetensors"]
    assert Workspace.from_dict(workspace.to_dict()) == workspace


def test_a_program_named_on_the_page_lends_its_models_and_leaves_the_embeddings_where_they_are(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "work")
    assert workspace.programs == ()
    sdnext = build(tmp_path / "sdnext", "SD.Next")
    keep_folders(workspace.programs_file, [sdnext, tmp_path / "gone"])
    assert [program.name for program in workspace.programs] == ["SD.Next"]
    assert workspace.embeddings == tmp_path / "work" / "embeddings"
    assert [file.title for file in find_checkpoints(workspace)[1:]] == ["a.safetensors", "x"]
    workspace.programs_file.write_text("[")
    assert Workspace(tmp_path / "work").programs == ()
