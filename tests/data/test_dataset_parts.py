"""Which folders a dataset is made of, and how often their pictures are taken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ti_core.data.caption_edits import dataset_folders, read_captions
from ti_core.data.captions import CaptionFiles, caption_notes
from ti_core.data.dataset import plan_training, scan_dataset
from ti_core.data.dataset_parts import find_parts
from ti_core.errors import SettingsError, UserError
from ti_core.events import Event, Notice
from ti_core.settings import PreprocessSettings, TrainSettings
from ti_core.training.checks import check_train
from ti_core.training.presets import describe_plan
from ti_core.workspace import Workspace

Tree = dict[str, int]


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[[Tree], Path]:
    """Makes datasets/anna with so many pictures in each folder."""

    def make(tree: Tree) -> Path:
        root = tmp_path / "datasets" / "anna"
        root.mkdir(parents=True)
        for name, pictures in tree.items():
            (root / name).mkdir(parents=True, exist_ok=True)
            for number in range(pictures):
                Image.new("RGB", (8, 8)).save(root / name / f"IMG_{number}.png")
        return root

    return make


def used(root: Path, **more: Any) -> dict[str, int]:
    return {part.name: part.repeats for part in find_parts(root, **more).used}


def planned(root: Path, **more: Any) -> str:
    settings = TrainSettings(dataset_directory="datasets/anna", **more)
    return describe_plan(Workspace(root.parents[1]), settings)


def test_kohyas_folders_are_used_as_often_as_their_names_say(dataset: Callable[[Tree], Path]) -> None:
    root = dataset({"10_anna woman": 2, "15_hats_red": 4})
    assert used(root) == {"10_anna woman": 2, "15_hats_red": 3}  # only the proportion counts
    events = list[Event]()
    examples = scan_dataset(root, events.append)
    assert [(e.folder, e.repeats, e.caption, e.is_folder_name) for e in examples[::3]] == [
        ("10_anna woman", 2, "anna woman", True),
        ("15_hats_red", 3, "hats red", True),
    ]
    _, plan = plan_training(examples, TrainSettings(batch_size=4, gradient_accumulation_steps=2, steps=20))
    assert plan.repeats == (2, 2, 3, 3, 3, 3) and plan.images == 6 and plan.images_per_pass == 16
    assert plan.steps_per_epoch == 2 and plan.passes == 160
    sentence = "Folder 10_anna woman: 40 passes, folder 15_hats_red: 120."
    assert sentence in plan.sentence() and "6 images, 16 with their repeats." in plan.sentence()
    text = planned(root, batch_size=4, gradient_accumulation_steps=2, steps=20)
    assert sentence in text and "6 of 6 pictures have no caption file, so the words of their folder's name" in text


def test_one_folder_of_kohya_is_trained_on_as_if_its_pictures_lay_outside(dataset: Callable[[Tree], Path]) -> None:
    root = dataset({"10_anna woman": 3})
    assert used(root) == {"10_anna woman": 1}
    assert "3 images. Each step looks at 1 of them" in planned(root) and "Folder" not in planned(root).split("looks")[1]


def test_a_year_and_folders_of_our_own_are_no_repeats(dataset: Callable[[Tree], Path]) -> None:
    root = dataset({"": 1, "2024_summer": 1, "earlier-1": 1, "debug": 1, "masks": 1, ".hidden": 1, "0_old": 1})
    parts = find_parts(root)
    assert [part.name for part in parts.used] == [""] and [part.name for part in parts.unused] == ["2024_summer"]
    assert parts.notes == ("Folder '0_old' has 0 repeats, so it is not used.",)
    assert "Pictures of a folder inside are not used: 2024_summer (1 picture)" in planned(root)
    assert used(root, subfolders=True) == {"": 1, "2024_summer": 1}


def test_a_folder_of_folders_offers_them_everywhere(dataset: Callable[[Tree], Path]) -> None:
    root = dataset({"ben": 3, "carl": 1, "empty": 0})
    workspace, offer = Workspace(root.parents[1]), "holds no pictures itself, but folders in it do: ben (3 pictures), c"
    assert offer in planned(root) and "Use subfolders too" in planned(root)
    for refused in (
        lambda: check_train(TrainSettings(dataset_directory="datasets/anna"), workspace),
        lambda: scan_dataset(root),
        lambda: read_captions(root),
        lambda: preprocess_check(workspace),
    ):
        with pytest.raises((UserError, SettingsError), match=r"folders in it do: ben \(3 pictures\), carl \(1\)"):
            refused()
    assert {"datasets/anna/ben", "datasets/anna/carl"} <= set(dataset_folders(workspace))
    assert used(root, subfolders=True) == {"ben": 1, "carl": 1} and "4 images." in planned(root, subfolders=True)


def preprocess_check(workspace: Workspace) -> None:
    from ti_core.data.preprocess import check_preprocess

    check_preprocess(
        PreprocessSettings(source_directory="datasets/anna", destination_directory="out", width=64, height=64),
        workspace,
    )


def test_folders_within_folders_have_the_repeats_of_the_one_around_them(dataset: Callable[[Tree], Path]) -> None:
    root = dataset({"": 1, "3_anna/indoors": 1, "3_anna/2_night": 1, "other/deep": 1})
    assert used(root, subfolders=True) == {"": 1, "3_anna/2_night": 2, "3_anna/indoors": 3, "other/deep": 1}
    (root / "other" / "back").symlink_to(root)  # a circle
    assert len(find_parts(root, subfolders=True).pictures) == 4


def test_repeats_can_be_typed_and_a_name_that_is_not_there_is_told(dataset: Callable[[Tree], Path]) -> None:
    root = dataset({"": 1, "10_anna woman": 1, "5_garden": 1})
    assert used(root, repeats="garden: 20, .: 10") == {"": 1, "10_anna woman": 1, "5_garden": 2}
    assert used(root, repeats="10_ANNA WOMAN: 0\ngarden: 0.5") == {"": 2, "5_garden": 1}
    with pytest.raises(UserError, match="Folder repeats names 'ben'") as error:
        find_parts(root, repeats="ben: 2")
    assert "10_anna woman" in str(error.value)
    with pytest.raises(UserError, match="Folder repeats names 'ben'"):
        planned(root, folder_repeats="ben: 2")
    for wrong in ("garden", "garden: many", ": 3", "garden: -1", "garden: 1000", "garden: nan"):
        (problem,) = TrainSettings(embedding="anna", dataset_directory="datasets/anna", folder_repeats=wrong).problems()
        assert problem.field == "folder_repeats" and "Folder repeats holds" in problem


def test_onetrainers_concepts_are_understood_where_they_lie_in_the_folder(dataset: Callable[[Tree], Path]) -> None:
    root = dataset({"anna": 2, "hats/red": 4, "off": 1, "test": 1, "unnamed": 1})
    concepts = [
        {"name": "a", "path": "C:\\training\\anna", "balancing": 2.0, "balancing_strategy": "REPEATS"},
        {"name": "h", "path": str(root / "hats"), "include_subdirectories": True, "balancing": 0.5},
        {"name": "o", "path": "off", "enabled": False},
        {"name": "t", "path": "test", "validation_concept": True},
        {"name": "gone", "path": "/elsewhere/gone"},
    ]
    (root / "concepts.json").write_text(json.dumps(concepts))
    assert used(root) == {"anna": 4, "hats/red": 1}
    events = list[Event]()
    scan_dataset(root, events.append)
    notes = " ".join(event.text for event in events if isinstance(event, Notice))
    for part in ("Concept 'o'", "Concept 't'", "Concept 'gone'", "unnamed (1)"):
        assert part in notes
    concepts[0] |= {"balancing": 6, "balancing_strategy": "SAMPLES"}
    (root / "concepts.json").write_text(json.dumps(concepts))
    assert used(root) == {"anna": 6, "hats/red": 1}  # 6 samples of 2 pictures are three repeats, 3 : 0.5


def test_what_onetrainers_concepts_ask_for_besides_is_named_in_one_sentence(dataset: Callable[[Tree], Path]) -> None:
    root = dataset({"anna": 1, "ben": 1, "off": 1})
    usual = {"image_variations": 1, "loss_weight": 1.0, "type": "STANDARD", "image": {"enable_random_hue": False}}
    concepts: list[dict[str, object]] = [{"path": "anna", **usual}, {"path": "ben", "include_subdirectories": True}]
    (root / "concepts.json").write_text(json.dumps(concepts))
    assert find_parts(root).notes == ()
    concepts[0] |= {"loss_weight": 0.5, "image": {"enable_crop_jitter": True, "random_hue_max_strength": 0.3}}
    concepts[1] |= {"text": {"prompt_source": "concept", "enable_tag_shuffling": True, "\ud800": True}, "image": 3}
    concepts.append({"path": "off", "enabled": False, "image": {"enable_fixed_flip": True}})  # it is not used at all
    (root / "concepts.json").write_text(json.dumps(concepts))
    (note,) = (note for note in find_parts(root).notes if "Concept" not in note)
    assert note == (
        "Not taken from concepts.json: loss_weight, enable_crop_jitter, prompt_source, enable_tag_shuffling."
        " Set the like of it in the Train tab."
    )


@pytest.mark.parametrize("content", ["", "{}", "[1, 2]", '[{"path": 3}]', "[" * 5000])
def test_a_concepts_file_that_is_none_changes_nothing(dataset: Callable[[Tree], Path], content: str) -> None:
    root = dataset({"": 1, "2_ben": 1})
    (root / "concepts.json").write_text(content)
    assert used(root) == {"": 1, "2_ben": 2}


@pytest.mark.parametrize("name", ["x" * 300, "\ud800", "../" * 400 + "etc", "a\0b", "/etc"])
def test_no_name_in_a_concepts_file_stops_the_dataset_or_leads_out(dataset: Callable[[Tree], Path], name: str) -> None:
    root = dataset({"anna": 1})
    (root / "concepts.json").write_text(json.dumps([{"path": "anna"}, {"path": name}]))
    found = find_parts(root)
    assert [part.name for part in found.used] == ["anna"]
    assert len(found.notes) == 1 and len(found.notes[0].encode()) < 200


def test_pictures_of_one_name_in_two_folders_are_two_photos(dataset: Callable[[Tree], Path]) -> None:
    root = dataset({"1_anna": 2, "1_ben": 2})
    examples, plan = plan_training(scan_dataset(root), TrainSettings(held_out=1, steps=3))
    assert plan.images == 3 and [example.folder for example in examples] == ["1_anna", "1_ben", "1_ben", "1_anna"]


def test_the_captions_tab_shows_what_a_part_is_trained_with(dataset: Callable[[Tree], Path]) -> None:
    root = dataset({"10_anna woman": 3, "2024_trip": 1})
    part = root / "10_anna woman"
    (part / "IMG_2.png").rename(part / "00000-0-a man.png")  # named by Preprocess, which keeps the words
    (root / "metadata.jsonl").write_text(
        '{"file_name": "10_anna woman/IMG_1.png", "text": "a hat"}\n{"file_name": "x"}'
    )
    wanted = {"00000-0-a man.png": "a man", "IMG_0.png": "anna woman", "IMG_1.png": "a hat"}
    assert {each.picture.name: each.caption for each in read_captions(part)} == wanted
    assert {each.path.name: each.caption for each in scan_dataset(part)} == wanted
    assert {each.path.name: each.caption for each in scan_dataset(root)} == wanted
    assert caption_notes(CaptionFiles.of(part)) == ["metadata.jsonl: 1 caption is read from it."]
    assert read_captions(root / "2024_trip")[0].caption == "IMG_0" and not caption_notes(
        CaptionFiles.of(root / "2024_trip")
    )
