"""What a pickle of torch describes, read without running anything in it: stand-ins take the place of every class and
function that it asks for.
"""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any, ClassVar, NamedTuple

MAX_TENSORS = 200_000
MAX_PARTS = 1_000_000
"""Of everything in a pickle: a trainer's optimizer has some thousand lists and dicts."""
BROKEN = (
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
    r"(torch\.(\w+Storage|[a-z]+\d\w*|Size|device|storage\.\w+|_tensor\._rebuild\w+"
    r"|nn\.modules\.container\.ParameterDict)"
    r"|collections\.defaultdict|_codecs\.encode|(builtins|__builtin__)\.(set|dict|list|tuple|int|float|str|bool))"
)
_OF_TRAINERS = re.compile(
    r"(pytorch_lightning|lightning|lightning_fabric|omegaconf)\..*"
    r"|numpy\.(dtype|ndarray|_?core\.multiarray\.\w+|dtypes\.\w+)|typing\.Any"
)
"""Bookkeeping of a training beside the weights. The first checkpoints of Stable Diffusion have it, and A1111 reads
them.
"""


@dataclass(frozen=True)
class PickledTensor:
    """Number format ("F16") and shape of a tensor that a pickle describes."""

    dtype: str
    shape: tuple[int, ...]


# ---- the unpickler


class LimitedReader:
    """Gives out at most `most_bytes` of a file, so that a false length in it cannot fill the memory."""

    def __init__(self, file: IO[bytes], most_bytes: int) -> None:
        self.file, self.left = file, most_bytes

    def read(self, count: int) -> bytes:
        """At most `count` bytes, fewer at the end of the file or of the limit."""
        return self._counted(self.file.read(min(count, self.left)))

    def readline(self) -> bytes:
        """The bytes up to the next line break, or up to the limit."""
        return self._counted(self.file.readline(self.left))

    def readinto(self, buffer: bytearray) -> int:
        """Fill the buffer; gives the number of bytes read."""
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def _counted(self, block: bytes) -> bytes:
        self.left -= len(block)
        return block


class PickleReader(pickle._Unpickler):
    """Python's unpickler with stand-ins for every class and function that a pickle names, so that none is run.

    It is the unpickler in Python, because the one in C allocates a table as long as any number in the file says. The
    stand-ins are made anew for each pickle, because a pickle may set attributes on them. A pickle that passes here is
    safe for torch's weights_only reader too: the keys that Python hashes are not nested tuples, and nothing is
    allocated by a length in the file.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]
    append: Callable[[Any], None]
    _unframer: Any

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.storages: dict[str, tuple[str, str, int]] = {}  # by key: key, number format, count of numbers
        self.classes: set[str] = set()
        self.rebuilds: set[str] = set()
        self.stands = _make_stand_ins()

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a class or function; for torch's number formats their short name ("F16")."""
        full = f"{module}.{name}"
        if full == "collections.OrderedDict":
            return self.stands.ordered
        if full in ("builtins.set", "__builtin__.set"):
            self.classes.add(full)
            return self.stands.make_set
        if module == "torch" and (short := _SHORT.get(name.removesuffix("Storage"))):
            return short
        if module == "torch.storage" and name.endswith("Storage"):
            return "U8"  # an untyped storage; its tensors say their format themselves
        if module == "torch._utils" and name.startswith("_rebuild"):
            self.rebuilds.add(name)
            return self.stands.rebuild
        self.classes.add(full)
        return self.stands.inert

    # ---- opcodes that hash keys: a nested tuple as a key would end the process (_check_key)

    def load_setitems(self) -> None:
        """Opcode SETITEMS: a dict's items."""
        for key in self.stack[::2]:
            _check_key(key)
        super().load_setitems()  # type: ignore[misc]

    def load_setitem(self) -> None:
        """Opcode SETITEM: one item of a dict."""
        _check_key(self.stack[-2])
        super().load_setitem()  # type: ignore[misc]

    def load_dict(self) -> None:
        """Opcode DICT: a new dict with items."""
        for key in self.stack[::2]:
            _check_key(key)
        super().load_dict()  # type: ignore[misc]

    def load_additems(self) -> None:
        """Opcode ADDITEMS: a set's elements."""
        for key in self.stack:
            _check_key(key)
        super().load_additems()  # type: ignore[misc]

    def load_frozenset(self) -> None:
        """Opcode FROZENSET."""
        for key in self.stack:
            _check_key(key)
        super().load_frozenset()  # type: ignore[misc]

    def load_bytearray8(self) -> None:
        """Opcode BYTEARRAY8. Python's own allocates the whole array first, as long as the file says."""
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
        """The number format of a storage, `("storage", format, key, device, count)`, which is kept in `storages`."""
        _, dtype, key, _, count = pid[:5]
        _check_key(key)
        dtype = dtype if isinstance(dtype, str) else "U8"
        self.storages[str(key)] = (str(key), dtype, int(count))
        return str(dtype)

    @property
    def code(self) -> tuple[str, ...]:
        """Every class and function that the pickle asked for, but formats and storages of torch."""
        return tuple(sorted({*self.classes, *(f"torch._utils.{name}" for name in self.rebuilds)}))

    def classes_beside_torch(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The classes that weights do not need: those of known trainers, and all others."""
        others = sorted(name for name in self.classes if not _HARMLESS.fullmatch(name))
        return (
            tuple(name for name in others if _OF_TRAINERS.fullmatch(name)),
            tuple(name for name in others if not _OF_TRAINERS.fullmatch(name)),
        )


# ---- stand-ins


def _check_key(key: Any) -> None:
    """Raises ValueError for a key of nested tuples: Python hashes them recursively without a limit, so that a small
    file could overflow the stack and end the process.
    """
    parts = key if isinstance(key, tuple) else (key,)
    if any(isinstance(part, tuple) for part in parts):
        raise ValueError("a key of nested tuples")


def stand_ins(classes: Iterable[str]) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """Classes that do nothing, for `torch.serialization.safe_globals`: with them torch loads the weights of a file that
    asks for these `trainer_classes`.
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
        return PickledTensor(next((v for v in values if isinstance(v, str) and v in _SHORT.values()), storage), shape)

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


def tensors_in(content: dict[Any, Any]) -> Iterator[tuple[str, PickledTensor]]:
    """All tensors in nested dicts and lists, named by their path ("state_dict.a.weight"); an object that refers to
    itself is visited once. Raises ValueError for more parts than any model has.
    """
    waiting: list[tuple[str, Any]] = [("", content)]
    seen: set[int] = set()
    found = 0
    while waiting and found < MAX_TENSORS:
        name, value = waiting.pop()
        if isinstance(value, PickledTensor):
            found += 1
            yield name, value
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            if len(value) + len(seen) > MAX_PARTS:
                raise ValueError("more parts than any model has")
            items = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [(f"{name}.{key}" if name else str(key), item) for key, item in reversed(list(items))]
