"""Names, shapes and number formats of the tensors in a file of weights, without loading one and without running
anything in the file.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import re
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, ClassVar, NamedTuple, NoReturn

from ti_core.errors import UserError
from ti_core.files import reason

MAX_HEADER_BYTES = 8 * 2**20
"""The header of SDXL is 0.3 MB, a LoRA's with its trainer's notes 2 MB, and the pickle of the largest checkpoint,
with a trainer's state, 3 MB. What Python makes of one takes up to a hundred times as much memory.
"""
MAX_TENSORS = 200_000
MAX_PARTS = 1_000_000
"""Of everything in a pickle: a trainer's optimizer has some thousand lists and dicts."""
LOAD_ANEW = "Delete it and download it again; compare the size with the page that offers it."
_STREAM_MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
"""The first pickle of a file by torch before 1.6: the number 0x1950a86a20f9469cfc6c."""
_BROKEN = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    MemoryError,
    RuntimeError,
    NameError,
)
"""What Python's readers raise for bytes that are not what they seem."""
_BYTES_OF = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_SHORT = {
    "Double": "F64",
    "float64": "F64",
    "Float": "F32",
    "float32": "F32",
    "Half": "F16",
    "float16": "F16",
    "BFloat16": "BF16",
    "bfloat16": "BF16",
    "Long": "I64",
    "int64": "I64",
    "Int": "I32",
    "int32": "I32",
    "Short": "I16",
    "int16": "I16",
    "Char": "I8",
    "int8": "I8",
    "Byte": "U8",
    "uint8": "U8",
    "Bool": "BOOL",
    "bool": "BOOL",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
}
_HARMLESS = re.compile(
    r"(torch\.(\w+Storage|[a-z]+\d\w*|Size|device|storage\.\w+|_tensor\._rebuild\w+|nn\.modules\.container\.ParameterDict)"
    r"|collections\.defaultdict|_codecs\.encode|(builtins|__builtin__)\.(set|dict|list|tuple|int|float|str|bool))"
)
_OF_TRAINERS = re.compile(
    r"(pytorch_lightning|lightning|lightning_fabric|omegaconf)\..*|numpy\.(dtype|ndarray|_?core\.multiarray\.\w+|dtypes\.\w+)|typing\.Any"
)
"""Bookkeeping of a training beside the weights. The first checkpoints of Stable Diffusion have it, and A1111 reads
them.
"""


@dataclass(frozen=True)
class TensorHeader:
    """`shapes` and `dtypes` ("F16", "BF16", "F32" ...) have the same keys, the names in the file; of a .ckpt those
    inside its `state_dict`.

    `metadata` are the texts beside the tensors (safetensors' `__metadata__`; whole numbers and texts at the top of
    a .ckpt). `trainer_classes` and `foreign_classes` are the classes that a pickle asks for beside torch's own:
    bookkeeping of known trainers, which a stand-in can replace, and all others. `code` are all classes and
    functions that it asks for, but formats and storages of torch.
    """

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    metadata: dict[str, str] = field(default_factory=dict)
    trainer_classes: tuple[str, ...] = ()
    foreign_classes: tuple[str, ...] = ()
    code: tuple[str, ...] = ()


