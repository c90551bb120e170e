"""txt2img and compare without a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.cli.test_main import run
from tests.conftest import TINY
from ti_core.cli.main import EXIT_OK, EXIT_USER_ERROR
from ti_core.workspace import Workspace


def test_txt2img_paints_with_an_embedding_and_names_every_file(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(workspace, "create", "anna", "--ckpt", TINY) == EXIT_OK
    capsys.readouterr()
    flags = ("--ckpt", TINY, "--count", "2", "--steps", "2", "--seed", "7")
    assert run(workspace, "txt2img", "a photo of anna", *flags) == EXIT_OK
    told = capsys.readouterr().out
    pictures = [Path(line.strip().removeprefix("saved ")) for line in told.splitlines() if "saved " in line]
    (grid,) = [Path(line.removeprefix("Grid: ")) for line in told.splitlines() if line.startswith("Grid: ")]
    assert "Embeddings: anna." in told and "Run folder" not in told
    assert [picture.name for picture in pictures] == ["00000-7.png", "00001-8.png"]
    assert Image.open(grid).width == 2 * Image.open(pictures[0]).width


def test_compare_paints_the_steps_of_a_run(
    workspace: Workspace, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(workspace, "create", "anna", "--ckpt", TINY) == EXIT_OK
    flags = "--dataset-directory datasets/anna --template subject.txt --steps 2 --save-every 1 --image-every 0".split()
    assert run(workspace, "train", "anna", "--ckpt", TINY, *flags) == EXIT_OK
    (folder,) = workspace.root.glob("textual_inversion/*/anna")
    capsys.readouterr()
    more = ("--prompts", "a sketch of [name]", "--seeds", "3", "--sampling-steps", "2")
    assert run(workspace, "compare", str(folder), *more) == EXIT_OK
    told = capsys.readouterr().out
    (grid,) = [Path(line.removeprefix("Grid: ")) for line in told.splitlines() if line.startswith("Grid: ")]
    assert "Painted 4 pictures" in told and grid.is_file() and "Run folder" not in told


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("txt2img", " "), "Prompt is empty"),
        (("txt2img", "a", "--count", "0"), "Batch count is 0"),
        (("txt2img", "a", "--ckpt", "nowhere"), "'nowhere' does not exist"),
        (("compare", "nowhere"), "Run 'nowhere' does not exist"),
        (("compare", "empty"), "'empty' holds no copies"),
        (("compare", "empty", "--seeds", "x"), "Seeds are 'x'"),
    ],
)
def test_what_cannot_be_painted_is_told_in_one_sentence(
    workspace: Workspace, arguments: tuple[str, ...], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace.root / "empty").mkdir()
    assert run(workspace, *arguments) == EXIT_USER_ERROR
    assert named in capsys.readouterr().err
    assert not (workspace.root / "outputs").exists()
