"""Files of torch.save, old and new, and such as want to run code."""

from __future__ import annotations

import os
import pickle
import threading
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from ti_core.embeddings.torch_file import MAX_FILE_BYTES, load_torch_file
from ti_core.errors import UserError

ROWS = torch.randn(2, 768, generator=torch.Generator().manual_seed(0))


class Harm:
    """Makes a file when it is unpickled by a reader that trusts it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.system, (f"touch {self.mark}",))


@pytest.mark.parametrize(
    ("params", "zipped"),
    [
        ({"*": ROWS}, True),
        ({"*": ROWS}, False),
        ({"*": nn.Parameter(ROWS)}, True),
        ({"*": nn.Parameter(ROWS)}, False),
        ({"<anna>": ROWS.half()}, False),
        (nn.ParameterDict({"*": nn.Parameter(ROWS)}), True),
    ],
)
def test_every_torch_kind_of_parameters_is_read(tmp_path: Path, params: object, zipped: bool) -> None:
    torch.save(
        {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": params},
        tmp_path / "a.pt",
        _use_new_zipfile_serialization=zipped,
    )
    (found,) = load_torch_file(tmp_path / "a.pt")["string_to_param"].values()
    assert torch.allclose(found.detach().float(), ROWS, atol=2e-3)


def test_two_threads_may_read_old_files_at_once(tmp_path: Path) -> None:
    torch.save({"string_to_param": nn.ParameterDict({"*": nn.Parameter(ROWS)})}, tmp_path / "a.pt")
    failures: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(5):
                load_torch_file(tmp_path / "a.pt")
        except UserError as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
def test_a_file_that_wants_to_run_a_program_is_refused_and_named_and_nothing_runs(tmp_path: Path, zipped: bool) -> None:
    mark = tmp_path / "mark"
    torch.save(
        {"string_to_param": {"*": ROWS}, "name": Harm(mark)},
        tmp_path / "evil.pt",
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.raises(UserError, match=r"'evil\.pt' .* asks to run code of Python \('\w+\.system'\)"):
        load_torch_file(tmp_path / "evil.pt")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Harm(mark), protocol=2))
    with pytest.raises(UserError, match=r"'bare\.pt'"):
        load_torch_file(tmp_path / "bare.pt")
    assert not mark.exists()


def test_a_small_file_that_unpacks_to_far_too_much_is_refused_at_once(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(MAX_FILE_BYTES + 1))
    with pytest.raises(UserError, match=r"'bomb\.pt' is larger than any embedding"):
        load_torch_file(tmp_path / "bomb.pt")


def test_an_empty_a_missing_and_a_half_file_say_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save({"string_to_param": {"*": ROWS}}, tmp_path / "half.pt")
    (tmp_path / "half.pt").write_bytes((tmp_path / "half.pt").read_bytes()[:2000])
    for name, reason in (("empty", "is empty"), ("gone", "does not exist"), ("half", "is damaged")):
        with pytest.raises(UserError, match=rf"'{name}\.pt' .*{reason}"):
            load_torch_file(tmp_path / f"{name}.pt")
