"""Names, shapes and number formats of the tensors in a file of weights, without loading one and without running
anything in the file (pickles.py).
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn

from ti_core.checkpoints.pickles import BROKEN, LimitedReader, PickleReader, tensors_in
from ti_core.errors import UserError
from ti_core.files import reason

MAX_HEADER_BYTES = 8 * 2**20
"""The header of SDXL is 0.3 MB, a LoRA's with its trainer's notes 2 MB, and the pickle of the largest checkpoint,
with a trainer's state, 3 MB. What Python makes of one takes up to a hundred times as much memory.
"""
LOAD_ANEW = "Delete it and download it again; compare the size with the page that offers it."
_ARTICLES = {"model": "a", "embedding": "an"}
_STREAM_MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
"""The first pickle of a file by torch before 1.6: the number 0x1950a86a20f9469cfc6c."""
_BYTES_OF = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


@dataclass(frozen=True)
class TensorHeader:
    """What a file of weights contains. `shapes` and `dtypes` ("F16", "BF16", "F32" ...) have the same keys, the
    tensors' names in the file; of a .ckpt those inside its `state_dict`.

    `metadata` are the texts beside the tensors: safetensors' `__metadata__`, or the whole numbers and texts at the
    top of a .ckpt. `trainer_classes` and `foreign_classes` are the classes that a pickle asks for beside torch's own:
    bookkeeping of known trainers, which stand-ins can replace, and all others. `code` has all classes and functions
    that it asks for, without torch's number formats and storages.
    """

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    metadata: dict[str, str] = field(default_factory=dict)
    trainer_classes: tuple[str, ...] = ()
    foreign_classes: tuple[str, ...] = ()
    code: tuple[str, ...] = ()


def read_header(path: Path, most_bytes: int = MAX_HEADER_BYTES) -> TensorHeader:
    """The header of a .safetensors, or of torch's .ckpt, .pt and .bin; the first bytes decide, not the suffix.

    Raises UserError for a file that cannot be read, is damaged, or has a header of more than `most_bytes`: parsed, it
    takes up to a hundred times as much memory.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(64)
            file.seek(0)
            if not size:
                raise UserError(f"'{path.name}' is empty (0 bytes).", LOAD_ANEW)
            if start.startswith(b"PK\x03\x04"):
                return _read_zip(path, most_bytes)
            if start.startswith(_STREAM_MAGIC):
                return _read_stream(file, path, size, most_bytes)
            check_is_no_text(path, start)
            return _read_safetensors(file, path, size, most_bytes)
    except FileNotFoundError:
        raise UserError(f"'{path.name}' does not exist in {path.parent}.", "Check the spelling.") from None
    except OSError as error:
        raise UserError(f"'{path.name}' cannot be read: {reason(error)}.", "Check the file and the disk.") from error


def check_is_no_text(path: Path, start: bytes, wanted: str = "model") -> None:
    """Raises UserError for what people have in the place of a file that was `wanted`, by its first bytes: a web page,
    or git's pointer.
    """
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise UserError(
            f"'{path.name}' is a web page that was saved instead of {_ARTICLES[wanted]} {wanted}.",
            "Log in on that page if it asks for it, then download the file again.",
        )
    if text.startswith(b"version https://git-lfs"):
        raise UserError(
            f"'{path.name}' is only git's pointer to the {wanted}, not the {wanted}.",
            "Run 'git lfs pull' there, or download the file itself.",
        )


# ---- the three containers


def _read_safetensors(file: IO[bytes], path: Path, size: int, most_bytes: int) -> TensorHeader:
    """8 bytes with the header's length, a header of JSON, then the numbers (huggingface/safetensors, README, section
    "Format").
    """
    length = int.from_bytes(file.read(8), "little")
    if file.read(1) != b"{" or length > most_bytes:
        raise UserError(
            f"'{path.name}' is neither a safetensors file nor one of torch.",
            "Choose a .safetensors or .ckpt file of a model.",
        )
    if 8 + length > size:
        _cut_off(path, size, 8 + length)
    try:
        entries: dict[str, Any] = json.loads(b"{" + file.read(length - 1))
        metadata = {str(key): str(text) for key, text in (entries.pop("__metadata__", None) or {}).items()}
        shapes = {name: tuple(int(n) for n in entry["shape"]) for name, entry in entries.items()}
        dtypes = {name: str(entry["dtype"]) for name, entry in entries.items()}
        offsets = {
            name: (int(entry["data_offsets"][0]), int(entry["data_offsets"][1])) for name, entry in entries.items()
        }
        wrong_sizes = any(not _fits(shapes[name], dtypes[name], *offsets[name]) for name in entries)
        end = 8 + length + max((last for _, last in offsets.values()), default=0)
    except BROKEN as error:
        _damaged(path, error)
    if end > size:
        _cut_off(path, size, end)
    if end < size or wrong_sizes:
        _damaged(path)
    return TensorHeader(shapes, dtypes, metadata)


