"""On the page, the sizes of all forms follow the checkpoint, unless somebody typed another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.models.tiny_families import save_single_file
from ti_core.checkpoints.library import CheckpointFile
from ti_core.data.picture_checks import CARTOONS_ONLY
from ti_core.jobs.queue import JobQueue
from ti_core.settings import PORTRAITS, CreateSettings, PreprocessSettings
from ti_core.training.presets import GUIDE, describe_preprocess, preset_values, sample_recipe
from ti_core.ui.app_context import AppContext
from ti_core.ui.page import Page
from ti_core.workspace import PORTRAITS_FOLDER, SHOWN_SAMPLE_PHOTOS, Workspace

PORTRAITS_PX = CheckpointFile(PORTRAITS, PORTRAITS_FOLDER).size_px
FORMS = ("preprocess", "train", "txt2img")


@pytest.fixture
def page(tmp_path: Path) -> Page:
    (tmp_path / "models" / "Stable-diffusion").mkdir(parents=True)
    for kind in ("sd1", "sd2_v", "sdxl"):
        save_single_file(kind, tmp_path / "models" / "Stable-diffusion" / f"{kind}.safetensors")
    workspace = Workspace(tmp_path)
    made = Page(AppContext(workspace, JobQueue(workspace)))
    made.build()
    return made


def choose(page: Page, checkpoint: str, shown: dict[Any, Any]) -> dict[Any, Any]:
    """What the fields hold after the choice of a checkpoint."""
    sizes = [shown[widget] for widget, _ in page.sizes.fields]
    return {**shown, **page.sizes.follow_checkpoint(checkpoint, shown[page.sizes.own_px], *sizes)}


def sizes(page: Page, shown: dict[Any, Any]) -> list[int]:
    """Widths and heights of the three forms."""
    return [shown[getattr(page, form).form.widgets[side]] for form in FORMS for side in ("width", "height")]


def kept(page: Page, shown: dict[Any, Any], checkpoint: str) -> dict[str, Any]:
    """As the browser keeps it."""
    named = {f"{form}.{name}": widget for form in FORMS for name, widget in getattr(page, form).form.own.items()}
    return {
        "started_with": PORTRAITS,
        "checkpoint": checkpoint,
        "own_px": shown[page.sizes.own_px],
        **{k: shown[w] for k, w in named.items() if w in shown},
    }


def test_choosing_a_checkpoint_changes_the_sizes_of_all_forms_and_a_reload_keeps_them(page: Page) -> None:
    shown = page.put_back({})
    assert sizes(page, shown) == [PORTRAITS_PX] * 6
    for checkpoint, size in (
        ("sd1", 512),
        ("sdxl", 1024),
        ("sd2_v", 768),
        (PORTRAITS, PORTRAITS_PX),
        ("sdxl.safetensors", 1024),
    ):
        shown = choose(page, checkpoint, shown)
        assert sizes(page, shown) == [size] * 6, checkpoint
    form = page.preprocess.form.widgets
    assert [shown[form[name]] for name in ("dimension_lower", "dimension_upper", "area_lower", "area_upper")] == [
        768,
        1536,
        16384,
        1280 * 1280,
    ]
    assert sizes(page, page.put_back(kept(page, shown, "sdxl.safetensors"))) == [1024] * 6


def test_a_typed_size_stays_when_another_checkpoint_is_chosen_and_after_a_reload(page: Page) -> None:
    shown = choose(page, "sd1", page.put_back({}))
    typed = {page.train.form.widgets["width"]: 640, page.preprocess.form.widgets["dimension_upper"]: 700}
    shown = choose(page, "sdxl", {**shown, **typed})
    assert sizes(page, shown) == [1024, 1024, 640, 1024, 1024, 1024]
    again = page.put_back(kept(page, shown, "sdxl.safetensors"))
    assert sizes(page, again) == [1024, 1024, 640, 1024, 1024, 1024]
    assert again[page.preprocess.form.widgets["dimension_upper"]] == 700
    assert sizes(page, choose(page, PORTRAITS, again)) == [PORTRAITS_PX] * 2 + [640] + [PORTRAITS_PX] * 3


def test_a_server_started_with_another_checkpoint_sets_the_sizes_that_were_not_typed(page: Page) -> None:
    shown = {**page.put_back({}), page.txt2img.form.widgets["height"]: 96}
    page.chosen_checkpoint = "sdxl"
    assert sizes(page, page.put_back(kept(page, shown, PORTRAITS))) == [1024] * 5 + [96]


@pytest.mark.parametrize("before", [None, "x", 0, -5, True, [], 10**9])
@pytest.mark.parametrize("size", [None, "x", 0, []])
def test_what_the_browser_kept_may_be_anything(page: Page, before: Any, size: Any) -> None:
    count = len(page.sizes.fields)
    assert sizes(page, page.sizes.follow_checkpoint("sd1", before, *[size] * count)) == [512] * 6
    assert len(page.sizes.follow_checkpoint("gone", before, *[size] * count)) == count + 1


def test_the_buttons_leave_the_sizes_to_the_checkpoint(page: Page) -> None:
    create, preprocess = sample_recipe("anna", page.context.workspace)
    assert not set(PreprocessSettings.own_sizes(64)) & {*create, *preprocess} - set(CreateSettings.options())
    (page.context.workspace.datasets / "anna").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(page.context.workspace.datasets / "anna" / "a.png")
    assert not {"width", "height"} & set(preset_values(GUIDE, page.context.workspace, "datasets/anna", "anna"))


def test_preprocess_is_ordered_for_the_checkpoint_of_the_page_and_tells_what_comes_before_the_start(page: Page) -> None:
    (page.context.workspace.root / "photos").mkdir()
    Image.new("RGB", (600, 400)).save(page.context.workspace.root / "photos" / "me.png")
    values = PreprocessSettings.defaults() | {"source_directory": "photos", "checkpoint": "sdxl"}
    given = [values[name] for name in page.preprocess.form.names]
    assert page.preprocess.form.widgets["checkpoint"] is page.checkpoint
    assert (
        page.preprocess.described(*given)
        == "1 photo becomes pictures of 1024 x 1024 px. 1 of 1 photos is smaller than 1024 x 1024 px and is enlarged,"
        " which blurs it: me.png (600 x 400). Use larger ones, or a smaller Width and Height."
    )
    assert "does not exist" in page.preprocess.described(
        *[{**values, "source_directory": "nowhere"}[name] for name in page.preprocess.form.names]
    )


def test_every_field_that_the_plan_of_preprocess_reads_makes_it_anew(page: Page) -> None:
    """By a form that writes down which of its fields are looked at."""
    names, looked = set(PreprocessSettings.options()), set[str]()

    class Watched(PreprocessSettings):
        def __getattribute__(self, name: str) -> Any:
            if name in names:
                looked.add(name)
            return super().__getattribute__(name)

    own = PreprocessSettings.own_sizes(512) | {"source_directory": f"{SHOWN_SAMPLE_PHOTOS}/anna"}
    for ticked in ("auto_sized_crop", "split_oversized", "keep_original_size", "blip_caption"):
        describe_preprocess(page.context.workspace, Watched(**{**own, ticked: True, "keep_original_size": True}))
    assert looked == set(PreprocessSettings.names("changes_plan"))


def test_the_checkpoints_line_says_when_it_cannot_draw_the_chosen_photos(page: Page) -> None:
    (page.context.workspace.root / "photos").mkdir()
    Image.new("RGB", (600, 400)).save(page.context.workspace.root / "photos" / "me.png")
    told, samples = page.model.described, f"{SHOWN_SAMPLE_PHOTOS}/anna"
    assert CARTOONS_ONLY in told(PORTRAITS, "photos", "") and CARTOONS_ONLY in told(PORTRAITS, samples, "photos")
    for checkpoint, *folders in (
        (PORTRAITS,),
        (PORTRAITS, "", None),
        (PORTRAITS, samples, ""),
        (PORTRAITS, "nowhere", "~"),
        ("sd1", "photos", "photos"),
    ):
        assert CARTOONS_ONLY not in told(checkpoint, *folders), (checkpoint, folders)
