"""Real faces found by the detectors at hand, and no waiting where there is no network."""

from __future__ import annotations

import hashlib
import shutil
import socket
import threading
import time
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

from tests.data.conftest import ASTRONAUT, TINY_YUNET
from ti_core.data import face_model, faces
from ti_core.data.blazeface import merged
from ti_core.data.face_model import YUNET_FILE
from ti_core.data.faces import load_face_finder
from ti_core.data.images import find_images, open_rgb
from ti_core.errors import UserError
from ti_core.events import Event, Finished
from ti_core.workspace import SAMPLE_PHOTOS, Workspace


def finder(root: Path, events: list[Event] | None = None) -> faces.FindFaces:
    return load_face_finder(Workspace(root), (events if events is not None else []).append)


def test_one_real_face_is_found_at_its_place(tmp_path: Path) -> None:
    (face,) = finder(tmp_path)(open_rgb(ASTRONAUT))
    assert face == pytest.approx((133, 47, 73, 91), abs=10)


def test_two_faces_are_two(tmp_path: Path) -> None:
    photo = open_rgb(ASTRONAUT)
    pair = Image.new("RGB", (2 * photo.width, photo.height))
    pair.paste(photo, (0, 0))
    pair.paste(photo, (photo.width, 0))
    found = sorted(finder(tmp_path)(pair))
    assert [round(left) for left, *_ in found] == pytest.approx([132, 516], abs=12)


def test_in_a_large_photo_the_face_has_its_true_place(tmp_path: Path) -> None:
    photo = open_rgb(ASTRONAUT)
    (face,) = finder(tmp_path)(photo.resize((photo.width * 5, photo.height * 5)))
    assert [value / 5 for value in face] == pytest.approx((133, 47, 73, 91), abs=10)


def test_where_there_is_no_face_none_is_found(tmp_path: Path) -> None:
    assert finder(tmp_path)(Image.new("RGB", (200, 100), (90, 120, 40))) == []


def test_without_yunet_the_shipped_one_looks_and_nothing_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face_model, "fetch_within", lambda *given: pytest.fail("it asked the network"))
    events: list[Event] = []
    assert len(finder(tmp_path, events)(open_rgb(ASTRONAUT))) == 1 and events == []


@pytest.mark.parametrize("degrees", [-30, 30])
@pytest.mark.parametrize("light", [1.0, 0.12])
def test_a_face_that_is_turned_or_in_the_dark_is_found(tmp_path: Path, degrees: int, light: float) -> None:
    photo = ImageEnhance.Brightness(open_rgb(ASTRONAUT)).enhance(light)
    middle = (167, 85)
    (face,) = finder(tmp_path)(photo.rotate(degrees, center=middle))
    assert abs(face[0] + face[2] / 2 - middle[0]) < 15 and abs(face[1] + face[3] / 2 - middle[1]) < 20


def test_boxes_of_one_face_become_one_and_others_stay() -> None:
    one, same, other = (10.0, 10.0, 40.0, 40.0), (14.0, 10.0, 40.0, 40.0), (100.0, 10.0, 20.0, 20.0)
    found = merged([(one, 0.9), (other, 0.7), (same, 0.3)])
    assert found == [(pytest.approx((11, 10, 40, 40)), 0.9), (pytest.approx(other), 0.7)]


def test_the_file_is_fetched_when_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_model, "YUNET_URL", TINY_YUNET.as_uri())
    monkeypatch.setattr(face_model, "YUNET_SHA256", hashlib.sha256(TINY_YUNET.read_bytes()).hexdigest())
    events: list[Event] = []
    file = face_model.fetch_face_finder(Workspace(tmp_path), events.append, threading.Event())
    assert file == tmp_path / "models" / "opencv" / YUNET_FILE and file.read_bytes() == TINY_YUNET.read_bytes()
    assert isinstance(events[-1], Finished) and "models/opencv" in events[-1].text


def test_a_network_that_never_answers_is_waited_for_no_longer_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(face_model, "YUNET_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/yunet.onnx")
        monkeypatch.setattr(face_model, "FETCH_TIMEOUT_S", 0.3)
        begin = time.monotonic()
        with pytest.raises(UserError, match="does not answer"):
            face_model.fetch_face_finder(Workspace(tmp_path), lambda event: None, threading.Event())
        assert time.monotonic() - begin < 60


def test_a_download_of_something_else_is_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page.html").write_text("please log in to the hotel network")
    monkeypatch.setattr(face_model, "YUNET_URL", (tmp_path / "page.html").as_uri())
    with pytest.raises(UserError, match="thrown away"):
        face_model.fetch_face_finder(Workspace(tmp_path), lambda event: None, threading.Event())
    assert not (tmp_path / "models").exists()


def test_yunet_is_used_where_its_file_is_and_gets_its_colours_in_its_order(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "opencv"
    folder.mkdir(parents=True)
    shutil.copyfile(TINY_YUNET, folder / YUNET_FILE)
    events: list[Event] = []
    find = finder(tmp_path, events)
    image = Image.new("RGB", (200, 100))
    image.paste((0, 0, 255), (64, 32, 96, 64))
    image.paste((255, 0, 0), (128, 32, 160, 64))
    assert find(image) == [pytest.approx((80 - 24, 48 - 48, 48, 96), abs=0.1)]
    assert find(Image.new("RGB", (300, 200))) == []
    assert events == []


def test_a_broken_yunet_file_is_named_and_another_looks(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "opencv"
    folder.mkdir(parents=True)
    (folder / YUNET_FILE).write_bytes(b"not a model")
    events: list[Event] = []
    find = finder(tmp_path, events)
    assert f"models/opencv/{YUNET_FILE} is not the face detector" in events[0].text  # type: ignore[attr-defined]
    assert len(find(open_rgb(ASTRONAUT))) == 1
