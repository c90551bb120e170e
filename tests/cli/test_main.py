"""The command line does what the page does, and says what is wrong in one line."""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import TINY
from ti_core.cli.flags import add_flags, settings_of
from ti_core.cli.main import EXIT_OK, EXIT_USER_ERROR, main
from ti_core.embeddings.formats import load_embedding
from ti_core.settings import TrainSettings
from ti_core.workspace import REPOSITORY, SAMPLE_PHOTOS, Workspace

PERSON = "anna"


def run(workspace: Workspace, *arguments: str) -> int:
    return main([arguments[0], "--workspace", str(workspace.root), *arguments[1:]])


def test_the_recipe_does_the_whole_guide(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--ckpt", TINY, "--steps", "20", "--preview-steps", "2", "--seed", "3")
    assert run(workspace, "recipe", str(SAMPLE_PHOTOS / PERSON), "my anna!", *flags) == EXIT_USER_ERROR  # told why
    assert run(workspace, "recipe", str(SAMPLE_PHOTOS / PERSON), "my anna", *flags) == EXIT_OK
    output = capsys.readouterr().out
    embedding = workspace.embeddings / "my anna.pt"
    folder = Path(
        next(line for line in output.splitlines() if line.startswith("Run folder: ")).removeprefix("Run folder: ")
    )
    assert f"Embedding: {embedding}" in output
    assert (
        "24 images. Each step looks at 24 of them (batch 2 x accumulation 12), so 1 step goes once through the dataset."
        " 20 steps look at 480 images in all." in output
    )
    assert load_embedding(embedding).step == 20
    for place, files, count in (("embeddings", "*.pt", 2), ("images", "*.png", 6), ("image_embeddings", "*.png", 2)):
        assert len(list((folder / place).glob(files))) == count  # pictures: of two prompts, and of the start too
    with (folder / "textual_inversion_loss.csv").open() as file:
        rates = [float(row["learn_rate"]) for row in csv.DictReader(file)]
    assert rates == [0.05] * 10 + [0.02] * 10
    settings = json.loads(next(folder.glob("settings-*.json")).read_text())
    assert (settings["gradient_step"], settings["tag_drop_out"], settings["latent_sampling_method"]) == (
        12,
        0.1,
        "deterministic",
    )
    assert settings["settings"]["template_file"] == "Custom_subject_filewords.txt"


def test_create_preprocess_train_and_inspect_do_their_parts(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(workspace, "create", "boris", "--vectors", "2", "--ckpt", TINY) == EXIT_OK
    photos = (
        "--source-directory",
        str(SAMPLE_PHOTOS / PERSON),
        "--destination-directory",
        "datasets/boris",
        "--width",
        "64",
        "--height",
        "64",
    )
    assert run(workspace, "preprocess", *photos, "--caption-action", "copy") == EXIT_OK
    assert (
        len(list((workspace.datasets / "boris").glob("*.png")))
        == len(list((workspace.datasets / "boris").glob("*.txt")))
        == 12
    )
    train = (
        "--dataset-directory",
        "datasets/boris",
        "--template",
        "subject_filewords.txt",
        "--steps",
        "2",
        "--ckpt",
        TINY,
    )
    assert run(workspace, "train", "boris", *train) == EXIT_OK
    capsys.readouterr()
    assert run(workspace, "inspect", "embeddings/boris.pt", "--json") == EXIT_OK
    facts = json.loads(capsys.readouterr().out)
    assert (facts["name"], facts["vectors"], facts["width"], facts["step"], facts["checkpoint"]) == (
        "boris",
        2,
        32,
        2,
        TINY,
    )
    assert len(facts["norms"]) == 2


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("create", ""), "Name is empty"),
        (("create", "a", "--vectors", "0"), "Number of vectors per token is 0"),
        (("create", "a", "--ckpt", "nowhere"), "'nowhere' does not exist"),
        (("preprocess", "--source-directory", "none", "--destination-directory", "d"), "'none' does not exist"),
        (("preprocess", "--source-directory", "empty", "--destination-directory", "d"), "'empty' is empty"),
        (("train", "nobody", "--dataset-directory", "empty"), "'nobody' does not exist"),
        (("train", "nobody", "--dataset-directory", "empty"), "'empty' holds no pictures"),
        (("train", "x", "--learning-rate", "0.05:10, x:20"), "piece 2, 'x:20'"),
        (("train", "x", "--batch-size", "-1", "--steps", "0"), "Batch size is -1"),
        (("train", "x", "--batch-size", "-1", "--steps", "0"), "Max steps is 0"),
        (("train", "x", "--steps", "many"), "'many' is not a whole number"),
        (("recipe", "none", "anna"), "does not exist"),
        (("recipe", "empty", "anna"), "is empty"),
        (("recipe", "empty", "anna", "--steps", "0"), "Max steps is 0"),
        (("recipe", str(SAMPLE_PHOTOS / PERSON), "anna", "--preset", "typo"), "no preset called 'typo'"),
        (("recipe", str(SAMPLE_PHOTOS / PERSON), "anna", "--template", "typo.txt"), "'typo.txt' is not there"),
        (("inspect", "nothing.pt"), "'nothing.pt' does not exist"),
        (("inspect", "a.doc"), "'a.doc' is no embedding file"),
    ],
)
def test_bad_input_ends_with_one_clear_sentence_and_nothing_written(
    workspace: Workspace,
    arguments: tuple[str, ...],
    named: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(workspace.root)
    (workspace.root / "empty").mkdir()
    (workspace.root / "a.doc").write_text("text")
    before = sorted(workspace.root.rglob("*"))
    assert run(workspace, *arguments) == EXIT_USER_ERROR
    assert named in capsys.readouterr().err
    assert sorted(workspace.root.rglob("*")) == before


def test_a_second_recipe_of_the_same_name_keeps_the_first_unless_told(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = workspace.root / "photos"
    photos.mkdir()
    Image.new("RGB", (80, 60), "red").save(photos / "a.jpg")
    flags = ("--ckpt", TINY, "--steps", "1")
    assert run(workspace, "recipe", str(photos), "anna", *flags) == EXIT_OK
    before = (workspace.embeddings / "anna.pt").read_bytes()
    assert run(workspace, "recipe", str(photos), "anna", *flags) == EXIT_USER_ERROR
    assert "'anna' exists already" in capsys.readouterr().err
    assert (workspace.embeddings / "anna.pt").read_bytes() == before
    assert run(workspace, "recipe", str(photos), "anna", *flags, "--overwrite") == EXIT_OK


def test_a_flag_of_several_lines_may_be_given_once_for_each() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, TrainSettings)
    lines = ["--preview-prompt", "[name], sad", "--preview-prompt", "a sketch of [name]\nanna", "--seed", "3"]
    settings = settings_of(TrainSettings, parser.parse_args(["anna", *lines]))
    assert settings.preview_lines == ["[name], sad", "a sketch of [name]", "anna"] and settings.seed == 3
    assert settings_of(TrainSettings, parser.parse_args(["anna"])).preview_prompt == ""


def test_help_and_errors_of_the_form_do_not_wait_for_torch() -> None:
    code = (
        "import sys; from ti_core.cli.main import main; status = main(['create', '']) + main(['train', 'nobody',"
        " '--steps', '0']); print(status, sorted({'torch', 'gradio', 'diffusers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert done.stdout.strip() == "4 []"


def test_train_takes_a_form_of_the_page_and_flags_beat_it(
    workspace: Workspace, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(workspace, "create", "anna", "--ckpt", TINY) == EXIT_OK
    form = {
        "embedding": "anna",
        "dataset_directory": "datasets/anna",
        "checkpoint": TINY,
        "template_file": "subject.txt",
    }
    form |= {"steps": 500, "image_every": 0, "save_every": 1, "colour": "red", "batch_size": "many"}
    file = workspace.root / "form.json"
    file.write_text(json.dumps({"form": "train", "settings": form}), encoding="utf-8")
    assert run(workspace, "train", "--settings", str(file), "--steps", "2") == EXIT_OK
    assert load_embedding(workspace.embeddings / "anna.pt").step == 2
    told = capsys.readouterr().err
    assert "left out: colour" in told and "Batch size: 'many'" in told
    file.write_text("[]", encoding="utf-8")
    assert run(workspace, "train", "--settings", str(file)) == EXIT_USER_ERROR
    assert "holds no settings" in capsys.readouterr().err
    assert run(workspace, "train", "--settings", str(workspace.root / "gone.json")) == EXIT_USER_ERROR
    assert run(workspace, "train") == EXIT_USER_ERROR
    assert "Embedding is empty" in capsys.readouterr().err
