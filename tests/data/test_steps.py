"""The ticked steps in A1111's order, each working on what the one before it made (A1111 1.6.1,
textual_inversion/preprocess.py; 1.10.1, scripts/postprocessing_*.py).
"""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.conftest import ASTRONAUT
from tests.data.tiny_models import save_tiny_tagger
from ti_core.data.dataset import scan_dataset
from ti_core.data.images import find_images
from ti_core.data.origin import Origin
from ti_core.data.picture_checks import CARTOONS_ONLY
from ti_core.data.preprocess import PreprocessResult, preprocess
from ti_core.data.steps import NO_FACE, NO_SIZE, SEVERAL_FACES, SMALL_FACE, Piece, Steps
from ti_core.errors import Interrupted, SettingsError
from ti_core.events import Event, Finished, Notice
from ti_core.settings import PreprocessSettings
from ti_core.workspace import Workspace

REFERENCE = [
    ("Source directory", "", None, None, None),
    ("Destination directory", "", None, None, None),
    ("Width", 512, 64, 2048, 8),
    ("Height", 512, 64, 2048, 8),
    ("Existing Caption txt Action", "ignore", None, None, None),
    ("Keep original size", False, None, None, None),
    ("Create flipped copies", False, None, None, None),
    ("Split oversized images", False, None, None, None),
    ("Auto focal point crop", False, None, None, None),
    ("Auto-sized crop", False, None, None, None),
    ("Use BLIP for caption", False, None, None, None),
    ("Use deepbooru for caption", False, None, None, None),
    ("Split image threshold", 0.5, 0, 1, 0.05),
    ("Split image overlap ratio", 0.2, 0, 0.9, 0.05),
    ("Focal point face weight", 0.9, 0, 1, 0.05),
    ("Focal point entropy weight", 0.15, 0, 1, 0.05),
    ("Focal point edges weight", 0.5, 0, 1, 0.05),
    ("Create debug image", False, None, None, None),
    ("Dimension lower bound", 384, 64, 2048, 8),
    ("Dimension upper bound", 768, 64, 2048, 8),
    ("Area lower bound", 4096, 4096, 4194304, 1),
    ("Area upper bound", 409600, 4096, 4194304, 1),
    ("Resizing objective", "Maximize area", None, None, None),
    ("Error threshold", 0.1, 0, 1, 0.01),
]
TAGGER = "models/tagger/wd-vit-tagger-v3"


def run(root: Path, events: list[Event] | None = None, **values: Any) -> PreprocessResult:
    settings = PreprocessSettings(
        **{"source_directory": "photos", "destination_directory": "out", "width": 64, "height": 64, **values}
    )
    return preprocess(settings, Workspace(root), (events if events is not None else []).append, threading.Event())


def add_photo(root: Path, name: str, size: tuple[int, int] = (120, 80), caption: str | None = None) -> Path:
    """Noise, so that every part looks different."""
    path = root / "photos" / name
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.random.default_rng(size).integers(0, 255, (size[1], size[0], 3), np.uint8)).save(path)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return path


def add_astronaut(root: Path, name: str, times: int = 1) -> None:
    (root / "photos").mkdir(exist_ok=True)
    if times == 1:
        shutil.copyfile(ASTRONAUT, root / "photos" / name)
        return
    with Image.open(ASTRONAUT) as photo:
        row = Image.new("RGB", (photo.width * times, photo.height))
        for number in range(times):
            row.paste(photo, (number * photo.width, 0))
        row.save(root / "photos" / name)


def sizes(result: PreprocessResult) -> list[tuple[int, int]]:
    return [Image.open(path).size for path in result.written]


def notices(events: list[Event]) -> list[str]:
    return [
        event.text for event in events if isinstance(event, Notice) and event.text != CARTOONS_ONLY
    ]  # the built-in model is the default


def test_the_controls_are_a1111s_in_its_order() -> None:
    options, defaults = PreprocessSettings.options(), PreprocessSettings().sized(512).to_dict()
    assert [
        (o.label, defaults[name], o.minimum, o.maximum, o.step) for name, o in list(options.items())[: len(REFERENCE)]
    ] == REFERENCE
    assert options["caption_action"].choices == ("ignore", "copy", "prepend", "append")
    assert options["resizing_objective"].choices == ("Maximize area", "Minimize error")