def read_header(path: Path, most_bytes: int = MAX_HEADER_BYTES) -> TensorHeader:
    """The header of a .safetensors, or of torch's .ckpt, .pt and .bin; what the bytes say counts, not the suffix.

    Raises UserError, also for a header of more than `most_bytes`, because Python takes up to a hundred times as
    much for one.
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
            _check_is_no_text(path, start)
            return _read_safetensors(file, path, size, most_bytes)
    except FileNotFoundError:
        raise UserError(f"'{path.name}' does not exist in {path.parent}.", "Check the spelling.") from None
    except OSError as error:
        raise UserError(f"'{path.name}' cannot be read: {reason(error)}.", "Check the file and the disk.") from error


def _check_is_no_text(path: Path, start: bytes) -> None:
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise UserError(
            f"'{path.name}' is a web page that was saved instead of a model.",
            "Log in on that page if it asks for it, then download the file again.",
        )
    if text.startswith(b"version https://git-lfs"):
        raise UserError(
            f"'{path.name}' is only git's pointer to the model, not the model.",
            "Run 'git lfs pull' there, or download the file itself.",
        )


def _read_safetensors(file: IO[bytes], path: Path, size: int, most_bytes: int) -> TensorHeader:
    """The format: 8 bytes with the header's length, JSON, then the numbers (huggingface/safetensors, README
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
        places = {
            name: (int(entry["data_offsets"][0]), int(entry["data_offsets"][1])) for name, entry in entries.items()
        }
        lies = any(not _fits(shapes[name], dtypes[name], *places[name]) for name in entries)
        end = 8 + length + max((last for _, last in places.values()), default=0)
    except _BROKEN as error:
        _damaged(path, error)
    if end > size:
        _cut_off(path, size, end)
    if end < size or lies:
        _damaged(path)
    return TensorHeader(shapes, dtypes, metadata)


def _fits(shape: tuple[int, ...], dtype: str, first: int, last: int) -> bool:
    """Whether the tensor takes as many bytes as it says."""
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
    return reader.header(content, path)


def _read_stream(file: IO[bytes], path: Path, size: int, most_bytes: int) -> TensorHeader:
    """torch before 1.6: pickles of a magic number, a version, the system, the content and the storages' keys; then
    the numbers.
    """
    limited = _LimitedReader(file, most_bytes)
    for _ in range(3):
        _PickleReader(limited).read(path)
    reader = _PickleReader(limited)
    content = reader.read(path)
    _PickleReader(limited).read(path)
    end = file.tell() + sum(8 + count * _BYTES_OF.get(dtype, 1) for _, dtype, count in reader.storages.values())
    if end > size:
        _cut_off(path, size, end)
    return reader.header(content, path)


def _cut_off(path: Path, size: int, wanted: int) -> NoReturn:
    raise UserError(f"'{path.name}' is cut off: it has {size:,} bytes of {wanted:,}.", LOAD_ANEW)


def _damaged(path: Path, error: BaseException | None = None) -> NoReturn:
    raise UserError(f"'{path.name}' is damaged: its list of tensors does not fit the file.", LOAD_ANEW) from error


class _LimitedReader:
    """Hands out at most so many bytes of a file, so that a false length cannot fill the memory."""

    def __init__(self, file: IO[bytes], most_bytes: int) -> None:
        self.file, self.left = file, most_bytes

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

    It is Python's own reader in Python, because the one in C makes a table as long as any number in the file says.
    The stand-ins are made anew for each pickle, because a pickle may set attributes on what it is given. What
    passes here is safe for torch's reader too, which does the same things with torch's classes: so keys that Python
    hashes are plain, and nothing is made as long as a number in the file says.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]
    append: Callable[[Any], None]
    _unframer: Any

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.storages: dict[str, tuple[str, str, int]] = {}
        self.classes: set[str] = set()
        self.rebuilds: set[str] = set()
        self.stands = _make_stand_ins()

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
            return self.stands.ordered
        if full in ("builtins.set", "__builtin__.set"):
            self.classes.add(full)
            return self.stands.make_set
        if module == "torch" and (short := _SHORT.get(name.removesuffix("Storage"))):
            return short
        if module == "torch.storage" and name.endswith("Storage"):
            return "U8"  # of any format; its tensors say their format themselves. It is told, and never called.
        if module == "torch._utils" and name.startswith("_rebuild"):
            self.rebuilds.add(name)
            return self.stands.rebuild
        self.classes.add(full)
        return self.stands.inert

    def load_setitems(self) -> None:
        for key in self.stack[::2]:
            _check_key(key)
        super().load_setitems()  # type: ignore[misc]

    def load_setitem(self) -> None:
        _check_key(self.stack[-2])
        super().load_setitem()  # type: ignore[misc]

    def load_dict(self) -> None:
        for key in self.stack[::2]:
            _check_key(key)
        super().load_dict()  # type: ignore[misc]

    def load_additems(self) -> None:
        for key in self.stack:
            _check_key(key)
        super().load_additems()  # type: ignore[misc]

    def load_frozenset(self) -> None:
        for key in self.stack:
            _check_key(key)
        super().load_frozenset()  # type: ignore[misc]

    def load_bytearray8(self) -> None:
        """Python's makes the whole array first, as long as the file says."""
        (length,) = struct.unpack("<Q", self._unframer.read(8))
        self.append(bytearray(self._unframer.read(length)))

    for _code, _load in (
        (pickle.SETITEMS, load_setitems),
        (pickle.SETITEM, load_setitem),
        (pickle.DICT, load_dict),
        (pickle.ADDITEMS, load_additems),
        (pickle.FROZENSET, load_frozenset),
        (pickle.BYTEARRAY8, load_bytearray8),
    ):
        dispatch[_code[0]] = _load

    def persistent_load(self, pid: Any) -> str:
        """("storage", class, key, device, numbers): gives the number format, and notes the size."""
        _, dtype, key, _, count = pid[:5]
        _check_key(key)
        dtype = dtype if isinstance(dtype, str) else "U8"
        self.storages[str(key)] = (str(key), dtype, int(count))
        return str(dtype)

    def header(self, content: Any, path: Path) -> TensorHeader:
        try:
            return self._header(content)
        except _BROKEN as error:  # a number of more digits than Python writes
            _damaged(path, error)

    def _header(self, content: Any) -> TensorHeader:
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
            tuple(sorted({*self.classes, *(f"torch._utils.{name}" for name in self.rebuilds)})),
        )


