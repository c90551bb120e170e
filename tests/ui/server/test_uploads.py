"""Files that an attacker drops on a shared page: names inside and outside of them, and what they are made for."""

from __future__ import annotations

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.conftest import TINY, Recorder
from tests.training.test_loop import anna, settings_for, train
from ti_core.checkpoints.hashes import short_hash
from ti_core.checkpoints.library import find_checkpoint
from ti_core.data.caption_edits import dataset_folders
from ti_core.embeddings.actions import convert, rename
from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.folder import find_stored
from ti_core.embeddings.formats import load_embedding, save_embedding
from ti_core.embeddings.png_file import save_card
from ti_core.errors import UserError
from ti_core.events import Started
from ti_core.runs.folder import STATE, RunFolder, saved_facts
from ti_core.runs.use_step import use_step
from ti_core.settings import CreateSettings, ResumeSettings
from ti_core.training import loop
from ti_core.training.create import check_create
from ti_core.ui.server.uploads import keep_embedding, keep_photos
from ti_core.workspace import SAMPLE_PHOTOS, Workspace, clean_name

ROWS = torch.full((2, 32), 0.1)


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def forged_state(path: Path, workspace: Workspace, name: str, suffix: str = ".pt") -> Path:
    """An embedding that says of itself that it is the state of a run called `name`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = settings_for(steps=1, save_every=1, image_every=1, gradient_accumulation_steps=1)
    facts = {
        "step": "0",
        "name": name,
        "suffix": suffix,
        "settings": json.dumps(settings.to_dict()),
        "refusals": "0",
        "checkpoint_hash": hash_of_tiny(workspace),
        "inputs": "",
    }
    save_file({"vectors.clip_l": ROWS}, path, metadata=facts)
    return path


def hash_of_tiny(workspace: Workspace) -> str:
    checkpoint = find_checkpoint(TINY, workspace)
    return short_hash(checkpoint.path, workspace.hashes_file) or ""


def resume(workspace: Workspace, folder: str) -> None:
    recorder = Recorder()
    loop.resume(ResumeSettings(folder), workspace, recorder, recorder.stop)


@pytest.fixture
def confined(workspace: Workspace, dataset: Path, tmp_path: Path) -> Workspace:
    """A shared workspace one floor down, so that the floor above can be watched."""
    root = tmp_path / "shared"
    root.mkdir()
    for part in ("models", "datasets"):
        shutil.move(str(tmp_path / part), root / part)
    return Workspace(root, confined=True)


def test_an_uploaded_embedding_is_no_run_and_its_resume_writes_nothing_outside(
    confined: Workspace, tmp_path: Path
) -> None:
    """The whole attack: an embedding called state.safetensors, whose metadata give a name that is a path, and
    Resume of the embeddings folder.
    """
    dropped = forged_state(tmp_path / "drop" / STATE, confined, "../../../outside/owned")
    assert load_embedding(dropped).count == 2  # it is an embedding as well
    before = files_below(tmp_path)
    with pytest.raises(UserError, match="state"):
        keep_embedding(dropped, confined, allow_pickle=False)
    confined.embeddings.mkdir(exist_ok=True)
    shutil.copy(dropped, confined.embeddings / STATE)  # and if it got there in another way
    with pytest.raises(UserError, match="holds no state to go on from"):
        resume(confined, "embeddings")
    assert files_below(tmp_path) - before == {f"shared/embeddings/{STATE}"}


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("../../../outside/owned", ".pt"),
        ("..", ".pt"),
        (".", ".pt"),
        ("/tmp/owned", ".pt"),
        ("a/b", ".pt"),
        ("a\\b", ".pt"),
        ("C:owned", ".pt"),
        ("", ".pt"),
        ("a\0b", ".pt"),
        ("a\nb", ".pt"),
        ("n" * 300, ".pt"),
        ("owned", ".png"),
        ("owned", "/../../../owned.pt"),
        ("owned", ".pt/../../x.pt"),
        ("owned", ""),
    ],
)
def test_a_state_of_a_real_run_with_a_forged_name_or_suffix_is_no_state(
    confined: Workspace, tmp_path: Path, name: str, suffix: str
) -> None:
    run = confined.root / "textual_inversion" / "2026-01-01" / "anna"
    forged_state(run / STATE, confined, name, suffix)
    RunFolder(run, "anna").save_settings({})
    before = files_below(tmp_path)
    assert saved_facts(run) is None
    with pytest.raises(UserError, match="holds no state to go on from"):
        resume(confined, "textual_inversion/2026-01-01/anna")
    assert files_below(tmp_path) == before
    with pytest.raises(UserError):
        RunFolder(run, name, suffix)


def test_a_folder_with_a_state_that_no_training_has_opened_is_not_resumed(confined: Workspace) -> None:
    """A training writes its settings before its first state; what people upload has none."""
    run = confined.root / "uploads" / "x"
    forged_state(run / STATE, confined, "x")
    with pytest.raises(UserError, match="holds no state to go on from"):
        resume(confined, "uploads/x")


def test_only_runs_inside_a_shared_workspace_are_resumed(workspace: Workspace, anna: Path, tmp_path: Path) -> None:
    run = Path(train(workspace, steps=1, image_every=0, save_every=0).of(Started)[0].folder)
    shared = Workspace(tmp_path / "elsewhere", confined=True)
    shared.root.mkdir()
    (shared.root / "link").symlink_to(run)
    for typed in (str(run), f"../{run.relative_to(tmp_path)}", "link"):
        with pytest.raises(UserError, match="outside the workspace"):
            resume(shared, typed)


@pytest.mark.parametrize("name", ["state", "State", "STATE", "state ", "settings-2026-01-01", "events"])
def test_no_embedding_takes_a_name_that_a_run_folder_gives_a_meaning(
    workspace: Workspace, tmp_path: Path, name: str
) -> None:
    drop = save_embedding(tmp_path / "drop" / f"{name}.safetensors", Embedding("x", {"clip_l": ROWS}))
    card = save_embedding(tmp_path / "drop" / "card.png", Embedding(name, {"clip_l": ROWS}))
    for file in (drop, card):
        with pytest.raises(UserError, match="is kept for"):
            keep_embedding(file, workspace, allow_pickle=True)
    save_embedding(workspace.embeddings / "anna.safetensors", Embedding("anna", {"clip_l": ROWS}))
    with pytest.raises(UserError, match="is kept for"):
        rename("anna.safetensors", name, workspace)
    with pytest.raises(UserError, match="is kept for"):
        check_create(CreateSettings(name=name, checkpoint=TINY), workspace)
    assert files_below(workspace.embeddings) == {"anna.safetensors"}


HOSTILE = [
    "../../owned",
    "/tmp/owned",
    "a/../../b",
    "..",
    "a\0b",
    "a\nb",
    "\u202egnp.exe",
    "x" * 300,
    "con",
    "com1.txt",
    "COM\u00b9",
    "a:b",
    "\\\\host\\share",
    "a\x1b[2Jb",
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("form", [".pt", ".png"])
def test_a_name_inside_a_file_becomes_a_plain_file_name_of_embeddings(
    workspace: Workspace, tmp_path: Path, form: str, name: str
) -> None:
    """In metadata or a card alike, and in what is made of the embedding later."""
    drop = tmp_path / f"learned_embeds{form}"
    if form == ".pt":
        torch.save({name: ROWS[0]}, drop)  # diffusers' form, whose only key is the name
    else:
        save_card(drop, Image.new("RGB", (64, 64)), Embedding(name, {"clip_l": ROWS}))
    before = files_below(tmp_path)
    kept = keep_embedding(drop, workspace, allow_pickle=True)
    made = convert(kept.name, ".safetensors", workspace)
    for path in (kept, made):
        assert (
            path.resolve().is_relative_to(workspace.root) and path.name.isprintable() and len(path.name.encode()) < 255
        )
        assert not set(path.name) & set('/\\:*?"<>|')
        assert clean_name(path.stem) == path.stem
    assert len(files_below(tmp_path) - before) == 2
    assert find_stored(kept.name, workspace).content.count == 2 - (form == ".pt")


@pytest.mark.parametrize("suffix", ["/../../../owned.pt", ".exe", "", ".pt/../x.png"])
def test_the_suffix_of_a_conversion_is_one_of_a_fixed_set(workspace: Workspace, tmp_path: Path, suffix: str) -> None:
    save_embedding(workspace.embeddings / "anna.pt", Embedding("anna", {"clip_l": ROWS}))
    before = files_below(tmp_path)
    with pytest.raises(UserError, match="Choose one of"):
        convert("anna.pt", suffix, workspace)
    assert files_below(tmp_path) == before


def test_the_embeddings_folder_is_no_runs_copies(workspace: Workspace, tmp_path: Path) -> None:
    """Copies lie in <run>/embeddings, so the workspace itself looks like a run: an upload called anna-10.pt would
    replace anna.pt.
    """
    for name in ("anna", "anna-10"):
        save_embedding(workspace.embeddings / f"{name}.pt", Embedding(name, {"clip_l": ROWS}))
    with pytest.raises(UserError, match="is no run"):
        use_step(workspace.root, 10, workspace)
    assert files_below(workspace.embeddings) == {"anna.pt", "anna-10.pt"}


@pytest.mark.parametrize("name", [*HOSTILE, "state"])
def test_dropped_photos_get_plain_names_inside_uploads(tmp_path: Path, name: str) -> None:
    workspace = Workspace(tmp_path / "workspace", confined=True)
    drop = tmp_path / "drop"
    drop.mkdir()
    on_disk = name.replace("/", "_").replace("\0", "_")[:200] + "1"
    Image.new("RGB", (8, 8)).save(drop / f"{on_disk}.png")
    (drop / f"{on_disk}.txt").write_text("red")
    try:
        folder, _ = keep_photos(sorted(drop.iterdir()), name, workspace)
    except UserError:  # a folder's name with nothing left in it is said
        folder, _ = keep_photos(sorted(drop.iterdir()), "x", workspace)
    assert folder.resolve().is_relative_to(workspace.root / "uploads") and folder.name.isprintable()
    kept = sorted(path.name for path in folder.iterdir())
    assert len(kept) == 2 and Path(kept[0]).stem == Path(kept[1]).stem
    assert all(each.isprintable() and clean_name(Path(each).stem) == Path(each).stem for each in kept)


def test_photos_and_embeddings_that_are_links_or_folders_are_not_followed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace", confined=True)
    (tmp_path / "secret.txt").write_text("SECRET")
    save_embedding(tmp_path / "secret.pt", Embedding("x", {"clip_l": ROWS}))
    drop = tmp_path / "drop"
    drop.mkdir()
    Image.new("RGB", (8, 8)).save(drop / "a.png")
    (drop / "a.txt").symlink_to(tmp_path / "secret.txt")
    (drop / "b.pt").symlink_to(tmp_path / "secret.pt")
    (drop / "c.png").mkdir()
    folder, sentences = keep_photos([drop / "a.png", drop / "a.txt", drop / "c.png"], "x", workspace)
    assert files_below(folder) == {"a.png"} and "a.txt" in sentences[0] and "c.png" in sentences[0]
    with pytest.raises(UserError, match="is no embedding file"):
        keep_embedding(drop / "b.pt", workspace, allow_pickle=True)


def test_a_full_disk_at_an_upload_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path / "workspace", confined=True)
    drop = tmp_path / "drop"
    drop.mkdir()
    Image.new("RGB", (8, 8)).save(drop / "a.png")
    Image.new("RGB", (8, 8)).save(drop / "b.png")
    embedding = save_embedding(drop / "anna.safetensors", Embedding("anna", {"clip_l": ROWS}))
    copies = []

    def full(source: Path, target: Path) -> None:
        copies.append(source)
        if len(copies) > 1:  # it is full in the middle of the drop
            raise OSError(errno.ENOSPC, "No space left on device")
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(UserError, match=r"the disk is full\. Make room"):
        keep_photos([drop / "a.png", drop / "b.png"], "x", workspace)
    with pytest.raises(UserError, match=r"the disk is full\. Make room"):
        keep_embedding(embedding, workspace, allow_pickle=False)
    assert files_below(workspace.root) == set()  # half a drop would be trained on as if it were all


def test_a_disk_that_is_full_when_gradio_takes_an_upload_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gradio.routes
    import httpx

    from tests.ui.journey import free_port
    from ti_core.jobs.queue import JobQueue
    from ti_core.ui.server.server import ServerOptions, start_page

    async def full(*given: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "secret"))

    monkeypatch.setattr(gradio.routes, "upload_fn", full)
    jobs = JobQueue(Workspace(tmp_path))
    blocks = start_page(Workspace(tmp_path), ServerOptions(free_port()), jobs)
    url = f"http://127.0.0.1:{blocks.server_port}"
    try:
        answer = httpx.post(
            f"{url}/gradio_api/upload", files={"files": ("a.png", b"x")}, headers={"Origin": url}, timeout=60
        )
    finally:
        blocks.close()
        jobs.close()
    assert answer.status_code == 507
    assert (
        answer.text
        == "It could not be stored: the disk is full. Ask the owner of this page to make room, then try again."
    )


# ---- the sample photos


def test_the_sample_photos_are_read_and_never_written(workspace: Workspace, tmp_path: Path) -> None:
    from ti_core.data.preprocess import check_preprocess
    from ti_core.settings import PreprocessSettings
    from ti_core.training.checks import check_train

    before = {path: path.stat().st_mtime_ns for path in SAMPLE_PHOTOS.rglob("*")}
    for shared in (workspace, replace(workspace, confined=True)):
        assert dataset_folders(shared) == []
        assert shared.folder("assets/sample_photos/anna", "Dataset folder") == SAMPLE_PHOTOS / "anna"
        for typed in (
            "assets/sample_photos",
            "assets/sample_photos/anna",
            "assets/sample_photos/anna/new",
            "assets/sample_photos/new",
        ):
            with pytest.raises(UserError, match="for reading only"):
                check_preprocess(PreprocessSettings("assets/sample_photos/boris", typed), shared)
            with pytest.raises(UserError, match="for reading only"):
                shared.writable(typed, "Folder")
        save_embedding(shared.embeddings / "anna.pt", Embedding("anna", {"clip_l": ROWS}))
        with pytest.raises(UserError, match="for reading only"):
            check_train(
                settings_for(dataset_directory="assets/sample_photos/anna", log_directory="assets/sample_photos/anna"),
                shared,
            )
        with pytest.raises(UserError, match="for reading only"):
            resume(shared, "assets/sample_photos/anna")
    assert {path: path.stat().st_mtime_ns for path in SAMPLE_PHOTOS.rglob("*")} == before


def test_no_caption_of_the_sample_photos_is_changed_through_the_page(workspace: Workspace) -> None:
    import gradio as gr

    from ti_core.jobs.queue import JobQueue
    from ti_core.ui.app_context import AppContext
    from ti_core.ui.captions_tab import CaptionsTab
    from ti_core.ui.part import PageContext

    jobs = JobQueue(workspace)
    with gr.Blocks():
        tab = CaptionsTab(PageContext(AppContext(workspace, jobs), my_job=None))
    folder, name = "assets/sample_photos/anna", "IMG_2041.jpg"
    before = (SAMPLE_PHOTOS / "anna" / "IMG_2041.txt").read_bytes()
    opened = [folder, name, before.decode().strip()]
    for updates in (
        tab.save_one(opened, "somebody else"),
        tab.open_other(opened, "somebody else", "datasets/x"),
        tab.go_on(opened, "somebody else"),
        tab.add_everywhere(opened, opened[2], "glasses", True),
        tab.replace_everywhere(opened, opened[2], "a", "b"),
        tab.remove_everywhere(opened, opened[2], "woman"),
    ):
        assert "for reading only" in updates[tab.message]["value"]
    jobs.close()
    assert (SAMPLE_PHOTOS / "anna" / "IMG_2041.txt").read_bytes() == before
    assert tab._read(folder)  # looking is allowed


@pytest.mark.parametrize("typed", ["assets/portraits", "ti_core/ui", "docs", ".git/x", ".venv/lib", "tests"])
def test_a_shared_page_in_the_projects_own_folder_writes_nothing_into_the_program(typed: str) -> None:
    from ti_core.workspace import REPOSITORY

    with pytest.raises(UserError, match=r"for reading only|outside the workspace"):
        Workspace(REPOSITORY, confined=True).writable(typed, "Destination directory")


def test_a_shared_page_publishes_nothing_from_outside_even_if_a_kept_file_names_it(tmp_path: Path) -> None:
    from ti_core.jobs.queue import JobQueue
    from ti_core.ui.app_context import AppContext

    workspace = Workspace(tmp_path / "shared", confined=True)
    (workspace.root / "outputs").mkdir(parents=True)
    jobs = JobQueue(workspace)
    context = AppContext(workspace, jobs)
    for name in (tmp_path / "secret.png", workspace.root / "outputs" / "a.png"):
        Image.new("RGB", (8, 8)).save(name)
    (workspace.root / "outputs" / "link.png").symlink_to(tmp_path / "secret.png")
    assert not any(
        context.url(file, "x") for file in (str(tmp_path / "secret.png"), "../secret.png", "outputs/link.png")
    )
    assert context.url("outputs/a.png", "x") and len(context.published) == 1
    jobs.close()


def test_a_zip_is_unpacked_and_masks_keep_the_name_of_their_photo(workspace: Workspace, tmp_path: Path) -> None:
    import zipfile

    picture = tmp_path / "picture.png"
    Image.new("RGB", (64, 64)).save(picture)
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name in ("a/x.png", "b/x.png", "a/x-masklabel.png", "b/masks/x.png", "../../y.png"):
            archive.write(picture, name)
        archive.writestr("a/x.txt", "smiling")
        archive.writestr("b/x.txt", "sad")
        archive.writestr("a/film.mp4", "")
    folder, sentences = keep_photos([tmp_path / "photos.zip"], "anna", workspace)
    assert sorted(path.name for path in folder.iterdir()) == [
        *("x-2-masklabel.png", "x-2.png", "x-2.txt", "x-masklabel.png", "x.png", "x.txt", "y.png"),
    ]
    assert (folder / "x.txt").read_text() == "smiling"
    assert sentences == ["Left out of the zip, because they are no photos: film.mp4."]
