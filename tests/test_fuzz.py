"""Whatever bytes and texts come from outside: one clear sentence or a result, no crash, no hang, and never code
that runs.

The default run tries a few hundred cases, `-m slow` ten thousand.
"""

from __future__ import annotations

import builtins
import io
import json
import os
import pickle
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from safetensors.torch import save_file

from tests.data.test_captions import read_caption
from ti_core.data.images import open_rgb, open_rgb_and_alpha
from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.formats import load_embedding, load_embeddings, save_embedding
from ti_core.errors import UserError
from ti_core.runs.folder import RunFolder, saved_facts
from ti_core.settings import CreateSettings, PreprocessSettings, ResumeSettings, TrainSettings, Txt2ImgSettings
from ti_core.settings.prompts import load_template
from ti_core.settings.schedule import parse_schedule
from ti_core.training.run_state import load_run_state
from ti_core.workspace import Workspace, clean_name

HANG_S = 2.0
"""Of the processor's time, so that a busy machine does not count as a hang."""
FORBIDDEN = {"os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect", "shutil.rmtree"}
_caught: list[str] = []
_watching = [False]


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching[0] and event in FORBIDDEN:
        _caught.append(event)


sys.addaudithook(_watch)


def survives(call: Callable[[], object]) -> None:
    """The call ends in time, with a result or a UserError, and does nothing that a program inside a file would want."""
    _caught.clear()
    _watching[0] = True
    began = time.process_time()
    try:
        call()
    except UserError as error:
        assert str(error).strip()
    finally:
        _watching[0] = False
    assert not _caught
    assert time.process_time() - began < HANG_S


# ---- seeds: good files, from which bytes are then cut, changed and doubled


def _saved(write: Callable[[Path], object], name: str, folder: Path) -> bytes:
    path = folder / name
    write(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[str, bytes]]]:
    folder = tmp_path_factory.mktemp("seeds")
    embedding = Embedding("anna", {"clip_l": torch.randn(2, 768)}, 7, "abcdef0123", "model")
    picture = Image.effect_noise((24, 20), 60).convert("RGB")
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("parameters", "a, b", zip=True)
    old = io.BytesIO()
    torch.save({"string_to_param": {"*": torch.zeros(1, 32)}, "name": "x"}, old, _use_new_zipfile_serialization=False)
    small = Embedding("x", {"clip_l": torch.zeros(1, 4)})
    state = {
        "vectors.clip_l": torch.zeros(1, 4),
        "optimizer.0.step": torch.tensor(1.0),
        "optimizer.0.exp_avg": torch.zeros(1, 4),
    }
    facts = {
        "step": "3",
        "name": "x",
        "suffix": ".pt",
        "settings": "{}",
        "refusals": "0",
        "checkpoint_hash": "",
        "pictures": "[]",
    }
    images = [
        (f"a.{kind}", _saved(lambda path: picture.save(path), f"a.{kind}", folder))
        for kind in ("jpg", "png", "gif", "bmp", "tiff", "webp", "tga", "ppm")
    ]
    return {
        "embedding": (
            [
                (f"a{s}", _saved(lambda path: save_embedding(path, embedding), f"a{s}", folder))
                for s in (".pt", ".safetensors", ".png")
            ]
            + [
                ("small.pt", _saved(lambda path: save_embedding(path, small), "small.pt", folder)),
                ("old.bin", old.getvalue()),
            ]
        ),
        "picture": [*images, ("text.png", _saved(lambda path: picture.save(path, pnginfo=chunks), "text.png", folder))],
        "state": [
            (
                "state.safetensors",
                _saved(lambda path: save_file(state, path, metadata=facts), "state.safetensors", folder),
            )
        ],
        "text": [
            ("a.txt", b"a photo of [name], [filewords]\nein Bild\n"),
            ("b.txt", b"\xff\xfe[\x00n\x00"),
            ("c.txt", b"\xef\xbb\xbf[name]"),
        ],
    }


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "drop", "put", "double"]),
        st.floats(0, 1, exclude_max=True),
        st.binary(min_size=1, max_size=12),
    ),
    max_size=5,
)


