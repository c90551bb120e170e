"""Pictures get the size that the checkpoint was trained with, all along the way, unless another one is typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import Recorder
from tests.models.tiny_families import save_single_file
from ti_core.checkpoints.library import CheckpointFile
from ti_core.cli.main import EXIT_OK, main
from ti_core.data.preprocess import check_preprocess, preprocess
from ti_core.errors import SettingsError
from ti_core.events import Notice
from ti_core.settings import PORTRAITS, PreprocessSettings, TrainSettings, Txt2ImgSettings
from ti_core.training.presets import describe_plan, describe_preprocess
from ti_core.workspace import PORTRAITS_FOLDER, SAMPLE_PHOTOS, SHOWN_SAMPLE_PHOTOS, Workspace

PORTRAITS_PX = CheckpointFile(PORTRAITS, PORTRAITS_FOLDER).size_px
SIZES = {"sd1": 512, "sd2_v": 768, "sdxl": 1024}
CARTOONS = "Portraits can draw only its own cartoon faces. For your photos choose a Stable Diffusion checkpoint."


@pytest.fixture
def families(tmp_path: Path) -> Workspace:
    """A workspace with one single file of each family, called by its kind, and a photo of 600 x 400 px in photos/."""
    models, photos = tmp_path / "models" / "Stable-diffusion", tmp_path / "photos"
    models.mkdir(parents=True)
    photos.mkdir()
    for kind in SIZES:
        save_single_file(kind, models / f"{kind}.safetensors")
    Image.effect_noise((600, 400), 80).convert("RGB").save(photos / "small.png")
    return Workspace(tmp_path)


def sizes_in(folder: Path) -> set[tuple[int, int]]:
    return {Image.open(path).size for path in folder.glob("*.png")}


@pytest.mark.parametrize(("checkpoint", "size"), [*SIZES.items(), (PORTRAITS, PORTRAITS_PX)])
def test_preprocess_makes_pictures_of_the_checkpoints_own_size(families: Workspace, checkpoint: str, size: int) -> None:
    made = preprocess(PreprocessSettings("photos", "out", checkpoint=checkpoint), families, Recorder(), Recorder().stop)
    assert sizes_in(families.root / "out") == {(size, size)}
    assert f"became 1 picture of {size} x {size} px" in made.sentence()


def test_a_typed_size_wins_and_the_other_side_follows_the_checkpoint(families: Workspace) -> None:
    preprocess(PreprocessSettings("photos", "out", width=96, checkpoint="sdxl"), families, Recorder(), Recorder().stop)
    assert sizes_in(families.root / "out") == {(96, 1024)}


def test_the_bounds_of_the_auto_sized_crop_go_with_the_size(families: Workspace) -> None:
    def bounds(size_px: int) -> tuple[int, int, int, int]:
        sized = PreprocessSettings().sized(size_px)
        return sized.dimension_lower, sized.dimension_upper, sized.area_lower, sized.area_upper

    assert bounds(512) == (384, 768, 4096, 409600)  # A1111's
    assert bounds(1024) == (768, 1536, 16384, 1280 * 1280)
    for checkpoint, size_px in (("sd1", 512), ("sdxl", 1024), (PORTRAITS, PORTRAITS_PX)):
        preprocess(
            PreprocessSettings("photos", checkpoint, checkpoint=checkpoint, auto_sized_crop=True),
            families,
            Recorder(),
            Recorder().stop,
        )
        ((width, height),) = sizes_in(families.root / checkpoint)
        assert bounds(size_px)[0] <= height <= width <= bounds(size_px)[1], checkpoint
        assert height < width or size_px < 256, "between 96 and 192 lies one multiple of 64"
    with pytest.raises(SettingsError, match="Dimension lower bound is 768, more than Dimension upper bound, 704"):
        check_preprocess(
            PreprocessSettings("photos", "out", checkpoint="sdxl", auto_sized_crop=True, dimension_upper=704), families
        )


def recipe(root: Path, *more: str) -> Path:
    """The command line's recipe with one update of one picture; gives the run's folder."""
    quick = [
        "--steps",
        "1",
        "--batch-size",
        "1",
        "--gradient-accumulation-steps",
        "1",
        "--image-every",
        "0",
        "--save-every",
        "0",
        "--evaluate-every",
        "0",
    ]
    assert main(["recipe", str(root / "photos"), "anna", "--workspace", str(root), *quick, *more]) == EXIT_OK
    return next((root / "textual_inversion").glob("*/anna"))


def trained_size(run: Path) -> tuple[int, int]:
    kept = json.loads(next(run.glob("settings-*.json")).read_text(encoding="utf-8"))["settings"]
    return kept["width"], kept["height"]


def test_the_recipe_prepares_and_trains_at_the_checkpoints_own_size_and_names_what_it_enlarges(
    families: Workspace, tiny_families: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = recipe(families.root, "--ckpt", "sdxl")
    assert sizes_in(families.datasets / "anna") == {(1024, 1024)} == {trained_size(run)}
    out = capsys.readouterr().out
    before, _, after = out.partition("Created:")
    assert (
        "1 of 1 photos is smaller than 1024 x 1024 px and is enlarged, which blurs it: small.png (600 x 400)." in before
    )
    assert "enlarged" in after and "00000-0-small.png" in after
    assert CARTOONS not in out


def test_the_recipes_typed_size_is_that_of_both_steps(families: Workspace, tiny_families: Path) -> None:
    run = recipe(families.root, "--ckpt", "sdxl", "--width", "128", "--height", "128")
    assert sizes_in(families.datasets / "anna") == {(128, 128)} == {trained_size(run)}


def test_what_has_to_be_enlarged_is_counted_and_named_before_the_start(families: Workspace) -> None:
    large = Image.effect_noise((2000, 1600), 80).convert("RGB")
    large.save(families.root / "photos" / "large.png")

    def told(**more: Any) -> str:
        return describe_preprocess(families, PreprocessSettings("photos", "out", **more))

    assert "2 photos" in told(checkpoint="sdxl") and "1024 x 1024 px" in told(checkpoint="sdxl")
    assert (
        "1 of 2 photos is smaller than 1024 x 1024 px and is enlarged, which blurs it: small.png (600 x 400)."
        in told(checkpoint="sdxl")
    )
    assert "1 of 2 photos is smaller than the picture made of it and is enlarged" in told(
        checkpoint="sdxl", auto_sized_crop=True
    )  # not smaller than a size that nothing gets
    assert "enlarged" not in told(width=64, height=64, checkpoint="sdxl")
    assert "enlarged" not in told(checkpoint="sdxl", keep_original_size=True)

    preprocess(PreprocessSettings("photos", "datasets/d", checkpoint="sd1"), families, Recorder(), Recorder().stop)

    def plan(ckpt: str) -> str:
        return describe_plan(families, TrainSettings(dataset_directory="datasets/d", checkpoint=ckpt))

    assert (
        "2 of 2 pictures are smaller than 1024 x 1024 px and are enlarged, which blurs them: 00000-0-large.png (512 x"
        " 512), 00001-0-small.png" in plan("sdxl")
    )
    assert "1 of 2 pictures was enlarged in Preprocess already, which blurs it: 00001-0-small.png." in plan("sd1")
    assert "Preprocess your photos at 1024 x 1024 px" in plan("sdxl")


def test_preprocess_says_which_photos_it_enlarged_by_what_it_really_did(families: Workspace) -> None:
    events = Recorder()
    result = preprocess(PreprocessSettings("photos", "out", checkpoint="sdxl"), families, events, events.stop)
    assert "1 of 1 photos was enlarged" in result.sentence() and "small.png" in result.sentence()
    assert any("small.png (600 x 400)" in event.text for event in events.of(Notice))
    auto = PreprocessSettings("photos", "auto", checkpoint="sdxl", auto_sized_crop=True)
    result = preprocess(auto, families, events, events.stop)
    ((width, height),) = result.sizes
    assert (width, height) != (1024, 1024) and f"was enlarged to {width} x {height} px" in result.sentence()


def test_portraits_and_own_photos_get_a_sentence_and_its_own_people_get_none(families: Workspace) -> None:
    def notices(source: str, checkpoint: str) -> str:
        events = Recorder()
        preprocess(
            PreprocessSettings(source, f"datasets/{checkpoint}", checkpoint=checkpoint), families, events, events.stop
        )
        return " ".join(event.text for event in events.of(Notice))

    samples, copied = f"{SHOWN_SAMPLE_PHOTOS}/anna", families.root / "copied"
    copied.mkdir()
    for photo in (SAMPLE_PHOTOS / "anna").iterdir():
        (copied / f"renamed {photo.name}").write_bytes(photo.read_bytes())
    train = TrainSettings(dataset_directory=f"datasets/{PORTRAITS}")
    for source, own in ((samples, False), ("copied", False), ("photos", True)):
        assert (CARTOONS in describe_preprocess(families, PreprocessSettings(source, "out"))) is own, source
        assert CARTOONS not in describe_preprocess(families, PreprocessSettings(source, "out", checkpoint="sd1"))
        assert (CARTOONS in notices(source, PORTRAITS)) is own, source
        assert (CARTOONS in describe_plan(families, train)) is own, source
        assert (CARTOONS in describe_plan(families, TrainSettings(dataset_directory=source))) is own, source
    assert CARTOONS not in notices("photos", "sd1")
    assert CARTOONS not in describe_plan(families, TrainSettings(dataset_directory="photos", checkpoint="sdxl"))


def test_txt2img_and_train_have_the_checkpoints_size_where_none_is_typed() -> None:
    for settings in (TrainSettings, Txt2ImgSettings):
        assert (settings().sized(768).width, settings(width=96).sized(768).width) == (768, 96)
