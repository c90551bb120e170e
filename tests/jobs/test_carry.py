"""A workspace that is carried to a node and back; nothing of Ray is needed for it."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.training.test_loop import anna, settings_for, train
from ti_core.errors import UserError
from ti_core.events import EmbeddingSaved, Started
from ti_core.jobs.cluster.carrier import Carrier, pieces_of
from ti_core.jobs.cluster.carry import Carried
from ti_core.settings import ResumeSettings
from ti_core.workspace import REPOSITORY, Workspace


def carry_out(carrier: Carrier, node: Carried, values: dict[str, Any]) -> tuple[Workspace, int]:
    """The workspace that the job gets on the node, and how many files travelled."""
    files = carrier.files(values)
    paths = {digest: path for (_, digest, _), path in files.items()}
    missing = node.missing(list(files))
    for digest in missing:
        for offset, data in pieces_of(paths[digest]):
            node.put(digest, offset, data)
    return Workspace.from_dict(carrier.for_node(str(node.lay_out(list(files))))), len(missing)


def carry_back(carrier: Carrier, node: Carried) -> list[str]:
    names = []
    while pieces := node.results():
        for piece in pieces:
            names.append(piece["path"])
            carrier.take(piece)
    return names


def test_a_training_is_done_there_and_all_of_it_comes_back(workspace: Workspace, anna: Path, tmp_path: Path) -> None:
    carrier, node = Carrier(workspace), Carried(tmp_path / "node", str(workspace.root))
    there, _ = carry_out(carrier, node, settings_for().to_dict())
    assert there.root.is_relative_to(tmp_path / "node")
    events = train(there)
    names = carry_back(carrier, node)
    assert names[-1].endswith("state.safetensors"), "a state comes after what it counts"
    assert not [name for name in names if name.startswith(("datasets", "models", ".cache"))]
    run = Path(events.of(Started)[0].folder)
    for event in events.of(EmbeddingSaved):
        here = Path(json.loads(node.as_there(event.to_json()))["path"])
        assert here.is_relative_to(workspace.root) and here.read_bytes() == Path(event.path).read_bytes()
    for file in run.rglob("*"):
        if file.is_file():
            assert (workspace.root / file.relative_to(there.root)).read_bytes() == file.read_bytes()
    assert carry_back(carrier, node) == []


def test_nothing_travels_twice_and_what_grows_travels_by_its_end(
    workspace: Workspace, anna: Path, tmp_path: Path
) -> None:
    carrier, node = Carrier(workspace), Carried(tmp_path / "node", str(workspace.root))
    there, first = carry_out(carrier, node, settings_for().to_dict())
    assert first > 8
    table = there.root / "textual_inversion" / "run" / "table.csv"
    table.parent.mkdir(parents=True)
    table.write_text("step,loss\n")
    carry_back(carrier, node)
    with table.open("a") as file:
        file.write("1,0.5\n")
    (piece,) = node.results()
    assert (piece["offset"], piece["data"]) == (10, b"1,0.5\n")
    carrier.take(piece)
    here = workspace.root / "textual_inversion" / "run" / "table.csv"
    assert here.read_text() == "step,loss\n1,0.5\n"
    table.write_text("step,loss\n")  # cut back, as a run that is resumed does
    carry_back(carrier, node)
    assert here.read_text() == "step,loss\n"
    other = Carried(tmp_path / "node", str(workspace.root))
    assert carry_out(carrier, other, settings_for().to_dict())[1] == 0


def test_a_run_goes_on_on_another_node(workspace: Workspace, anna: Path, tmp_path: Path) -> None:
    carrier, first = Carrier(workspace), Carried(tmp_path / "one", str(workspace.root))
    there, _ = carry_out(carrier, first, settings_for().to_dict())
    run = Path(train(there, steps=2).of(Started)[0].folder).relative_to(there.root).as_posix()
    carry_back(carrier, first)
    second = Carried(tmp_path / "two", str(workspace.root))
    elsewhere, _ = carry_out(carrier, second, ResumeSettings(run).to_dict())
    assert (elsewhere.root / run / "state.safetensors").is_file()
    assert len(list((elsewhere.root / "datasets" / "anna").iterdir())) == 8


def test_a_full_disk_on_the_node_is_a_sentence(
    workspace: Workspace, anna: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    carrier, node = Carrier(workspace), Carried(tmp_path / "node", str(workspace.root))
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(UserError, match=r"on the node.*the disk is full. Make room there, or set TI_CLUSTER_CACHE"):
        carry_out(carrier, node, settings_for().to_dict())


@pytest.mark.parametrize(
    "path",
    ["../out.pt", "/etc/passwd", "jobs/x.json", "models/a.ckpt", "C:/x", "", "datasets\\..\\..\\x", ".git/hooks/x"],
)
def test_a_node_cannot_write_elsewhere(workspace: Workspace, path: str) -> None:
    with pytest.raises(UserError, match="no place of a result"):
        Carrier(workspace).take({"path": path, "offset": 0, "data": b"", "ends": True})


@pytest.mark.parametrize("path", ["app.py", "ti_core/x.py", "tools/x.py"])
def test_a_node_cannot_change_the_program_that_lies_in_the_workspace(path: str) -> None:
    with pytest.raises(UserError, match="no place of a result"):
        Carrier(Workspace(REPOSITORY))._place_of(path)


def test_what_lies_outside_the_workspace_is_not_carried(
    workspace: Workspace, anna: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    with pytest.raises(UserError, match="lies outside the workspace"):
        Carrier(workspace).files(settings_for(dataset_directory=str(outside)).to_dict())


def test_another_content_than_promised_is_refused(tmp_path: Path) -> None:
    node = Carried(tmp_path, "/there")
    node.missing([("a.txt", "0" * 64, 3)])
    node.put("0" * 64, 0, b"abc")
    with pytest.raises(UserError, match="changed while it was carried"):
        node.put("0" * 64, 3, b"")