def _check_key(key: Any) -> None:
    """Python's hash of a tuple goes as deep as tuples lie in each other, without a limit: a small file would end
    the process. Raises ValueError.
    """
    parts = key if isinstance(key, tuple) else (key,)
    if any(isinstance(part, tuple) for part in parts):
        raise ValueError("a key of nested tuples")


def stand_ins(classes: Iterable[str]) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """For `torch.serialization.safe_globals`, so that torch loads the weights of a file that asks for these
    `trainer_classes`.
    """
    inert = _make_stand_ins().inert
    return [(inert, name) for name in classes]


class _StandIns(NamedTuple):
    """A class that takes anything and does nothing, the function that stands for torch's `_rebuild_...`, and an
    OrderedDict and a set whose keys are checked before they are hashed.
    """

    inert: type
    rebuild: Callable[..., Any]
    ordered: type
    make_set: Callable[..., Any]


def _make_stand_ins() -> _StandIns:

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
        """torch's `_rebuild_tensor_v2(storage, offset, size, ...)`, `_v3(..., dtype)` and
        `_rebuild_parameter(tensor, ...)`.
        """
        if not isinstance(storage, str) or len(values) < 2:
            return storage
        shape = tuple(int(n) for n in values[1]) if isinstance(values[1], tuple) else ()
        return _Tensor(next((v for v in values if isinstance(v, str) and v in _SHORT.values()), storage), shape)

    class Ordered(OrderedDict[Any, Any]):
        """Files of Python 2 give the items as a list of pairs."""

        def __init__(self, items: Any = ()) -> None:
            pairs = list(items.items() if isinstance(items, dict) else items)
            for key, _ in pairs:
                _check_key(key)
            super().__init__(pairs)

    def make_set(items: Any = ()) -> set[Any]:
        for key in items:
            _check_key(key)
        return set(items)

    return _StandIns(Inert, rebuild, Ordered, make_set)


def _tensors(content: dict[Any, Any]) -> Iterator[tuple[str, _Tensor]]:
    """All tensors in nested dicts and lists, under their joined names; what refers to itself is looked at once.
    Raises ValueError for far too many parts.
    """
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
            if len(value) + len(seen) > MAX_PARTS:
                raise ValueError("more parts than any model has")
            items = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [(f"{name}.{key}" if name else str(key), item) for key, item in reversed(list(items))]
