"""Photos in, cropped and captioned pictures out; nothing lost silently, nothing written on bad input."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ti_core.data.captions import mirrored_caption
from ti_core.data.dataset import scan_dataset
from ti_core.data.images import Problem
from ti_core.data.picture_checks import CARTOONS_ONLY
from ti_core.data.preprocess import PreprocessResult, preprocess
from ti_core.errors import Interrupted, SettingsError, UserError
from ti_core.events import Event, Finished, Notice, Progress
from ti_core.settings import PreprocessSettings
from ti_core.workspace import SAMPLE_PHOTOS, Workspace

SIZE_PX = 64


def run(root: Path, events: list[Event] | None = None, **values: object) -> PreprocessResult:
    settings = PreprocessSettings(
        **{"source_directory": "photos", "destination_directory": "out", "width": SIZE_PX, "height": SIZE_PX, **values}
    )
    return preprocess(settings, Workspace(root), (events if events is not None else []).append, threading.Event())


def notices(events: list[Event]) -> list[str]:
    return [
        event.text for event in events if isinstance(event, Notice) and event.text != CARTOONS_ONLY
    ]  # the built-in model is the default


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def add_photo(root: Path, name: str, caption: str | None = None) -> Path:
    """A photo with a red left and a blue right half, in `photos`."""
    path = root / "photos" / name
    path.parent.mkdir(exist_ok=True)
    image = Image.new("RGB", (120, 80), (255, 0, 0))
    image.paste((0, 0, 255), (60, 0, 120, 80))
    image.save(path)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return path


def test_outputs_are_numbered_pngs_of_the_asked_size(tmp_path: Path) -> None:
    add_photo(tmp_path, "b dog.png")
    add_photo(tmp_path, "a cat.jpg")
    result = run(tmp_path, width=64, height=128)
    assert names(tmp_path / "out") == ["00000-0-a cat.png", "00001-0-b dog.png"]
    assert [path.name for path in result.written] == names(tmp_path / "out")
    for path in result.written:
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (64, 128))


def test_flipped_copies_are_mirrored_and_captioned(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png", "smiling, red shirt")
    result = run(tmp_path, flip=True, caption_action="copy")
    assert names(tmp_path / "out") == ["00000-0-a.png", "00000-0-a.txt", "00000-1-a.png", "00000-1-a.txt"]
    plain, mirrored = (np.asarray(Image.open(path)) for path in result.written)
    assert plain[0, 0].tolist() == [255, 0, 0] and mirrored[0, 0].tolist() == [0, 0, 255]
    assert (plain[:, ::-1] == mirrored).all()
    assert {(tmp_path / "out" / f"00000-{n}-a.txt").read_text() for n in (0, 1)} == {"smiling, red shirt"}
    assert (result.originals, len(result.written), result.captions) == (1, 2, 2)


@pytest.mark.parametrize("action", ["copy", "prepend", "append"])
def test_existing_captions_are_kept_without_bom_and_newline(tmp_path: Path, action: str) -> None:
    add_photo(tmp_path, "a.png", "\ufeff smiling, blåhårig \r\n")
    run(tmp_path, caption_action=action)
    assert (tmp_path / "out" / "00000-0-a.txt").read_bytes() == "smiling, blåhårig".encode()


def test_ignore_leaves_captions_out_and_says_how_to_keep_them(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png", "smiling")
    add_photo(tmp_path, "b.png", "  ")
    events: list[Event] = []
    assert run(tmp_path, events).captions == 0
    assert names(tmp_path / "out") == ["00000-0-a.png", "00001-0-b.png"]
    (notice,) = notices(events)
    assert notice.startswith("1 caption beside the photos was left out.") and "choose copy" in notice


def test_an_empty_or_missing_caption_writes_no_txt(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png", "\n")
    add_photo(tmp_path, "b.png")
    assert run(tmp_path, caption_action="copy").captions == 0
    assert names(tmp_path / "out") == ["00000-0-a.png", "00001-0-b.png"]


def test_a_caption_that_is_not_utf8_is_named_and_its_photo_kept(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png").with_suffix(".txt").write_bytes(b"bl\xe5")
    events: list[Event] = []
    result = run(tmp_path, events, caption_action="copy")
    assert result.problems == [Problem("a.txt", "it is not UTF-8 text")]
    assert len(result.written) == 1 and notices(events) == ["a.txt was skipped: it is not UTF-8 text."]


def test_a_corrupt_photo_among_good_ones_is_named_and_the_rest_is_done(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png")
    broken = add_photo(tmp_path, "b.png")
    broken.write_bytes(broken.read_bytes()[:60])
    add_photo(tmp_path, "c.png")
    events: list[Event] = []
    result = run(tmp_path, events)
    assert names(tmp_path / "out") == ["00000-0-a.png", "00002-0-c.png"]
    assert result.problems == [("b.png", "it is not a readable picture")]
    assert notices(events) == ["b.png was skipped: it is not a readable picture."]
    assert "2 photos became 2 pictures of 64 x 64 px with 0 captions, in out. b.png was skipped" in result.sentence()


def test_a_line_of_pixels_is_named_and_left_out(tmp_path: Path) -> None:
    """Scaled to cover the square it would take gigabytes, and split it would become thousands of pictures."""
    add_photo(tmp_path, "good.png")
    Image.new("RGB", (1, 30_000)).save(tmp_path / "photos" / "line.png")
    Image.new("RGB", (64, 2000)).save(tmp_path / "photos" / "strip.png")
    result = run(tmp_path, focal_crop=True, split_oversized=True)
    assert [problem.file for problem in result.problems] == ["line.png"] and "a mere line" in result.problems[0].reason
    assert len(result.written) > 30  # what splitting is for: the strip's pieces, and the good photo
    whole = run(tmp_path, keep_original_size=True, destination_directory="whole")
    assert [problem.reason for problem in whole.problems] == ["it is only 1 x 30000 px, less than 8 px"]


def test_a_tiny_photo_is_named_before_and_left_out_and_not_enlarged(tmp_path: Path) -> None:
    add_photo(tmp_path, "good.png")
    Image.new("RGB", (1, 1)).save(tmp_path / "photos" / "pixel.png")
    Image.new("RGB", (7, 64)).save(tmp_path / "photos" / "sliver.png")
    events: list[Event] = []
    result = run(tmp_path, events)
    assert [problem.sentence() for problem in result.problems] == [
        "pixel.png was skipped: it is only 1 x 1 px, less than 8 px.",
        "sliver.png was skipped: it is only 7 x 64 px, less than 8 px.",
    ]
    assert len(result.written) == 1
    first = next(event for event in events if isinstance(event, Notice))
    assert (
        first.text
        == "pixel.png, sliver.png are too small and will be left out: pixel.png has only 1 x 1 px, less than 8 px."
    )


def test_if_no_photo_can_be_read_it_fails_naming_all_and_writes_nothing(tmp_path: Path) -> None:
    for name in ("a.png", "b.jpg"):
        add_photo(tmp_path, name).write_bytes(b"broken")
    events: list[Event] = []
    with pytest.raises(UserError, match=r"None of the 2 pictures.*a\.png was skipped.*b\.jpg was skipped"):
        run(tmp_path, events)
    assert not (tmp_path / "out").exists()
    assert not any(isinstance(event, Finished) for event in events)


def test_progress_counts_every_photo_and_finished_comes_last_with_the_files(tmp_path: Path) -> None:
    for number in range(14):
        add_photo(tmp_path, f"{number:02d}.png")
    events: list[Event] = []
    result = run(tmp_path, events)
    progress = [(event.done, event.total) for event in events if isinstance(event, Progress)]
    assert progress == [(done, 14) for done in range(15)]
    assert events[-1] == Finished(result.sentence(), files=tuple(map(str, result.written[:12])))


def test_interrupt_stops_between_photos_and_keeps_what_is_written(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        add_photo(tmp_path, name)
    stop = threading.Event()

    def stop_at_second(event: Event) -> None:
        if isinstance(event, Progress) and event.done == 1:
            stop.set()

    with pytest.raises(Interrupted):
        preprocess(PreprocessSettings("photos", "out", SIZE_PX, SIZE_PX), Workspace(tmp_path), stop_at_second, stop)
    assert names(tmp_path / "out") == ["00000-0-a.png", "00001-0-b.png"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"source_directory": ""}, "Source directory is empty"),
        ({"source_directory": "nowhere"}, "Source directory 'nowhere' does not exist"),
        ({"source_directory": "bare"}, "'bare' is empty"),
        ({"source_directory": "texts"}, "'texts' holds no pictures"),
        ({"destination_directory": ""}, "Destination directory is empty"),
        ({"destination_directory": "photos/../photos/"}, "are both"),
        ({"destination_directory": "texts/a.txt"}, "is a file"),
        ({"width": 8}, "Width is 8"),
        ({"width": -64}, "Width is -64"),
        ({"height": 100}, "Height is 100. It must be a multiple of 8"),
        ({"caption_action": "keep"}, "'keep'"),
    ],
)
def test_bad_input_is_one_clear_sentence_and_nothing_is_written(
    tmp_path: Path, values: dict[str, object], message: str
) -> None:
    add_photo(tmp_path, "a.png", "words")
    (tmp_path / "bare").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("words")
    before = sorted(tmp_path.rglob("*"))
    assert len(before) >= 5
    with pytest.raises(UserError) as error:
        run(tmp_path, **values)
    assert message in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_both_folders_are_complained_about_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as error:
        preprocess(
            PreprocessSettings("nowhere", "~/out"),
            Workspace(tmp_path, confined=True),
            lambda event: None,
            threading.Event(),
        )
    assert len(error.value.problems) == 2


def test_pictures_of_an_earlier_run_are_set_aside_and_never_lost(tmp_path: Path) -> None:
    add_photo(tmp_path, "b.png", "words")
    run(tmp_path, caption_action="copy", flip=True)
    (tmp_path / "out" / "00000-0-b.txt").write_text("written by hand")
    (tmp_path / "out" / "notes.md").write_text("mine")
    add_photo(tmp_path, "a.png")
    events: list[Event] = []
    run(tmp_path, events)
    assert names(tmp_path / "out") == ["00000-0-a.png", "00001-0-b.png", "notes.md"]
    assert names(tmp_path / "out" / "earlier-1") == ["00000-0-b.png", "00000-0-b.txt", "00000-1-b.png", "00000-1-b.txt"]
    assert (tmp_path / "out" / "earlier-1" / "00000-0-b.txt").read_text() == "written by hand"
    assert any("2 pictures of an earlier run moved to out/earlier-1" in text for text in notices(events))
    run(tmp_path)
    assert len(names(tmp_path / "out" / "earlier-2")) == 2


def test_other_pictures_in_the_destination_stay_and_are_told(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png")
    (tmp_path / "out").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "out" / "holiday.png")
    events: list[Event] = []
    run(tmp_path, events)
    assert "holiday.png" in names(tmp_path / "out")
    assert notices(events) == ["out also holds 1 other picture (holiday.png). Training there will use them too."]


def test_a_very_long_file_name_still_fits(tmp_path: Path) -> None:
    add_photo(tmp_path, "é" * 120 + ".png", None)
    result = run(tmp_path, flip=True)
    assert len(result.written) == 2 and all(path.exists() for path in result.written)


@pytest.mark.parametrize("person", ["anna", "boris"])
def test_the_sample_photos_of_each_person_become_twelve_captioned_squares(tmp_path: Path, person: str) -> None:
    result = run(tmp_path, source_directory=str(SAMPLE_PHOTOS / person), caption_action="copy")
    assert (result.originals, len(result.written), result.captions, result.problems) == (12, 12, 12, [])


@pytest.mark.parametrize(
    ("caption", "mirrored"),
    [
        ("looking left, red shirt", "looking right, red shirt"),
        ("Left and RIGHT", "Right and LEFT"),
        ("leftover, bright light", "leftover, bright light"),
    ],
)
def test_a_mirrored_caption_swaps_left_and_right_and_nothing_else(caption: str, mirrored: str) -> None:
    assert mirrored_caption(caption) == mirrored
    assert mirrored_caption(mirrored) == caption


def test_a_file_name_that_is_a_long_caption_is_used_whole(tmp_path: Path) -> None:
    words = ", ".join(f"word number {i}" for i in range(14))[:206] + " end"
    add_photo(tmp_path, f"{words}.png")
    result = run(tmp_path, flip=True)
    assert len(words) == 210 and result.captions == 2
    assert [example.caption for example in scan_dataset(tmp_path / "out")] == [words, words]
    assert [path.with_suffix(".txt").is_file() for path in result.written] == [True, True]


def test_a_short_file_name_stays_the_caption_but_left_and_right_are_exchanged(tmp_path: Path) -> None:
    add_photo(tmp_path, "a man.png")
    add_photo(tmp_path, "hat on the left.png")
    assert run(tmp_path, flip=True).captions == 1
    captions = [example.caption for example in scan_dataset(tmp_path / "out")]
    assert captions == ["a man", "a man", "hat on the left", "hat on the right"]


def test_the_words_of_kohyas_folder_come_along(tmp_path: Path) -> None:
    add_photo(tmp_path, "IMG_1.png").parent.rename(tmp_path / "10_anna woman")
    run(tmp_path, source_directory="10_anna woman")
    assert [example.caption for example in scan_dataset(tmp_path / "out")] == ["anna woman"]


def test_a_copied_caption_keeps_its_lines_for_the_mirrored_copy_too(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.png", "hat, left\nred coat\n")
    run(tmp_path, flip=True, caption_action="copy")
    assert [(tmp_path / "out" / f"00000-{i}-a.txt").read_text() for i in (0, 1)] == [
        "hat, left\nred coat",
        "hat, right\nred coat",
    ]
