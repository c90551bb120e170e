import argparse
from dataclasses import replace
from pathlib import Path

import pytest

from ti_core import webui as app
from ti_core.cli import main as cli
from ti_core.errors import UserError
from ti_core.files import save_atomically, save_text
from ti_core.workspace import REPOSITORY, SAMPLE_PHOTOS, Workspace, add_place_flags, clean_name, open_workspace


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("anna-01", "anna-01"),
        ("  a/b\\c:d ", "abcd"),
        ("../../etc", "etc"),
        ("Ännchen 2.", "Ännchen 2"),
        ("<anna>", "anna"),
    ],
)
def test_names_are_made_safe(typed: str, name: str) -> None:
    assert clean_name(typed) == name


@pytest.mark.parametrize("typed", ["", "  ", "///", "...", "con", "NUL.txt"])
def test_a_name_with_nothing_usable_is_refused(typed: str) -> None:
    with pytest.raises(UserError, match="Name"):
        clean_name(typed)


@pytest.mark.parametrize(
    "typed",
    [
        "../secret",
        "/etc",
        "~/x",
        "//host/share",
        "\\\\host\\share",
        "C:\\x",
        "datasets/../../x",
        "link",
        "datasets/../x",
        "..\\x",
        "a:b",
        "x/. ./..",
        "link/passwd",
    ],
)
def test_a_shared_page_never_leaves_the_workspace(tmp_path: Path, typed: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to("/etc")
    with pytest.raises(UserError, match="outside the workspace"):
        Workspace(root, confined=True).path(typed, "Source directory")


def test_a_page_of_ones_own_may_name_any_folder(tmp_path: Path) -> None:
    assert Workspace(tmp_path / "root").path(str(tmp_path), "Source directory") == tmp_path.resolve()


def test_a_missing_or_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'nothing' does not exist"):
        Workspace(tmp_path).folder("nothing", "Dataset directory")
    with pytest.raises(UserError, match="Dataset directory is empty"):
        Workspace(tmp_path).folder("  ", "Dataset directory")


def test_a_failed_write_keeps_the_old_file_and_leaves_no_part(tmp_path: Path) -> None:
    path = save_text(tmp_path / "a.txt", "old")

    def half_a_file(part: Path) -> None:
        part.write_text("ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="disk is full"):
        save_atomically(path, half_a_file)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("confined", [True, False])
def test_the_sample_photos_are_found_by_their_short_name_from_any_workspace(tmp_path: Path, confined: bool) -> None:
    workspace = Workspace(tmp_path, confined)
    assert workspace.folder("assets/sample_photos/anna", "Source directory") == SAMPLE_PHOTOS / "anna"
    with pytest.raises(UserError, match="outside the workspace" if confined else "does not exist"):
        workspace.folder("assets/sample_photos/../../nothing", "Source directory")


def test_a_shared_page_names_no_folder_of_the_computer(tmp_path: Path) -> None:
    shared = Workspace(tmp_path, confined=True)
    assert (
        shared.shown(Path("/etc/passwd")) == "passwd"
        and Workspace(tmp_path).shown(Path("/etc/passwd")) == "/etc/passwd"
    )
    told = f"'{tmp_path}/datasets/anna' and {REPOSITORY}/app.py"
    assert shared.without_paths(told) == "'datasets/anna' and app.py"
    assert Workspace(tmp_path).without_paths(told) == told


@pytest.mark.parametrize("typed", ["x" * 5000, "\udcff", "loop/loop/x", "a\nb"])
def test_an_odd_path_is_one_sentence(tmp_path: Path, typed: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for confined in (True, False):
        with pytest.raises(UserError, match="Dataset directory"):
            Workspace(tmp_path, confined).folder(typed, "Dataset directory")


def opened(*flags: str) -> Workspace:
    parser = argparse.ArgumentParser()
    add_place_flags(parser)
    return open_workspace(parser.parse_args(flags))


def test_more_checkpoint_folders_and_an_install_of_a1111_come_from_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "webui" / "models" / "Stable-diffusion").mkdir(parents=True)
    (tmp_path / "disk").mkdir()
    monkeypatch.chdir(tmp_path)
    assert opened() == Workspace(tmp_path)
    workspace = opened("--ckpt-dir", "disk", "--a1111-dir", "webui", "--workspace", "work", "--ckpt-dir", str(tmp_path))
    assert (workspace.root, workspace.ckpt_dirs, workspace.ui_dirs) == (
        tmp_path / "work",
        (tmp_path / "disk", tmp_path),
        (tmp_path / "webui",),
    )
    assert workspace.checkpoint_folders[-1] == tmp_path / "webui" / "models" / "Stable-diffusion"


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--ckpt-dir", "nowhere"), "--ckpt-dir 'nowhere' is not a folder"),
        (("--a1111-dir", "nowhere"), "--ui-dir 'nowhere' is not a folder"),
        (("--ui-dir", "."), "--ui-dir '.' is no folder of AUTOMATIC1111, Forge"),
        (("--ckpt-dir", ".", "--a1111-dir", "."), "--ui-dir '.' is no folder of AUTOMATIC1111"),
    ],
)
def test_a_wrong_folder_is_one_sentence_on_page_and_command_line(
    tmp_path: Path,
    flags: tuple[str, ...],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for run in (lambda: cli.main(["models", *flags]), lambda: app.main(["--port", "7999", *flags])):
        assert run() == 2
        assert capsys.readouterr().err.startswith(f"error: {sentence}")


def test_a_shared_page_starts_with_no_checkpoint_that_it_could_not_train_with(
    workspace: Workspace, tiny_checkpoint: Path
) -> None:
    outside = str(tiny_checkpoint)
    shared = replace(workspace, confined=True)
    assert app._checkpoint_at_the_start("tiny", shared) == app._checkpoint_at_the_start(outside, shared) == "tiny"
    elsewhere = Workspace(workspace.root / "empty", confined=True)
    with pytest.raises(UserError, match=r"may not use the checkpoint .* Add: --ckpt-dir "):
        app._checkpoint_at_the_start(outside, elsewhere)
    assert app._checkpoint_at_the_start(outside, replace(elsewhere, confined=False)) == str(tiny_checkpoint.resolve())


@pytest.mark.parametrize(
    "typed",
    ["my photos", " my photos/ ", '"my photos"', "'my photos'", "\u201cmy photos\u201d", "my\\ photos", "my photos\\"],
)
def test_a_folder_is_found_however_it_was_pasted(tmp_path: Path, typed: str) -> None:
    (tmp_path / "my photos").mkdir()
    for confined in (False, True):
        assert Workspace(tmp_path, confined).folder(typed, "Source directory") == tmp_path / "my photos"


def test_an_address_of_a_file_manager_is_a_path_and_never_leaves_a_shared_workspace(tmp_path: Path) -> None:
    (tmp_path / "my photos").mkdir()
    address = f"file://{tmp_path}/my%20photos"
    assert Workspace(tmp_path).folder(address, "Source directory") == tmp_path / "my photos"
    for secret in ("file:///etc", "file://localhost/etc", "'/etc'", "file:///%2e%2e/etc", "file://host/share"):
        with pytest.raises(UserError, match="outside the workspace"):
            Workspace(tmp_path, confined=True).folder(secret, "Source directory")


def test_a_missing_folder_tells_what_was_looked_for_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "datasets" / "anna").mkdir(parents=True)

    def told(typed: str, confined: bool = False) -> str:
        with pytest.raises(UserError) as error:
            Workspace(tmp_path, confined).folder(typed, "Source directory")
        return str(error.value)

    assert f"Looked for {tmp_path}/datasets/ana. Did you mean 'datasets/anna'?" in told("datasets/ana")
    assert f"Did you mean '{tmp_path}', with a / at its beginning?" in told(str(tmp_path)[1:])
    assert f"Looked for {tmp_path}/datasets/a/b/c. Of it only datasets exists." in told("datasets/a/b/c")
    assert str(tmp_path) not in told("datasets/ana", confined=True) + told(str(tmp_path)[1:], confined=True)
