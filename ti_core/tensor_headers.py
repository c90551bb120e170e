"""Names, shapes and number formats of the tensors in a file of weights, without loading one and without running anything in the file."""

from __future__ import annotations

import io
import json
import pickle
import re
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn

from ti_core.errors import UserError
from ti_core.files import reason

MAX_HEADER_BYTES = 100 * 2**20
"""safetensors' own limit; the pickle of the largest checkpoint, with a trainer's state, is 3 MB."""
MAX_TENSORS = 200_000
LOAD_ANEW = "Delete it and download it again; compare the size with the page that offers it."
_STREAM_MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
"""The first pickle of a file by torch before 1.6: the number 0x1950a86a20f9469cfc6c."""
_BROKEN = (
    pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError,
    OverflowError, MemoryError, RuntimeError, NameError,
)  # fmt: skip
"""What Python's readers raise for bytes that are not what they seem."""
_BYTES_OF = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_SHORT = {
    "Double": "F64", "float64": "F64", "Float": "F32", "float32": "F32", "Half": "F16", "float16": "F16", "BFloat16": "BF16", "bfloat16": "BF16",
    "Long": "I64", "int64": "I64", "Int": "I32", "int32": "I32", "Short": "I16", "int16": "I16", "Char": "I8", "int8": "I8", "Byte": "U8",
    "uint8": "U8", "Bool": "BOOL", "bool": "BOOL", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip
_HARMLESS = re.compile(
    r"(torch\.(\w+Storage|[a-z]+\d\w*|Size|device|storage\.\w+|_tensor\._rebuild\w+|nn\.modules\.container\.ParameterDict)"
    r"|collections\.defaultdict|_codecs\.encode|(builtins|__builtin__)\.(set|dict|list|tuple|int|float|str|bool))"
)
_OF_TRAINERS = re.compile(
    r"(pytorch_lightning|lightning|lightning_fabric|omegaconf)\..*|numpy\.(dtype|ndarray|_?core\.multiarray\.\w+|dtypes\.\w+)|typing\.Any"
)
"""Bookkeeping of a training beside the weights. The first checkpoints of Stable Diffusion have it, and A1111 reads them."""


@dataclass(frozen=True)
class TensorHeader:
    """`shapes` and `dtypes` ("F16", "BF16", "F32" ...) have the same keys, the names in the file; of a .ckpt those inside its `state_dict`.

    `metadata` are the texts beside the tensors (safetensors' `__metadata__`; whole numbers and texts at the top of a .ckpt).
    `trainer_classes` and `foreign_classes` are the classes that a pickle asks for beside torch's own: bookkeeping of known trainers, which a
    stand-in can replace, and all others.
    """

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    metadata: dict[str, str] = field(default_factory=dict)
    trainer_classes: tuple[str, ...] = ()
    foreign_classes: tuple[str, ...] = ()


def read_header(path: Path) -> TensorHeader:
    """The header of a .safetensors, or of torch's .ckpt, .pt and .bin; what the bytes say counts, not the suffix. Raises UserError."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(64)
            file.seek(0)
            if not size:
                raise UserError(f"'{path.name}' is empty (0 bytes).", LOAD_ANEW)
            if start.startswith(b"PK\x03\x04"):
                return _read_zip(path)
            if start.startswith(_STREAM_MAGIC):
                return _read_stream(file, path, size)
            _check_is_no_text(path, start)
            return _read_safetensors(file, path, size)
    except FileNotFoundError:
        raise UserError(f"'{path.name}' does not exist in {path.parent}.", "Check the spelling.") from None
    except OSError as error:
        raise UserError(f"'{path.name}' cannot be read: {reason(error)}.", "Check the file and the disk.") from error


def _check_is_no_text(path: Path, start: bytes) -> None:
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise UserError(
            f"'{path.name}' is a web page that was saved instead of a model.", "Log in on that page if it asks for it, then download the file again."
        )
    if text.startswith(b"version https://git-lfs"):
        raise UserError(f"'{path.name}' is only git's pointer to the model, not the model.", "Run 'git lfs pull' there, or download the file itself.")


def _read_safetensors(file: IO[bytes], path: Path, size: int) -> TensorHeader:
    """The format: 8 bytes with the header's length, JSON, then the numbers (huggingface/safetensors, README "Format")."""
    length = int.from_bytes(file.read(8), "little")
    if file.read(1) != b"{" or length > MAX_HEADER_BYTES:
        raise UserError(f"'{path.name}' is neither a safetensors file nor one of torch.", "Choose a .safetensors or .ckpt file of a model.")
    if 8 + length > size:
        _cut_off(path, size, 8 + length)
    try:
        entries: dict[str, Any] = json.loads(b"{" + file.read(length - 1))
        metadata = {str(key): str(text) for key, text in (entries.pop("__metadata__", None) or {}).items()}
        shapes = {name: tuple(int(n) for n in entry["shape"]) for name, entry in entries.items()}
        dtypes = {name: str(entry["dtype"]) for name, entry in entries.items()}
        end = 8 + length + max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
    except _BROKEN as error:
        _damaged(path, error)
    if end > size:
        _cut_off(path, size, end)
    if end < size:
        _damaged(path)
    return TensorHeader(shapes, dtypes, metadata)


def _read_zip(path: Path) -> TensorHeader:
    """torch since 1.6: a zip with `<root>/data.pkl`, and each storage as `<root>/data/<key>`."""
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
            index = next((name for name in sizes if name.endswith("/data.pkl") or name == "data.pkl"), None)
            if index is None:
                raise UserError(f"'{path.name}' is a zip archive without a model of torch in it.", "Unpack it, and choose the model inside.")
            if sizes[index] > MAX_HEADER_BYTES:
                _damaged(path)
            reader = _PickleReader(io.BytesIO(archive.read(index)))
            content = reader.read(path)
    except _BROKEN as error:
        if "not a zip file" in str(error):  # the list of its members is at its end
            raise UserError(f"'{path.name}' is cut off: the end of the file is missing.", LOAD_ANEW) from error
        _damaged(path, error)
    root = index.removesuffix("data.pkl")
    for key, dtype, count in reader.storages.values():
        if sizes.get(f"{root}data/{key}", -1) < count * _BYTES_OF.get(dtype, 1):
            _damaged(path)
    return reader.header(content)


def _read_stream(file: IO[bytes], path: Path, size: int) -> TensorHeader:
    """torch before 1.6: pickles of a magic number, a version, the system, the content and the storages' keys; then the numbers."""
    limited = _LimitedReader(file)
    for _ in range(3):
        _PickleReader(limited).read(path)
    reader = _PickleReader(limited)
    content = reader.read(path)
    _PickleReader(limited).read(path)
    end = file.tell() + sum(8 + count * _BYTES_OF.get(dtype, 1) for _, dtype, count in reader.storages.values())
    if end > size:
        _cut_off(path, size, end)
    return reader.header(content)


def _cut_off(path: Path, size: int, wanted: int) -> NoReturn:
    raise UserError(f"'{path.name}' is cut off: it has {size:,} bytes of {wanted:,}.", LOAD_ANEW)


def _damaged(path: Path, error: BaseException | None = None) -> NoReturn:
    raise UserError(f"'{path.name}' is damaged: its list of tensors does not fit the file.", LOAD_ANEW) from error


class _LimitedReader:
    """Hands out at most MAX_HEADER_BYTES of a file, so that a false length cannot fill the memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.left = file, MAX_HEADER_BYTES

    def read(self, count: int) -> bytes:
        return self._counted(self.file.read(min(count, self.left)))

    def readline(self) -> bytes:
        return self._counted(self.file.readline(self.left))

    def readinto(self, buffer: bytearray) -> int:
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def _counted(self, block: bytes) -> bytes:
        self.left -= len(block)
        return block


@dataclass(frozen=True)
class _Tensor:
    dtype: str
    shape: tuple[int, ...]


class _PickleReader(pickle._Unpickler):
    """Gives a pickle stand-ins for every class and function that it names, so that there is nothing it could run.

    It is Python's own reader in Python, because the one in C makes a table as long as any number in the file says. The stand-ins are made
    anew for each pickle, because a pickle may set attributes on what it is given.
    """

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.storages: dict[str, tuple[str, str, int]] = {}
        self.classes: set[str] = set()
        self.inert, self.rebuild = _make_stand_ins()

    def read(self, path: Path) -> Any:
        try:
            return self.load()
        except EOFError as error:
            raise UserError(f"'{path.name}' is cut off: the end of the file is missing.", LOAD_ANEW) from error
        except _BROKEN as error:
            _damaged(path, error)

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full == "collections.OrderedDict":
            return OrderedDict
        if module == "torch" and (short := _SHORT.get(name.removesuffix("Storage"))):
            return short
        if module == "torch._utils" and name.startswith("_rebuild"):
            return self.rebuild
        self.classes.add(full)
        return self.inert

    def persistent_load(self, pid: Any) -> str:
        """("storage", class, key, device, numbers): gives the number format, and notes the size."""
        _, dtype, key, _, count = pid[:5]
        dtype = dtype if isinstance(dtype, str) else "U8"  # torch.UntypedStorage, whose tensors say their format themselves
        self.storages[str(key)] = (str(key), dtype, int(count))
        return str(dtype)

    def header(self, content: Any) -> TensorHeader:
        top = content if isinstance(content, dict) else {"": content}
        inside = top.get("state_dict")
        tensors = dict(_tensors(inside if isinstance(inside, dict) else top))
        metadata = {str(key): str(value) for key, value in top.items() if isinstance(value, int | str)}
        others = sorted(name for name in self.classes if not _HARMLESS.fullmatch(name))
        return TensorHeader(
            {name: tensor.shape for name, tensor in tensors.items()},
            {name: tensor.dtype for name, tensor in tensors.items()},
            metadata,
            tuple(name for name in others if _OF_TRAINERS.fullmatch(name)),
            tuple(name for name in others if not _OF_TRAINERS.fullmatch(name)),
        )


def stand_ins(classes: Iterable[str]) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """For `torch.serialization.safe_globals`, so that torch loads the weights of a file that asks for these `trainer_classes`."""
    inert, _ = _make_stand_ins()
    return [(inert, name) for name in classes]


def _make_stand_ins() -> tuple[type, Callable[..., Any]]:
    """A class that takes anything and does nothing, and the function that stands for torch's `_rebuild_...`."""

    class Inert(dict[Any, Any]):
        __hash__ = object.__hash__  # type: ignore[assignment]

        def __new__(cls, *values: Any, **named: Any) -> Inert:
            return super().__new__(cls)

        def __init__(self, *values: Any, **named: Any) -> None:
            super().__init__()

        def __setstate__(self, state: Any) -> None:
            if isinstance(state, dict):
                self.update(state)

        def append(self, value: Any) -> None:
            """A list's, for classes that are lists."""

        def extend(self, values: Any) -> None:
            """A list's, for classes that are lists."""

    def rebuild(storage: Any, *values: Any) -> Any:
        """torch's `_rebuild_tensor_v2(storage, offset, size, ...)`, `_v3(..., dtype)` and `_rebuild_parameter(tensor, ...)`."""
        if not isinstance(storage, str) or len(values) < 2:
            return storage
        shape = tuple(int(n) for n in values[1]) if isinstance(values[1], tuple) else ()
        return _Tensor(next((v for v in values if isinstance(v, str) and v in _SHORT.values()), storage), shape)

    return Inert, rebuild


def _tensors(content: dict[Any, Any]) -> Iterator[tuple[str, _Tensor]]:
    """All tensors in nested dicts and lists, under their joined names; what refers to itself is looked at once."""
    waiting: list[tuple[str, Any]] = [("", content)]
    seen: set[int] = set()
    found = 0
    while waiting and found < MAX_TENSORS:
        name, value = waiting.pop()
        if isinstance(value, _Tensor):
            found += 1
            yield name, value
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            items = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [(f"{name}.{key}" if name else str(key), item) for key, item in reversed(list(items))]