def edited(data: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    for kind, where, piece in edits:
        at = int(where * max(1, len(data)))
        match kind:
            case "flip":
                data = data[:at] + piece + data[at + len(piece) :]
            case "cut":
                data = data[:at]
            case "drop":
                data = data[:at] + data[at + len(piece) :]
            case "put":
                data = data[:at] + piece + data[at:]
            case "double":
                data = data[:at] + data[at:] + data[at : at + 4096]
    return data


def read_state(path: Path) -> None:
    folder = RunFolder(path.parent, "x")
    path.replace(folder.state)
    saved_facts(folder.root)
    load_run_state(folder)


FILES: dict[str, tuple[str, list[Callable[[Path], object]]]] = {
    "embedding": ("embedding", [load_embeddings, load_embedding]),
    "embedding under another name": ("embedding", [load_embeddings]),
    "picture": ("picture", [open_rgb, open_rgb_and_alpha]),
    "picture as embedding": ("picture", [load_embeddings]),
    "state of a run": ("state", [read_state]),
    "caption": ("text", [read_caption]),
    "template": ("text", [load_template]),
}
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(["1e999", "nan", "0.05:10", "..", "\x00", "[name]"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
SETTINGS = (CreateSettings, PreprocessSettings, TrainSettings, Txt2ImgSettings, ResumeSettings)
SCHEDULES = (
    st.text(max_size=60)
    | st.text(alphabet="0123456789.:,e-+ ", max_size=40)
    | st.lists(st.sampled_from(["0.1", ":", ",", "10", "1e400", "-1", "nan", " "]), max_size=30).map("".join)
)


def fuzz_file(target: str, seeds: dict[str, list[tuple[str, bytes]]], folder: Path, cases: int) -> None:
    kind, readers = FILES[target]
    names = (
        st.sampled_from([".pt", ".bin", ".safetensors", ".png", ".webp", ".txt", ""])
        if "another" in target
        else st.none()
    )

    @settings(max_examples=cases, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.sampled_from(seeds[kind]), EDITS, names, st.sampled_from(readers))
    def one(
        seed: tuple[str, bytes],
        edits: list[tuple[str, float, bytes]],
        suffix: str | None,
        reader: Callable[[Path], object],
    ) -> None:
        path = folder / (seed[0] if suffix is None else f"a{suffix}")
        path.write_bytes(edited(seed[1], edits))
        survives(lambda: reader(path))

    one()


def fuzz_values(target: str, folder: Path, cases: int) -> None:
    workspaces = [Workspace(folder), Workspace(folder, confined=True)]

    @settings(max_examples=cases, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.data())
    def one(data: st.DataObject) -> None:
        match target:
            case "settings":
                what = data.draw(st.sampled_from(SETTINGS))
                values = data.draw(
                    st.dictionaries(st.sampled_from([*what.options(), "nonsense"]), ANYTHING, max_size=8)
                )
                survives(lambda: what.from_dict(values).check())
                survives(lambda: json.dumps(what.from_dict(values).to_dict(), allow_nan=True))
            case "schedule":
                text = data.draw(SCHEDULES)
                survives(lambda: parse_schedule(text).rate_at(5))
            case "path":
                text, workspace = (
                    data.draw(
                        st.text(max_size=80) | st.sampled_from(["../" * 50, "/" * 300, "a" * 300, "~" * 9, "C:" * 9])
                    ),
                    data.draw(st.sampled_from(workspaces)),
                )
                survives(lambda: workspace.folder(text, "Folder"))
                survives(lambda: clean_name(text))

    one()


VALUES = ("settings", "schedule", "path")


@pytest.mark.parametrize("target", FILES)
def test_a_damaged_file_is_one_sentence(target: str, seeds: dict[str, list[tuple[str, bytes]]], tmp_path: Path) -> None:
    fuzz_file(target, seeds, tmp_path, 40)


@pytest.mark.parametrize("target", VALUES)
def test_odd_values_are_one_sentence(target: str, tmp_path: Path) -> None:
    fuzz_values(target, tmp_path, 60)


@pytest.mark.slow
@pytest.mark.parametrize("target", [*FILES, *VALUES])
def test_ten_thousand_cases(target: str, seeds: dict[str, list[tuple[str, bytes]]], tmp_path: Path) -> None:
    if target in FILES:
        fuzz_file(target, seeds, tmp_path, 1000)
    else:
        fuzz_values(target, tmp_path, 1000)


# ---- pickles that want to run code


class Calls:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.arguments


def zipped(members: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target.getvalue()


def bad_pickles(marker: Path) -> dict[str, bytes]:
    command = f"touch {marker}"
    programs = {
        "system": Calls(os.system, command),
        "eval": Calls(eval, f"open({str(marker)!r}, 'w')"),
        "exec": Calls(exec, f"open({str(marker)!r}, 'w')"),
        "open": Calls(builtins.open, str(marker), "w"),
        "getattr": Calls(getattr, Calls(__import__, "os"), "system"),
        "chain": Calls(map, Calls(getattr, Calls(__import__, "os"), "system"), [command]),
        "import": Calls(__import__, "os"),
        "popen": Calls(os.popen, command),
    }
    found = {}
    for name, program in programs.items():
        for content in (
            program,
            {"string_to_param": {"*": program}},
            {"string_to_param": {"*": torch.zeros(1, 4)}, "name": program},
        ):
            data = pickle.dumps(content, protocol=2)
            for label, file in (
                ("plain", data),
                ("zip", zipped({"archive/data.pkl": data, "archive/version": b"3\n"})),
                ("nested", zipped({"archive/data.pkl": zipped({"data.pkl": data}), "archive/version": b"3\n"})),
            ):
                found[f"{name} {label} {len(found)}"] = file
    found["opcodes"] = b"cos\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR."
    found["zip bomb"] = zipped({"archive/data.pkl": b"\x80\x02}." + b"\0" * 200_000_000, "archive/version": b"3\n"})
    found["deep"] = b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."
    found["memo"] = b"\x80\x02" + b"r\xff\xff\xff\xff" * 10 + b"."
    found["long"] = b"\x80\x02\x8b\xff\xff\xff\x7f."
    return found


def test_known_bad_pickles_are_refused_and_run_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "it-ran"
    files = bad_pickles(marker)
    assert len(files) > 50
    for number, (what, data) in enumerate(files.items()):
        for suffix in (".pt", ".bin", ".safetensors", ".png"):
            path = tmp_path / f"bad{number}{suffix}"
            path.write_bytes(data)
            _caught.clear()
            _watching[0] = True
            began = time.process_time()
            try:
                with pytest.raises(UserError):
                    load_embeddings(path)
            finally:
                _watching[0] = False
            assert not _caught and not marker.exists(), what
            assert time.process_time() - began < HANG_S, what
            path.unlink()
