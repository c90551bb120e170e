"""The page without a browser: its widgets come from the settings, and it opens without torch."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
import torch
from PIL import Image

from tests.data.test_captions import read_caption
from tests.ui.journey import ANSWER_S, free_port
from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.formats import save_embedding
from ti_core.errors import UserError
from ti_core.events import Evaluated, PreviewSaved, Started, StepDone
from ti_core.jobs.kinds import KINDS
from ti_core.jobs.queue import JobQueue
from ti_core.program.control import PICTURE, SAVE, wishes_of
from ti_core.settings import (
    CompareSettings,
    CreateSettings,
    PreprocessSettings,
    TrainSettings,
    Txt2ImgSettings,
)
from ti_core.training.presets import A1111, FAST, GUIDE, PRESETS, preset_values
from ti_core.ui.api import _use_step
from ti_core.ui.app_context import AppContext
from ti_core.ui.captions_layout import Opened
from ti_core.ui.live.live import view
from ti_core.ui.page import Page
from ti_core.ui.run_panel import job_action, use_shown_step
from ti_core.ui.server.roles import AT_THIS_COMPUTER
from ti_core.ui.server.server import ServerOptions, start_page
from ti_core.ui.server.uploads import keep_embedding, keep_photos
from ti_core.ui.widgets import ONLY_THESE
from ti_core.workspace import Workspace

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def context(tmp_path: Path) -> AppContext:
    workspace = Workspace(tmp_path)
    return AppContext(workspace, JobQueue(workspace))


@pytest.mark.parametrize(
    ("tab", "settings"),
    [
        ("create", CreateSettings),
        ("preprocess", PreprocessSettings),
        ("train", TrainSettings),
        ("compare", CompareSettings),
        ("txt2img", Txt2ImgSettings),
    ],
)
def test_every_option_has_a_widget_with_its_label_help_and_default_in_order(
    context: AppContext, tab: str, settings: Any
) -> None:
    page = Page(context)
    page.build()
    form = getattr(page, tab).form
    assert form.names == list(settings.options())
    for name, option in settings.options().items():
        widget, default = form.widgets[name], settings.defaults()[name]
        assert (widget.label, widget.info) == (option.label, option.help)
        if not (option.zero_is_auto or (option.control == "dropdown" and not option.choices)):
            assert widget.value == default


def test_an_open_page_holds_no_connection(context: AppContext) -> None:
    """A browser has six to one server: seven pages would leave none for the Interrupt button."""
    assert not Page(context).build().config["connect_heartbeat"]


def test_every_list_that_takes_no_other_text_says_so_to_the_keyboard(context: AppContext) -> None:
    lists = [part["props"] for part in Page(context).build().config["components"] if part["type"] == "dropdown"]
    fixed = [props["elem_id"] for props in lists if not props["allow_custom_value"]]
    assert "person" in fixed and "train_preview_sampler" in fixed
    assert fixed == [props["elem_id"] for props in lists if ONLY_THESE in (props.get("elem_classes") or ())]


def test_what_follows_an_event_that_comes_again_is_not_dropped_while_the_first_is_answered(context: AppContext) -> None:
    """gradio drops it, as after a job's end that is told twice."""
    wired = {each["id"]: each for each in Page(context).build().config["dependencies"]}
    dropped = [
        each["api_name"]
        for each in wired.values()
        if each["trigger_mode"] == "once" and wired.get(each["trigger_after"], each)["trigger_mode"] != "once"
    ]
    assert any(each["trigger_after"] is not None and each["trigger_mode"] == "multiple" for each in wired.values())
    assert dropped == []


