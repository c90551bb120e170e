"""Files of torch.save (`.pt`, `.bin`), zip or the older stream of pickles, read without running any code in them."""

from __future__ import annotations

import pickle
import re
import struct
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ti_core.errors import UserError
from ti_core.files import reason

MAX_FILE_BYTES = 64 * 2**20
_DAMAGED = (
    pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError, IndexError, AttributeError, AssertionError, OverflowError,
    MemoryError, struct.error, zipfile.BadZipFile,
)  # fmt: skip
"""What torch's reader raises for bytes that are no file of torch, or that ask for code."""
_ALLOWING = threading.Lock()
"""torch keeps its list of allowed classes for the whole process; two readers at once would take each other's entry away."""


class _Parameters:
    """Stands in for torch's ParameterDict, which the first trainers saved: takes its numbers, and none of a Module's machinery."""

    def __init__(self, parameters: Any = None) -> None:
        self.parameters = parameters

    def __setstate__(self, state: Any) -> None:
        self.parameters = state.get("_parameters") if isinstance(state, dict) else None


@contextmanager
def allowing(classes: Sequence[Any]) -> Iterator[None]:
    """Let torch's reader take these classes for a while, by one thread at a time; none need no waiting."""
    if not classes:
        yield
        return
    with _ALLOWING, torch.serialization.safe_globals(list(classes)):
        yield


def load_torch_file(path: Path) -> Any:
    """The dicts, lists, texts, numbers and tensors in the file. Raises UserError that says why it cannot be read."""
    try:
        _check_size(path)
        allowed: list[Any] = [(_Parameters, "torch.nn.modules.container.ParameterDict")]
        # An open file, because torch.load goes by the suffix when it is given a path.
        with path.open("rb") as file, allowing(allowed):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"'{path.name}' does not exist in {path.parent.name}/.", "Create it first.") from None
    except OSError as error:
        raise UserError(f"'{path.name}' cannot be read: {reason(error)}.", "Check the file.") from error
    except _DAMAGED as error:
        raise UserError(f"'{path.name}' cannot be read as an embedding: it {_fault(error)}.", "Choose another file.") from error
    if isinstance(content, dict) and isinstance(content.get("string_to_param"), _Parameters):
        content["string_to_param"] = content["string_to_param"].parameters
    return content


def _check_size(path: Path) -> None:
    size = path.stat().st_size
    if size == 0:
        raise UserError(f"'{path.name}' is empty (0 bytes).", "Choose another file.")
    if size <= MAX_FILE_BYTES and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    if size > MAX_FILE_BYTES:
        raise UserError(f"'{path.name}' is larger than any embedding ({size / 2**20:.0f} MB).", "Choose an embedding file, not a checkpoint.")


def _fault(error: BaseException) -> str:
    code = re.search(r"GLOBAL ([\w.]+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
    return f"asks to run code of Python ('{code[1]}'), which is never done" if code else "is damaged, or holds something else than numbers"