def _fits(shape: tuple[int, ...], dtype: str, first: int, last: int) -> bool:
    """Whether a tensor of that shape and number format takes the bytes from `first` to `last`."""
    count = _BYTES_OF.get(dtype)
    return (
        0 <= first <= last
        and min(shape, default=0) >= 0
        and (count is None or math.prod(shape) * count == last - first)
    )


def _read_zip(path: Path, most_bytes: int) -> TensorHeader:
    """torch since 1.6: a zip with `<root>/data.pkl`, and each storage as `<root>/data/<key>`."""
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
            indices = [name for name in sizes if name.lower().endswith("/data.pkl") or name.lower() == "data.pkl"]
            index = next(iter(indices), None)
            if len(indices) > 1:  # torch might read the other one
                _damaged(path)
            if index is None:
                raise UserError(
                    f"'{path.name}' is a zip archive without a model of torch in it.",
                    "Unpack it, and choose the model inside.",
                )
            if sizes[index] > most_bytes:
                _damaged(path)
            reader = PickleReader(io.BytesIO(archive.read(index)))
            content = _load(reader, path)
    except BROKEN as error:
        if "not a zip file" in str(error):  # the list of its members is at its end
            raise UserError(f"'{path.name}' is cut off: the end of the file is missing.", LOAD_ANEW) from error
        _damaged(path, error)
    # Each storage that the pickle names must be in the archive, and large enough.
    root = index.removesuffix("data.pkl")
    for key, dtype, count in reader.storages.values():
        if sizes.get(f"{root}data/{key}", -1) < count * _BYTES_OF.get(dtype, 1):
            _damaged(path)
    return _header(reader, content, path)


def _read_stream(file: IO[bytes], path: Path, size: int, most_bytes: int) -> TensorHeader:
    """torch before 1.6: five pickles (a magic number, a version, the system, the content, the storages' keys), then the
    numbers.
    """
    limited = LimitedReader(file, most_bytes)
    for _ in range(3):  # the magic number, the version and the system
        _load(PickleReader(limited), path)
    reader = PickleReader(limited)
    content = _load(reader, path)
    _load(PickleReader(limited), path)
    end = file.tell() + sum(8 + count * _BYTES_OF.get(dtype, 1) for _, dtype, count in reader.storages.values())
    if end > size:
        _cut_off(path, size, end)
    return _header(reader, content, path)


# ---- pickles


def _load(reader: PickleReader, path: Path) -> Any:
    """The object that a pickle describes, of stand-ins. Raises UserError."""
    try:
        return reader.load()
    except EOFError as error:
        raise UserError(f"'{path.name}' is cut off: the end of the file is missing.", LOAD_ANEW) from error
    except BROKEN as error:
        _damaged(path, error)


def _header(reader: PickleReader, content: Any, path: Path) -> TensorHeader:
    """The header of what `reader` has read; of a checkpoint its `state_dict` counts. Raises UserError."""
    try:
        top = content if isinstance(content, dict) else {"": content}
        inside = top.get("state_dict")
        tensors = dict(tensors_in(inside if isinstance(inside, dict) else top))
        metadata = {str(key): str(value) for key, value in top.items() if isinstance(value, int | str)}
    except BROKEN as error:  # a number of more digits than Python writes
        _damaged(path, error)
    trainer_classes, foreign_classes = reader.classes_beside_torch()
    return TensorHeader(
        {name: tensor.shape for name, tensor in tensors.items()},
        {name: tensor.dtype for name, tensor in tensors.items()},
        metadata,
        trainer_classes,
        foreign_classes,
        reader.code,
    )


# ---- errors


def _cut_off(path: Path, size: int, wanted: int) -> NoReturn:
    raise UserError(f"'{path.name}' is cut off: it has {size:,} bytes of {wanted:,}.", LOAD_ANEW)


def _damaged(path: Path, error: BaseException | None = None) -> NoReturn:
    raise UserError(f"'{path.name}' is damaged: its list of tensors does not fit the file.", LOAD_ANEW) from error