def test_the_page_is_built_without_loading_torch() -> None:
    code = """
import sys, tempfile
from pathlib import Path
from ti_core.jobs.queue import JobQueue
from ti_core.ui.app_context import AppContext
from ti_core.ui.page import Page
from ti_core.workspace import Workspace
workspace = Workspace(Path(tempfile.mkdtemp()))
Page(AppContext(workspace, JobQueue(workspace))).build()
sys.exit("torch" in sys.modules or "diffusers" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, timeout=120).returncode == 0


def test_help_is_printed_without_loading_gradio() -> None:
    code = "import sys, app\ntry: app.main(['--help'])\nexcept SystemExit: pass\nsys.exit('gradio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, timeout=60, capture_output=True, text=True)
    assert done.returncode == 0
    for flag in ("--port", "--listen", "--share", "--auth", "--workspace", "--ckpt"):
        assert flag in done.stdout


def test_only_announced_files_of_known_kinds_are_published(context: AppContext, tmp_path: Path) -> None:
    def work(emit: Any, stop: Any) -> None:
        emit(Started("Training anna", 2))
        emit(StepDone(1, 0.1, 0.005, "a photo of anna", 0.1))
        emit(PreviewSaved(1, str(tmp_path / "run" / "anna-1.png"), "a photo of anna"))
        emit(PreviewSaved(2, str(tmp_path / "run" / "page.html"), "a photo of anna", number=2))

    job = context.jobs.submit("train", "Train anna", work)
    context.jobs.wait_for(job, 120)
    first = view(context, {}, AT_THIS_COMPUTER)
    assert re.fullmatch(rf"files/[0-9a-f]{{32}}/anna-1\.png\?job={job.id}", first["previews"][0][1])
    assert [(row[0], *row[2:]) for row in first["previews"]] == [(1, "a photo of anna", 1), (2, "a photo of anna", 2)]
    assert first["previews"][1][1] == ""
    assert list(context.published.values()) == [tmp_path / "run" / "anna-1.png"]
    later = view(context, {"job": job.id, "curve": "1", "previews": "2", "notices": "0"}, AT_THIS_COMPUTER)
    assert later["previews"] == [] and later["curve"] == []


@pytest.mark.parametrize(
    "cursor",
    [
        {},
        {"curve": "many", "previews": "-3", "job": "5"},
        {"curve": "9" * 9},
        {"curve": "9" * 5000},
        {"version": "²", "notices": "٣"},
    ],
)
def test_a_cursor_from_outside_may_be_anything(context: AppContext, cursor: dict[str, str]) -> None:
    context.jobs.wait_for(context.jobs.submit("train", "Train anna", lambda emit, stop: None), 120)
    assert view(context, cursor, AT_THIS_COMPUTER)["state"] == "finished"


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG that says its size; there are no pixels."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def test_an_uploaded_embedding_is_read_first_and_a_format_that_can_hold_code_needs_the_owners_word(
    tmp_path: Path,
) -> None:
    workspace, embedding = Workspace(tmp_path / "w"), Embedding("anna", {"clip_l": torch.ones(1, 768)})
    files = [save_embedding(tmp_path / f"anna{suffix}", embedding) for suffix in (".pt", ".safetensors", ".png")]
    with pytest.raises(UserError, match="can hold code"):
        keep_embedding(files[0], workspace, allow_pickle=False)
    assert keep_embedding(files[0], workspace, allow_pickle=True) == workspace.embeddings / "anna.pt"
    with pytest.raises(UserError, match="exists already"):
        keep_embedding(files[1], workspace, allow_pickle=False)
    renamed = tmp_path / "berta.safetensors"
    renamed.write_bytes(files[0].read_bytes())
    with pytest.raises(UserError, match="can hold code"):
        keep_embedding(renamed, workspace, allow_pickle=False)
    (tmp_path / "evil.safetensors").write_bytes(b"\x80\x04cos\nsystem\n")
    for name in ("evil.safetensors", "evil.exe"):
        with pytest.raises(UserError, match="evil"):
            keep_embedding(tmp_path / name, workspace, allow_pickle=True)


def test_dropped_files_get_safe_names_and_each_drop_a_folder_of_its_own(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    drop = tmp_path / "drop"
    for number, name in enumerate(("a/..photo<1>.JPG", "b/..photo<1>.JPG", "b/page.html", "c/???.png")):
        (drop / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("html"):
            (drop / name).write_bytes(bytes([number]))
        else:
            Image.new("RGB", (4, 4), (number, 0, 0)).save(drop / name)
    (drop / "fake.png").write_bytes(b"MZ no picture")
    (drop / "IMG_1.HEIC").write_bytes(b"of a phone")
    (drop / "bomb.png").write_bytes(png_header(20_000, 20_000))
    files = sorted(drop.rglob("*.*"))
    first, skipped = keep_photos(files, "../anna", workspace)
    second, _ = keep_photos(files, "../anna", workspace)
    assert skipped == [
        (
            "Left out, because pictures of a phone's or camera's own kind cannot be read; save them as JPEG first:"
            " IMG_1.HEIC."
        ),
        "Left out, because they are not photos, or larger than 100 megapixels: page.html, bomb.png, fake.png.",
    ]
    assert (first, second) == (
        tmp_path / "workspace" / "uploads" / "anna",
        tmp_path / "workspace" / "uploads" / "anna-2",
    )
    assert sorted(file.name for file in first.iterdir()) == ["photo.png", "photo1-2.jpg", "photo1.jpg"]
    with pytest.raises(UserError, match=r"page\.html"):
        keep_photos([drop / "b/page.html"], "", workspace)


def test_a_dropped_caption_stays_with_its_photo_whatever_the_names(tmp_path: Path) -> None:
    """Names that become one name when they are made safe, in any order, and names that are there twice."""
    long = "a portrait of a woman in the evening sun " * 3
    drop, colours = (
        tmp_path / "drop",
        {f"{long}1": "red", f"{long}2": "blue", "IMG (1)": "lime", "IMG 1": "black", "???": "white"},
    )
    drop.mkdir()
    for stem, colour in colours.items():
        Image.new("RGB", (4, 4), colour).save(drop / f"{stem}.png")
        if colour not in ("red", "lime"):
            (drop / f"{stem}.txt").write_text(colour, encoding="utf-8")
    for order in (sorted(drop.iterdir()), sorted(drop.iterdir(), reverse=True)):
        folder, _ = keep_photos(order, "", Workspace(tmp_path / "workspace"))
        found = {Image.open(picture).getpixel((0, 0)): read_caption(picture) for picture in folder.glob("*.png")}
        assert found == {
            (255, 0, 0): None,
            (0, 0, 255): "blue",
            (0, 255, 0): None,
            (0, 0, 0): "black",
            (255, 255, 255): "white",
        }


def test_photos_whose_names_differ_in_their_endings_case_alone_are_both_kept(tmp_path: Path) -> None:
    for folder, name, colour in (("a", "IMG_1.JPG", "red"), ("b", "IMG_1.jpg", "blue")):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (4, 4), colour).save(tmp_path / folder / name)
    folder, _ = keep_photos([tmp_path / "a/IMG_1.JPG", tmp_path / "b/IMG_1.jpg"], "", Workspace(tmp_path / "workspace"))
    assert sorted(path.name for path in folder.iterdir()) == ["IMG_1-2.jpg", "IMG_1.jpg"]


def test_a_caption_of_which_of_two_photos_is_left_out_and_named(tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / folder / "photo.png")
    (tmp_path / "b" / "photo.txt").write_text("blue", encoding="utf-8")
    files = [tmp_path / "a/photo.png", tmp_path / "b/photo.png", tmp_path / "b/photo.txt"]
    folder, sentences = keep_photos(files, "", Workspace(tmp_path / "workspace"))
    assert sorted(path.name for path in folder.iterdir()) == ["photo-2.png", "photo.png"]
    assert sentences == [
        "Left out, because several photos have that name, so nobody can know whose caption it is: photo.txt."
    ]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[gr.Blocks, str, Path]]:
    root = tmp_path_factory.mktemp("shared")
    (root / "secret.txt").write_text("secret", encoding="utf-8")
    workspace = Workspace(root, confined=True)
    blocks = start_page(workspace, ServerOptions(port=free_port(), user="anna", password="right"), JobQueue(workspace))
    yield blocks, f"http://127.0.0.1:{blocks.server_port}", root
    blocks.close()


def test_a_page_with_a_login_shows_strangers_nothing(guarded: tuple[gr.Blocks, str, Path]) -> None:
    _, url, root = guarded
    for path in ("/config", "/gradio_api/info", f"/gradio_api/file={root}/secret.txt", "/monitoring"):
        assert httpx.get(url + path, timeout=ANSWER_S).status_code in (401, 403, 404), path
    assert (
        httpx.get(url + "/openapi.json", timeout=ANSWER_S).status_code == 401
    )  # as for every address but those of the login
    assert (
        httpx.post(url + "/login", data={"username": "anna", "password": "wrong"}, timeout=ANSWER_S).status_code == 400
    )


def test_a_foreign_host_name_is_refused(guarded: tuple[gr.Blocks, str, Path]) -> None:
    assert httpx.get(guarded[1], headers={"host": "evil.example"}, timeout=ANSWER_S).status_code == 400


def test_a_port_that_is_taken_is_one_clear_sentence(guarded: tuple[gr.Blocks, str, Path], tmp_path: Path) -> None:
    port, workspace = guarded[0].server_port, Workspace(tmp_path)
    with pytest.raises(
        UserError, match=f"Port {port} is taken by another program. Choose another one: --port {port + 1}"
    ):
        start_page(workspace, ServerOptions(port=port), JobQueue(workspace))


def test_the_recipe_makes_a_form_right_whatever_stood_in_it(context: AppContext) -> None:
    folder = context.workspace.datasets / "anna"
    folder.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    wrong = {
        "log_directory": "",
        "clip_grad_mode": "value",
        "clip_grad_value": "x",
        "steps": 0,
        "batch_size": 0,
        "image_every": -1,
        "learning_rate": "x",
    }
    values = TrainSettings.defaults() | wrong | preset_values(GUIDE, context.workspace, "datasets/anna", "anna")
    assert not TrainSettings.from_dict(values).problems()


def test_previews_take_the_txt2img_forms_values_only_when_that_is_ticked(context: AppContext) -> None:
    page = Page(context)
    page.build()
    train = TrainSettings.defaults() | {"embedding": "anna", "dataset_directory": "d"}
    other = Txt2ImgSettings.defaults() | {"prompt": "anna\nin neon", "steps": 7, "seed": 5}

    def previews(ticked: bool) -> tuple[str, int, int]:
        given = [{**train, "preview_from_txt2img": ticked}[name] for name in page.train.form.names]
        settings = TrainSettings.from_dict(
            page.train.values_of([*given, *(other[name] for name in page.txt2img.form.names)])
        )
        return settings.preview_prompt, settings.preview_steps, settings.preview_seed

    assert previews(True) == ("anna in neon", 7, 5)
    assert previews(False) == ("", TrainSettings().preview_steps, TrainSettings().preview_seed)


def test_picture_now_and_save_now_answer_with_a_sentence_for_whatever_is_asked(context: AppContext) -> None:
    begun, heard = threading.Event(), list[str]()

    def trains(emit: Any, stop: threading.Event) -> None:
        begun.set()
        stop.wait(120)
        heard.extend(wishes_of(stop))

    job = context.jobs.submit("train", "Train anna", trains)
    assert begun.wait(120)
    assert "picture comes" in job_action(context, {"job": job.id, "action": "picture_now"})
    assert "copy is saved" in job_action(context, {"job": job.id, "action": "save_now"})
    context.jobs.cancel(job.id)
    context.jobs.wait_for(job)
    assert heard == [PICTURE, SAVE]
    assert "'Train anna' is not training" in job_action(context, {"job": job.id, "action": "picture_now"})
    assert "There is no job" in job_action(context, {"job": ["x"], "action": "save_now"})


def job_ended(page: Page, job: str, taken: str = "", guided: bool = False) -> dict[Any, Any]:
    """What the page that ordered the job changes; its fields are empty."""
    empty = [None] * sum(len(part.takes) for part in page.shared.parts)
    return page.take_result(job, taken, guided, *empty)


def test_a_failed_job_of_every_kind_is_told_in_its_own_part_of_the_page(context: AppContext) -> None:
    page = Page(context)
    page.build()

    def fail(emit: Any, stop: Any) -> None:
        raise UserError("The disk is full.")

    for kind in (*KINDS, "embeddings", "download"):
        job = context.jobs.wait_for(context.jobs.submit(kind, kind, fail), 120)
        box = {"resume": page.train, "download": page.model, "paint_dataset": page.create}.get(kind) or getattr(
            page, kind
        )
        assert job_ended(page, job.id)[box.message]["value"] == "The disk is full."


def test_a_failed_job_tells_a_shared_page_no_folder_of_the_server(tmp_path: Path) -> None:
    """What nobody foresaw names files as the system does, with their whole path."""
    workspace = Workspace(tmp_path, confined=True)
    page = Page(AppContext(workspace, JobQueue(workspace)))
    page.build()

    def fail(emit: Any, stop: Any) -> None:
        (tmp_path / "datasets" / "anna.txt").read_text()

    job = page.context.jobs.wait_for(page.context.jobs.submit("train", "Train anna", fail), 120)
    told = job_ended(page, job.id)[page.train.message]["value"]
    assert "'datasets/anna.txt'" in told and str(tmp_path) not in told


@pytest.mark.parametrize(
    "asked",
    [
        None,
        "x",
        {},
        {"job": "no", "step": 1},
        {"job": 5, "step": "../x"},
        {"run": "../..", "step": 1},
        {"run": 3, "step": None},
    ],
)
def test_a_request_to_use_a_step_may_be_anything(context: AppContext, asked: Any) -> None:
    page = Page(context)
    page.build()
    told = page.compare.use(asked)
    assert "not known any more" in use_shown_step(context, asked)
    assert "not there any more" in told or "outside the workspace" in told or "holds no copy" in told


def test_no_step_is_used_while_its_embedding_is_trained(context: AppContext) -> None:
    """The training writes the embedding when it ends, so the step would be lost."""
    running, root = threading.Event(), context.workspace.root
    run = root / "runs" / "anna-2"
    copy = run / "embeddings" / "anna-10.pt"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(b"vectors")
    page = Page(context)
    page.build()

    def work(emit: Any, stop: Any) -> None:
        emit(Started("Training anna", 2, folder=str(root / "today")))
        running.set()
        stop.wait(600)

    def ask_everywhere() -> list[str]:
        from_strip = use_shown_step(context, {"job": job.id, "step": 10})
        try:
            from_api = _use_step(context, "runs/anna-2", 10)
        except UserError as error:
            from_api = str(error)
        return [from_strip, page.compare.use({"run": "runs/anna-2", "step": 10}), from_api]

    job = context.jobs.submit("train", "Train anna", work, settings=TrainSettings(embedding=" anna "))
    assert running.wait(120)
    job.folder = str(run)
    assert all("'Training anna' is running" in told for told in ask_everywhere())
    assert not (context.workspace.embeddings / "anna.pt").exists()
    job.stop.set()
    context.jobs.wait_for(job, 120)
    assert all("Step 10 is now embeddings/anna.pt" in told for told in ask_everywhere())
    assert page.compare.enter("runs/anna-2")[page.compare.form.widgets["run"]]["value"] == "runs/anna-2"


def test_evaluations_reach_every_page_once_with_the_best_step(context: AppContext) -> None:
    def work(emit: Any, stop: Any) -> None:
        emit(StepDone(10, 0.1, 0.005, "a photo of anna", 0.1))
        emit(Evaluated(10, 0.2, 0.5, 10, [0.2], (0.2, 0.4)))
        emit(Evaluated(20, 0.1, 0.6, 20, [0.1], (0.2, 0.4)))

    job = context.jobs.submit("train", "Train anna", work)
    context.jobs.wait_for(job, 120)
    first = view(context, {}, AT_THIS_COMPUTER)
    assert (first["evaluations"], first["best"], first["usual_norms"]) == (
        [(10, 0.2, 0.5), (20, 0.1, 0.6)],
        20,
        (0.2, 0.4),
    )
    assert view(context, {"job": job.id, "evaluations": "2"}, AT_THIS_COMPUTER)["evaluations"] == []


def test_presets_make_forms_that_can_be_trained_and_only_the_dataset_stays(context: AppContext) -> None:
    folder = context.workspace.datasets / "anna"
    folder.mkdir(parents=True)
    for i in range(40):
        Image.new("RGB", (8, 8)).save(folder / f"{i:05d}-0-a.png")
    made = {
        preset: TrainSettings.from_dict(preset_values(preset, context.workspace, "datasets/anna", "anna"))
        for preset in PRESETS
    }
    assert not any(settings.problems() for settings in made.values())
    assert made[A1111] == TrainSettings(embedding="anna", dataset_directory="datasets/anna")
    guide, fast = made[GUIDE], made[FAST]
    assert (guide.norm_control, guide.early_stop, guide.held_out, guide.gradient_accumulation_steps) == (
        "none",
        0,
        0,
        40,
    )
    assert fast.norm_control == "direction only" and fast.early_stop > 0 and fast.held_out == 4
    with pytest.raises(UserError, match="no preset called 'x'"):
        preset_values("x", context.workspace, "datasets/anna", "anna")


def captioned_folder(context: AppContext, name: str) -> Path:
    """Two pictures with the caption `smiling`, in datasets/<name>."""
    folder = context.workspace.datasets / name
    folder.mkdir(parents=True)
    for i in range(2):
        Image.new("RGB", (8, 8)).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text("smiling", encoding="utf-8")
    return folder


def test_what_is_typed_in_the_captions_tab_is_never_lost(context: AppContext) -> None:
    file = captioned_folder(context, "anna") / "0.txt"
    captioned_folder(context, "berta")
    captions = Page(context)
    captions.build()
    tab = captions.captions
    opened = tab.open("datasets/anna")[tab.opened]
    tab.add_everywhere(opened, "smiling, red shirt", "photo", False)
    assert file.read_text(encoding="utf-8").strip() == "smiling, red shirt, photo"
    opened = tab.open("datasets/anna")[tab.opened]
    updates = tab.open_other(opened, "serious", "datasets/berta")
    assert file.read_text(encoding="utf-8").strip() == "serious" and updates[tab.opened][0] == "datasets/berta"
    ended = tab.follow("datasets/anna", updates[tab.opened], "laughing")
    assert (file.parent.parent / "berta" / "0.txt").read_text(encoding="utf-8").strip() == "laughing"
    assert (ended[tab.opened], ended[tab.text], ended[tab.folder]["value"]) == (list(Opened()), "", "datasets/anna")
    assert ended[tab.one]["visible"] is False and ended[tab.message]["value"] == "Saved: 0.txt of datasets/berta."
    assert tab.opened not in tab.arrive(ended[tab.opened], "datasets/anna", "", "train")
    assert tab.opened not in tab.arrive(updates[tab.opened], "datasets/anna", "", "captions")
    shown = tab.arrive(ended[tab.opened], "datasets/anna", "", "captions")
    assert (
        shown[tab.opened][:3] == ["datasets/anna", "0.png", "serious"]
        and "just preprocessed" in shown[tab.message]["value"]
    )


def test_a_caption_that_cannot_be_read_is_told_and_what_is_typed_over_it_is_refused(context: AppContext) -> None:
    file, unreadable = captioned_folder(context, "anna") / "1.txt", b"\xff\xfe\x80"
    file.write_bytes(unreadable)
    page = Page(context)
    page.build()
    tab, problem = (
        page.captions,
        "Caption '1.txt' is not UTF-8 text. Open it in an editor and save it with the encoding UTF-8.",
    )
    there = tab.go_on(tab.open("datasets/anna")[tab.opened], "smiling")
    assert there[tab.opened][:3] == ["datasets/anna", "1.png", ""] and there[tab.message]["value"] == problem
    for typed in (tab.go_on(there[tab.opened], "serious"), tab.save_one(there[tab.opened], "serious")):
        assert (
            typed[tab.opened] == there[tab.opened] and tab.text not in typed and typed[tab.message]["value"] == problem
        )
    assert tab.save_one(there[tab.opened], "")[tab.message]["value"] == problem  # and not that it was saved
    assert file.read_bytes() == unreadable
    assert tab.go_on(there[tab.opened], "")[tab.opened][1] == "0.png"


def test_what_somebody_else_writes_meanwhile_is_shown_and_not_saved_over(context: AppContext) -> None:
    file = captioned_folder(context, "anna") / "0.txt"
    page = Page(context)
    page.build()
    tab = page.captions
    opened = tab.open("datasets/anna")[tab.opened]
    file.write_text("serious", encoding="utf-8")
    untyped = tab.save_one(opened, opened[2])  # an answer on its way may have taken what was typed out of the box
    assert tab.settled not in untyped  # so that the browser puts it back
    saved = tab.save_one(opened, "smiling")
    assert saved[tab.text] == "serious" and saved[tab.gallery]["value"][0][1] == "serious"
    tab.go_on(saved[tab.opened], saved[tab.text])
    assert file.read_text(encoding="utf-8") == "serious"
    assert tab.text not in tab.save_one(
        saved[tab.opened], "laughing"
    )  # the box is left alone: somebody may type on already


def test_what_is_typed_over_another_ones_edit_is_refused_once_and_kept(context: AppContext) -> None:
    file = captioned_folder(context, "anna") / "0.txt"
    captioned_folder(context, "berta")
    page = Page(context)
    page.build()
    tab = page.captions
    opened = tab.open("datasets/anna")[tab.opened]
    file.write_text("hers", encoding="utf-8")
    for refuse in (
        lambda: tab.save_one(opened, "mine"),
        lambda: tab.go_on(opened, "mine"),
        lambda: tab.add_everywhere(opened, "mine", "photo", False),
        lambda: tab.open_other(opened, "mine", "datasets/berta"),
        lambda: tab.follow("datasets/berta", opened, "mine"),
    ):
        refused = refuse()
        assert "changed by somebody else meanwhile, to 'hers', so yours was not saved" in refused[tab.message]["value"]
        assert tab.text not in refused and file.read_text(encoding="utf-8") == "hers"
        assert refused[tab.opened] == [*opened[:4], "hers"]
    asked = refused[tab.opened]
    assert "not saved" in tab.go_on(asked, "mine")[tab.message]["value"]  # only Save replaces it
    assert tab.open_other(asked, "mine", "datasets/anna")[tab.message]["value"].endswith(
        "Copy it from here if you need it:\nmine"
    )
    assert file.read_text(encoding="utf-8") == "hers"
    assert tab.save_one(asked, "mine")[tab.message]["value"] == "Saved: 0.txt."
    assert file.read_text(encoding="utf-8") == "mine\n"


def test_another_picture_under_the_same_name_gets_no_text_that_was_typed_for_the_old_one(context: AppContext) -> None:
    folder = captioned_folder(context, "anna")
    page = Page(context)
    page.build()
    tab = page.captions
    opened = tab.open("datasets/anna")[tab.opened]
    Image.new("RGB", (9, 9)).save(folder / "0.png")
    assert "another picture since you opened it" in tab.save_one(opened, "mine")[tab.message]["value"]
    assert (folder / "0.txt").read_text(encoding="utf-8") == "smiling"


def test_a_picture_that_is_deleted_while_its_mask_is_opened_is_no_error(context: AppContext) -> None:
    folder = captioned_folder(context, "anna")
    page = Page(context)
    page.build()
    tab = page.captions
    opened = tab.open("datasets/anna")[tab.opened]
    assert tab.masks.follow(opened, True, True, ["", ""], False, None)[tab.masks.shown] == ["datasets/anna", "0.png"]
    (folder / "0.png").unlink()
    late = tab.masks.follow(opened, True, True, ["", ""], False, None)
    assert list(late) == [tab.message] and "value" not in late[tab.message]


def test_every_change_of_captions_can_be_undone_and_the_button_says_which(context: AppContext) -> None:
    file = captioned_folder(context, "anna") / "0.txt"
    page = Page(context)
    page.build()
    tab = page.captions
    there = tab.go_on(tab.open("datasets/anna")[tab.opened], "smiling")
    assert there[tab.opened][1] == "1.png"
    for change, title in (
        (
            lambda: tab.replace_everywhere(there[tab.opened], "smiling", "smiling", "serious"),
            "Undo: 'smiling' replaced by 'serious'",
        ),
        (lambda: tab.add_everywhere(there[tab.opened], "smiling", "x" * 90, True), f"Undo: '{'x' * 56}..."),
        (lambda: tab.remove_everywhere(there[tab.opened], "smiling", "smiling"), "Undo: 'smiling' removed"),
        (lambda: tab.save_one(there[tab.opened], "laughing"), "Undo: the caption of 1.png"),
    ):
        changed = change()
        assert (changed[tab.undo]["value"], changed[tab.undo]["interactive"]) == (title, True)
        assert changed[tab.opened][1] == "1.png"  # the same picture stays
        unsaved = tab.undo_last(changed[tab.opened], "typed")
        assert "not saved yet" in unsaved[tab.message]["value"] and tab.text not in unsaved
        undone = tab.undo_last(changed[tab.opened], changed[tab.opened][2])
        assert (
            undone[tab.message]["value"].startswith("Undone: ")
            and undone[tab.text] == "smiling"
            and undone[tab.undo]["interactive"] is False
        )
        assert file.read_text(encoding="utf-8") == "smiling"


def test_the_templates_tab_shows_prompts_of_what_it_has_just_chosen(context: AppContext) -> None:
    folder = context.workspace.datasets / "anna"
    folder.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "0.png")
    (folder / "0.txt").write_text("in a park", encoding="utf-8")
    save_embedding(context.workspace.embeddings / "berta.pt", Embedding("berta", {"clip_l": torch.ones(1, 768)}))
    page = Page(context)
    page.build()
    tab = page.templates
    shown = tab.enter("a photo of [name], [filewords]", None, None, False, 0)
    assert (shown[tab.folder]["value"], shown[tab.embedding]["value"]) == ("datasets/anna", "berta")
    assert set(shown[tab.prompts].splitlines()) == {"a photo of berta, in a park"}


def test_sentences_that_were_not_saved_can_be_copied_after_another_template_is_chosen(context: AppContext) -> None:
    page = Page(context)
    page.build()
    tab = page.templates

    def told(updates: dict[Any, Any]) -> str:
        return str(updates[tab.message]["value"])

    mine = "a sketch of [name], [filewords]"
    fresh = tab.start_new("", ["", ""])
    assert told(tab.open("style.txt", fresh[tab.text], fresh[tab.opened])).endswith("Saving makes your own copy.")
    assert told(tab.open("style.txt", mine, fresh[tab.opened])).endswith(f"Copy it from here if you need it:\n{mine}")
    assert told(tab.start_new(mine, tab.open("style.txt", "", ["", ""])[tab.opened])).endswith(mine)
    saved = tab.save_one("mine", mine, fresh[tab.opened])
    assert tab.text not in saved  # what stands in the box is what was saved, so it is left alone
    assert told(tab.open("style.txt", mine, saved[tab.opened])).endswith("Saving makes your own copy.")
    (context.workspace.templates / "mine.txt").write_text("changed elsewhere")
    assert told(tab.start_new(mine, saved[tab.opened])) == ""  # nothing was typed here


def test_the_result_of_a_job_is_taken_once_and_never_forgets_the_next_one(context: AppContext) -> None:
    """The answer may arrive after the next job was ordered, whose number is then in `my_job`."""
    page = Page(context)
    page.build()
    job = context.jobs.submit("preprocess", "Preprocess anna", lambda emit, stop: None)
    context.jobs.wait_for(job, 120)
    job.result = "datasets/anna"
    first = job_ended(page, job.id)
    assert (
        first[page.taken_job] == job.id
        and page.my_job not in first
        and page.train.form.widgets["dataset_directory"] in first
    )
    assert page.taken_job not in job_ended(page, job.id, taken=job.id)
