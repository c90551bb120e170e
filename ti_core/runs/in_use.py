"""Which step of a run stands in embeddings/: found by the vectors alone, because a copy has another name inside."""

from __future__ import annotations

import functools
import hashlib
import zipfile
from pathlib import Path

from ti_core.runs.folder import embedding_name
from ti_core.runs.history import all_saved_steps
from ti_core.workspace import Workspace


def step_in_use(run: Path, workspace: Workspace) -> int:
    """The latest step whose copy holds the same vectors as the embedding's file in embeddings/; 0 if none does."""
    copies = all_saved_steps(run)
    if not copies:
        return 0
    latest = copies[max(copies)]
    used = _digest(workspace.embeddings / f"{embedding_name(latest)}{latest.suffix}")
    return next((step for step in reversed(copies) if used and _digest(copies[step]) == used), 0)


def _digest(path: Path) -> str:
    """Of the vectors in the file; empty if it is not there, or is none of ours."""
    try:
        facts = path.stat()
        return _digest_of(path, facts.st_mtime_ns, facts.st_size)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):  # zipfile's for a compression it cannot read
        return ""


@functools.lru_cache(maxsize=5000)
def _digest_of(path: Path, mtime_ns: int, size_bytes: int) -> str:
    """Kept as long as the file is the same one, because a long run has many copies."""
    return hashlib.blake2b(_vector_bytes(path), digest_size=16).hexdigest()


def _vector_bytes(path: Path) -> bytes:
    """The tensors' bytes as they lie in the file, without the name and the step beside them: the members data/N of
    torch's zip, or what follows the header of a .safetensors file.
    """
    if path.suffix == ".safetensors":
        content = path.read_bytes()
        return content[8 + int.from_bytes(content[:8], "little") :]
    with zipfile.ZipFile(path) as archive:
        members = sorted(name for name in archive.namelist() if name.rpartition("/")[0].endswith("data"))
        return b"".join(archive.read(name) for name in members)
