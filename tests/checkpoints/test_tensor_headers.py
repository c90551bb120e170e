"""Headers say what torch and safetensors would load, and nothing in a file is run or believed."""

from __future__ import annotations

import contextlib
import io
import os
import random
import struct
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ti_core.checkpoints.pickles import stand_ins
from ti_core.checkpoints.tensor_headers import TensorHeader, read_header
from ti_core.errors import UserError

TENSORS = {
    "a.weight": torch.zeros(3, 4, dtype=torch.float16),
    "a.bias": torch.zeros(3, dtype=torch.bfloat16),
    "b": torch.zeros(2, 1, 2),
    "c": torch.zeros(1, dtype=torch.float64),
    "steps": torch.tensor(7),
    "small": torch.zeros(2, 2).to(torch.float8_e4m3fn),
}
DTYPES = {"a.weight": "F16", "a.bias": "BF16", "b": "F32", "c": "F64", "steps": "I64", "small": "F8_E4M3"}
SAVERS: dict[str, Callable[[dict[str, Any], Path], object]] = {
    "safetensors": lambda tensors, path: save_file(tensors, path, {"modelspec.title": "x"}),
    "zip": torch.save,
    "stream": lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False),
}


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("form", SAVERS)
def test_names_shapes_and_formats_are_those_of_the_tensors(tmp_path: Path, form: str) -> None:
    SAVERS[form](TENSORS, tmp_path / "file")
    header = read_header(tmp_path / "file")
    assert header.shapes == {name: tuple(tensor.shape) for name, tensor in TENSORS.items()}
    assert header.dtypes == DTYPES
    assert (header.trainer_classes, header.foreign_classes) == ((), ())
    assert header.metadata == ({"modelspec.title": "x"} if form == "safetensors" else {})


@pytest.mark.parametrize("form", ["zip", "stream"])
def test_the_state_dict_of_a_trainer_is_read_and_its_bookkeeping_told_apart_from_foreign_code(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    callback = type("ModelCheckpoint", (), {"__module__": module.__name__})
    module.ModelCheckpoint = callback  # type: ignore[attr-defined]
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks", module.__name__):
        monkeypatch.setitem(sys.modules, name, module)
    content = {
        "state_dict": {"w": torch.nn.Parameter(torch.zeros(2, 2))},
        "global_step": 875000,
        "callbacks": {callback: {"best": callback()}},
    }
    SAVERS[form](content, tmp_path / "file")
    header = read_header(tmp_path / "file")
    assert (header.shapes, header.dtypes, header.metadata) == ({"w": (2, 2)}, {"w": "F32"}, {"global_step": "875000"})
    assert header.trainer_classes == ("pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",)
    assert header.foreign_classes == ()
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks", module.__name__):
        monkeypatch.delitem(sys.modules, name)
    with torch.serialization.safe_globals(stand_ins(header.trainer_classes)):
        assert torch.load(tmp_path / "file", weights_only=True)["state_dict"]["w"].shape == (2, 2)


@pytest.mark.parametrize("form", ["zip", "stream"])
def test_code_in_a_file_is_named_and_never_run(tmp_path: Path, form: str) -> None:
    SAVERS[form]({"state_dict": {"w": torch.zeros(2)}, "extra": Malicious(tmp_path / "harmed")}, tmp_path / "file")
    header = read_header(tmp_path / "file")
    assert header.foreign_classes == (f"{os.system.__module__}.system",)
    assert header.shapes == {"w": (2,)}
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("form", SAVERS)
def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, form: str) -> None:
    SAVERS[form](TENSORS, tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    for length in {100, len(whole) // 2, len(whole) - 3}:
        (tmp_path / "file").write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"'file' is (cut off|damaged)"):
            read_header(tmp_path / "file")


def zipped(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return stream.getvalue()


HEADER = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html>Log in", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "git's pointer"),
        (b"Just some text, longer than a few bytes.", "neither a safetensors file nor one of torch"),
        (struct.pack("<Q", len(HEADER)) + HEADER + bytes(4), "cut off: it has 66 bytes of 70"),
        (struct.pack("<Q", 999) + HEADER, "cut off: it has 62 bytes of 1,007"),
        (struct.pack("<Q", len(HEADER)) + HEADER + bytes(9), "damaged"),
        (struct.pack("<Q", 20) + b'{"w":{"dtype":"F32"}' + bytes(8), "damaged"),
        (struct.pack("<Q", 10) + b'{"w":[1,2]' + bytes(8), "damaged"),
        (zipped(photo=b"x"), "without a model of torch"),
        (zipped(a__data__pkl=b"x").replace(b"a/data/pkl", b"a/data.pkl"), "damaged"),
        (zipped(a__data__pkl=b"\x80\x02}r\xff\xff\xff\xff(.").replace(b"a/data/pkl", b"a/data.pkl"), "damaged"),
    ],
)
def test_each_damage_has_its_own_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(UserError, match=sentence) as error:
        read_header(tmp_path / "file")
    assert "'file'" in error.value.problem and error.value.hint


def test_a_zip_whose_numbers_are_missing_is_damaged(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "whole")
    with zipfile.ZipFile(tmp_path / "whole") as whole, zipfile.ZipFile(tmp_path / "file", "w") as less:
        for name in whole.namelist():
            if not name.endswith("/data/0"):
                less.writestr(name, whole.read(name))
    with pytest.raises(UserError, match="damaged"):
        read_header(tmp_path / "file")


def test_a_list_that_holds_itself_ends(tmp_path: Path) -> None:
    circle: list[Any] = [torch.zeros(2)]
    circle.append(circle)
    torch.save({"state_dict": {"circle": circle}}, tmp_path / "file")
    assert read_header(tmp_path / "file").shapes == {"circle.0": (2,)}


@pytest.mark.parametrize("form", SAVERS)
def test_whatever_bytes_are_wrong_it_is_a_sentence_or_a_header(tmp_path: Path, form: str) -> None:
    SAVERS[form]({"w": torch.zeros(2), "x": torch.zeros(3)}, tmp_path / "whole")
    whole, rng = (tmp_path / "whole").read_bytes(), random.Random(0)
    for _ in range(200):
        bytes_ = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            bytes_[rng.randrange(min(len(bytes_), 900))] = rng.randrange(256)
        (tmp_path / "file").write_bytes(bytes_)
        with contextlib.suppress(UserError):
            assert isinstance(read_header(tmp_path / "file"), TensorHeader)