def test_blip_has_the_values_of_a1111s_settings() -> None:
    settings = PreprocessSettings()
    assert (settings.blip_min_length, settings.blip_max_length, settings.blip_beams, settings.booru_threshold) == (
        24,
        48,
        1,
        0.5,
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"auto_sized_crop": True, "dimension_lower": 800},
            "Dimension lower bound is 800, more than Dimension upper bound, 192.",
        ),
        (
            {"auto_sized_crop": True, "area_lower": 500000},
            "Area lower bound is 500000, more than Area upper bound, 25600.",
        ),
        (
            {"blip_caption": True, "blip_min_length": 60},
            "BLIP: minimum description length is 60, more than BLIP: maximum description length, 48.",
        ),
        ({"split_overlap": 0.95}, "Split image overlap ratio is 0.95. It must be at least 0 and at most 0.9."),
    ],
)
def test_bounds_that_cross_are_refused_before_anything_is_read(
    tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    add_photo(tmp_path, "a.png")
    with pytest.raises(SettingsError) as error:
        run(tmp_path, **values)
    assert any(problem.startswith(message) for problem in error.value.problems)
    assert not (tmp_path / "out").exists()


def test_bounds_of_steps_that_are_not_ticked_do_not_matter(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png")
    assert len(run(tmp_path, dimension_lower=800, blip_min_length=60).written) == 1


def test_keep_original_size_keeps_what_no_crop_has_changed(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png", (120, 80))
    add_photo(tmp_path, "b.png", (300, 80))
    assert sizes(run(tmp_path, keep_original_size=True)) == [(120, 80), (300, 80)]
    assert sizes(run(tmp_path, keep_original_size=True, split_oversized=True, split_overlap=0)) == [
        (120, 80),
        *[(64, 64)] * 4,
    ]


def test_a_split_photo_gives_numbered_pieces_that_show_it_from_end_to_end(tmp_path: Path) -> None:
    path = add_photo(tmp_path, "a.png", (64, 160))
    result = run(tmp_path, split_oversized=True)
    assert [p.name for p in result.written] == [f"00000-{n}-a.png" for n in range(3)]
    photo = np.asarray(Image.open(path))
    # ceil((160 - 12.8) / 51.2) = 3 pieces, step 48
    for piece, top in zip(result.written, (0, 48, 96), strict=True):
        assert np.array_equal(np.asarray(Image.open(piece)), photo[top : top + 64])
    assert (result.originals, len(result.written)) == (1, 3)


def test_flipped_copies_follow_each_piece(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png", (64, 160))
    pictures = [np.asarray(Image.open(path)) for path in run(tmp_path, split_oversized=True, flip=True).written]
    assert len(pictures) == 6
    for plain, mirrored in zip(pictures[::2], pictures[1::2], strict=True):
        assert np.array_equal(plain[:, ::-1], mirrored)


def test_an_automatic_size_is_the_pictures_own_and_failing_ones_are_named(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png", (150, 100))
    add_photo(tmp_path, "b.png", (400, 100))
    events: list[Event] = []
    result = run(tmp_path, events, auto_sized_crop=True, dimension_lower=64, dimension_upper=256, area_upper=40000)
    assert sizes(result) == [(192, 128), (256, 64)]
    result = run(tmp_path, events, auto_sized_crop=True, dimension_lower=64, dimension_upper=192, area_upper=40000)
    assert sizes(result) == [(192, 128), (64, 64)]
    assert f"{NO_SIZE}: b.png." in notices(events)


def test_steps_chain_instead_of_making_pictures_of_their_own(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png", (160, 64))
    result = run(
        tmp_path,
        split_oversized=True,
        focal_crop=True,
        auto_sized_crop=True,
        keep_original_size=True,
        flip=True,
        dimension_lower=128,
        dimension_upper=128,
        area_upper=20000,
        face_weight=0,
    )
    assert sizes(result) == [(128, 128)] * 6


def test_debug_pictures_lie_outside_the_dataset_and_have_no_caption(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png", (160, 80), "words")
    result = run(tmp_path, focal_crop=True, debug_image=True, flip=True, caption_action="copy")
    assert sizes(result) == [(64, 64)] * 2
    assert [path.name for path in (tmp_path / "out" / "debug").iterdir()] == ["00000-0-a.png"]
    assert Image.open(tmp_path / "out" / "debug" / "00000-0-a.png").size == (128, 64)
    assert [e.path.name for e in scan_dataset(tmp_path / "out")] == ["00000-0-a.png", "00000-1-a.png"]
    run(tmp_path, focal_crop=True)
    assert (
        not (tmp_path / "out" / "debug").exists()
        and (tmp_path / "out" / "earlier-1" / "debug" / "00000-0-a.png").is_file()
    )


def test_without_debug_there_is_no_debug_folder(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png", (160, 80))
    run(tmp_path, focal_crop=True)
    assert not (tmp_path / "out" / "debug").exists()


def test_a_focal_crop_keeps_the_face_that_a_crop_of_the_middle_loses(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with Image.open(ASTRONAUT) as photo:
        wide = Image.new("RGB", (3 * photo.width, photo.height), (90, 90, 90))
        wide.paste(photo, (0, 0))
        wide.save(tmp_path / "photos" / "a.png")
    (path,) = run(tmp_path, width=384, height=384, focal_crop=True, edges_weight=0, entropy_weight=0).written
    with Image.open(ASTRONAUT) as photo:
        assert np.abs(np.asarray(Image.open(path)).astype(int) - np.asarray(photo).astype(int)).mean() < 1


def test_face_crop_cuts_head_and_shoulders_and_names_photos_without_one_face(tmp_path: Path) -> None:
    add_photo(tmp_path, "a nobody.png", (120, 80))
    add_astronaut(tmp_path, "b one.jpg")
    add_astronaut(tmp_path, "c two.png", times=2)
    events: list[Event] = []
    result = run(tmp_path, events, face_crop=True, keep_original_size=True)
    square = round(2.8 * 91)
    assert [
        size == (pytest.approx(expected, abs=12),) * 2
        for size, expected in zip(sizes(result), (80, square, 384), strict=True)
    ] == [True] * 3
    assert result.to_check == {
        NO_FACE: {"a nobody.png": result.written[0]},
        SEVERAL_FACES: {"c two.png": result.written[2]},
    }
    assert {f"{NO_FACE}: a nobody.png.", f"{SEVERAL_FACES}: c two.png."} <= set(notices(events))
    finished = events[-1]
    assert isinstance(finished, Finished) and finished.files[:2] == (str(result.written[0]), str(result.written[2]))
    assert NO_FACE in finished.text and SEVERAL_FACES in finished.text


def test_a_face_that_is_too_small_for_the_finished_picture_is_told(tmp_path: Path) -> None:
    add_astronaut(tmp_path, "a.jpg")
    result = run(tmp_path, face_crop=True, width=640, height=640)
    assert sizes(result) == [(640, 640)] and list(result.to_check) == [SMALL_FACE]


@pytest.mark.parametrize(
    ("action", "existing", "expected"),
    [
        ("ignore", "my words", "long hair, smile"),
        ("copy", "my words", "my words"),
        ("prepend", "my words", "my words long hair, smile"),
        ("append", "my words", "long hair, smile my words"),
        ("copy", None, "long hair, smile"),
        ("prepend", None, "long hair, smile"),
        ("append", "  ", "long hair, smile"),
    ],
)
def test_generated_and_existing_captions_are_joined_as_the_action_says(
    tmp_path: Path, action: str, existing: str | None, expected: str
) -> None:
    save_tiny_tagger(
        tmp_path / TAGGER, {"smile": 5, "long_hair": 5}, [("general", 9), ("smile", 0), ("long_hair", 0), ("hat", 0)]
    )
    add_photo(tmp_path, "a.png", caption=existing)
    result = run(tmp_path, booru_caption=True, caption_action=action, flip=True)
    assert {path.with_suffix(".txt").read_text(encoding="utf-8") for path in result.written} == {expected}


def test_a_missing_captioner_is_told_once_and_the_pictures_are_made(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png")
    add_photo(tmp_path, "b.png", caption="words")
    events: list[Event] = []
    result = run(tmp_path, events, booru_caption=True, caption_action="copy")
    assert len(result.written) == 2 and result.captions == 1
    (notice,) = notices(events)
    assert f"into {TAGGER}." in notice and isinstance(events[-1], Finished)


def test_every_format_of_the_folder_becomes_a_picture(tmp_path: Path) -> None:
    for suffix in ("png", "jpg", "webp", "avif", "tif", "bmp", "gif"):
        add_photo(tmp_path, f"{suffix}.{suffix}")
    (tmp_path / "photos" / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    result = run(tmp_path)
    assert len(find_images(tmp_path / "photos")) == 8 and len(result.written) == 7
    assert (
        "phone.heic was skipped: pictures of the kind .heic cannot be read; save it as JPEG first" in result.sentence()
    )


def test_interrupt_does_not_wait_for_the_captions_of_all_pieces(tmp_path: Path) -> None:
    stop, described = threading.Event(), []
    steps = Steps(
        PreprocessSettings(source_directory="photos", destination_directory="out"),
        Workspace(tmp_path),
        lambda event: None,
        stop,
    )

    class Slow:
        def describe(self, image: Image.Image) -> str:
            described.append(image)
            stop.set()
            return "words"

    steps.writer.loaded = [Slow()]
    with pytest.raises(Interrupted):
        steps.caption([Piece(Image.new("RGB", (8, 8)), Origin.whole((8, 8)))] * 5, "")
    assert len(described) == 1
