"""Presets of one's own stay in the workspace, whatever their names."""

from __future__ import annotations

import json

import pytest

from ti_core.errors import UserError
from ti_core.settings import TrainSettings
from ti_core.training.own_presets import STAYS, delete_own, folder_of, list_own, load_own, save_own
from ti_core.training.presets import GUIDE
from ti_core.workspace import Workspace

FORM = TrainSettings(embedding="anna", dataset_directory="datasets/anna", steps=300, batch_size=3)


def test_a_preset_keeps_the_form_but_not_what_is_trained(workspace: Workspace) -> None:
    assert save_own(" My recipe ", FORM, workspace) == "My recipe" and list_own(workspace) == ["My recipe"]
    _, given = load_own("My recipe", workspace)
    assert (given["steps"], given["batch_size"]) == (300, 3) and not set(given) & set(STAYS)
    delete_own("My recipe", workspace)
    assert list_own(workspace) == [] and list(folder_of(workspace).iterdir()) == []


def test_only_the_chosen_preset_is_replaced(workspace: Workspace) -> None:
    save_own("mine", FORM, workspace)
    with pytest.raises(UserError, match="'mine' exists already"):
        save_own("Mine", TrainSettings(), workspace)
    assert save_own("Mine", TrainSettings(steps=7), workspace, chosen="mine") == "mine"
    assert load_own("mine", workspace)[1]["steps"] == 7


@pytest.mark.parametrize("name", ["../evil", "a/b", "con\\x", "..", ".hidden", "x" * 300])
def test_no_name_leads_out_of_the_folder(workspace: Workspace, name: str) -> None:
    try:
        saved = save_own(name, FORM, workspace)
    except UserError:
        saved = ""
    assert list_own(workspace) == ([saved] if saved else [])
    for act in (load_own, delete_own):
        with pytest.raises(UserError, match="no preset of your own"):
            act("../../evil", workspace)


def test_an_empty_name_and_those_of_the_program_are_refused(workspace: Workspace) -> None:
    for name, said in ((" ", "empty"), (GUIDE.lower(), "preset of the program")):
        with pytest.raises(UserError, match=said):
            save_own(name, FORM, workspace)


def test_a_damaged_preset_says_which_it_is(workspace: Workspace) -> None:
    folder_of(workspace).mkdir(parents=True)
    (folder_of(workspace) / "bad.json").write_text("{")
    (folder_of(workspace) / "newer.json").write_text(json.dumps({"form": "train", "settings": {"steps": 5, "new": 1}}))
    with pytest.raises(UserError, match="Preset 'bad' cannot be used"):
        load_own("bad", workspace)
    kept, given = load_own("newer", workspace)
    assert given == {"steps": 5} and "new" in " ".join(kept.sentences())
