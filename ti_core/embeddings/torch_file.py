"""Files of torch.save (`.pt`, `.bin`), zip or the older stream of pickles, read without running any code in them.

They may come from anybody, so our own reader goes through the pickle first (checkpoints/pickles.py), and torch gets
only what is known to be harmless: its own reader would make an array as long as a number in the file says, and end
the process at a key of nested tuples.
"""

from __future__ import annotations

import io
import pickle
import struct
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch

from ti_core.checkpoints.tensor_headers import read_header
from ti_core.errors import UserError
from ti_core.files import reason

MAX_FILE_BYTES = 64 * 2**20
MAX_PICKLE_BYTES = 2**20
"""That of an embedding with its optimizer's state is 2 KB, of a LoRA with bundled embeddings 0.1 MB."""
MAX_MEMBERS = 5000
_CODE = {
    "torch.nn.modules.container.ParameterDict",
    "torch.nn.parameter.Parameter",
    "torch.Size",
    "torch.device",
    "builtins.set",
    "__builtin__.set",
    *(f"torch._utils._rebuild_{what}" for what in ("tensor", "tensor_v2", "tensor_v3", "parameter")),
}
"""All that a file of vectors needs. torch's reader allows more, such as bytearray and UntypedStorage, which take a
length.
"""
_DAMAGED = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    AssertionError,
    OverflowError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
)
"""What torch's reader raises for bytes that are no file of torch, or that ask for code."""
_ALLOWING = threading.Lock()
"""torch keeps its list of allowed classes for the whole process; two readers at once would take each other's entry
away.
"""


class _Parameters:
    """Stands in for torch's ParameterDict, which the first trainers saved: keeps its tensors, and none of what a
    torch Module runs when it is unpickled.
    """

    def __init__(self, parameters: Any = None) -> None:
        self.parameters = parameters

    def __setstate__(self, state: Any) -> None:
        self.parameters = state.get("_parameters") if isinstance(state, dict) else None


@contextmanager
def allowing(classes: Sequence[Any]) -> Iterator[None]:
    """Let torch's weights_only reader take these classes inside the block, one thread at a time. Without classes there
    is nothing to wait for.
    """
    if not classes:
        yield
        return
    with _ALLOWING, torch.serialization.safe_globals(list(classes)):
        yield


def load_torch_file(path: Path) -> Any:
    """The file's content: dicts, lists, texts, numbers and tensors on the CPU. Raises UserError that says why it cannot
    be read.
    """
    try:
        data = _checked(path)
        allowed: list[Any] = [(_Parameters, "torch.nn.modules.container.ParameterDict")]
        with allowing(allowed):
            # Of bytes: torch.load of a file tries whether it is a tar archive, and of a path goes by its suffix.
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"'{path.name}' does not exist in {path.parent.name}/.", "Create it first.") from None
    except OSError as error:
        raise UserError(f"'{path.name}' cannot be read: {reason(error)}.", "Check the file.") from error
    except _DAMAGED as error:
        raise UserError(
            f"'{path.name}' cannot be read as an embedding: it is damaged, or holds something else than numbers.",
            "Choose another file.",
        ) from error
    if isinstance(content, dict) and isinstance(content.get("string_to_param"), _Parameters):
        content["string_to_param"] = content["string_to_param"].parameters
    return content


def _checked(path: Path) -> bytes:
    """The file as torch may read it. Raises UserError for one that is too large, damaged, or asks for code."""
    # Sizes first: nothing is read or unpacked that could fill the memory.
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        _too_large(path, size)
    data = path.read_bytes()
    is_zip = data.startswith(b"PK\x03\x04")
    # Each entry of an archive's list becomes an object of half a kilobyte, so they are counted before it is opened.
    if is_zip and data.count(b"PK\x01\x02") > MAX_MEMBERS:
        raise UserError(f"'{path.name}' holds more parts than any embedding.", "Choose another file.")
    if is_zip:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if (unpacked := sum(member.file_size for member in archive.infolist())) > MAX_FILE_BYTES:
                _too_large(path, unpacked)
    # Then what the pickle asks for: more than vectors need is refused, also what torch's own reader would take.
    try:
        header = read_header(path, MAX_PICKLE_BYTES)
    except UserError as error:
        raise UserError(error.problem, "Choose another file.") from error
    if foreign := sorted(set(header.code) - _CODE):
        raise UserError(
            f"'{path.name}' cannot be read as an embedding: it asks to run code of Python ('{foreign[0][:60]}'), which"
            " is never done.",
            "Choose another file.",
        )
    if not is_zip:
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return repacked(archive)


def _too_large(path: Path, size: int) -> NoReturn:
    raise UserError(
        f"'{path.name}' is larger than any embedding ({size / 2**20:.0f} MB).",
        "Choose an embedding file, not a checkpoint.",
    )


def repacked(source: zipfile.ZipFile) -> bytes:
    """The bytes of an archive with nothing but torch's pickle, version and numbers, uncompressed: so torch's reader
    finds only members that Python's zipfile has checked. Raises ValueError for big-endian numbers.
    """
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_STORED) as target:
        for member in dict.fromkeys(source.namelist()):
            inside = member.partition("/")[2]
            if inside == "byteorder" and source.read(member) != b"little":
                raise ValueError("numbers in another order of bytes")
            if inside in ("data.pkl", "version") or (inside.startswith("data/") and inside[5:].isdigit()):
                target.writestr(zipfile.ZipInfo(f"archive/{inside}"), source.read(member))
    return kept.getvalue()
