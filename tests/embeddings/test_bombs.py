"""Small files that ask for gigabytes, or for a crash: each is read in a process of its own, whose memory is
measured.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest

from ti_core.checkpoints.tensor_headers import read_header
from ti_core.errors import UserError
from ti_core.workspace import REPOSITORY

GIB = 2**30
MOST_GROWTH_MB = 300

READ_ALL = """
import json, resource, sys
from pathlib import Path
from ti_core.embeddings.formats import load_embeddings
from ti_core.errors import UserError
from ti_core.checkpoints.tensor_headers import read_header
def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
results = {}
for path in map(Path, sys.argv[1:]):
    begun, sentences = peak_mb(), []
    for read in (read_header, load_embeddings):
        try:
            read(path)
            sentences.append("")
        except UserError as error:
            sentences.append(str(error))
    results[path.name] = [peak_mb() - begun, *sentences]
    print(json.dumps(results[path.name]), file=sys.stderr)
print(json.dumps(results))
"""


def zipped(pickled: bytes, **more: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED if len(pickled) > 2**20 else zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", b"3\n")
        for name, content in more.items():
            archive.writestr(f"archive/{name}", content)
    return data.getvalue()


def stream(pickled: bytes) -> bytes:
    """torch's older form: a magic number, a version and the system before the content, and the list of storages
    after it.
    """
    head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    return b"".join(pickle.dumps(part, protocol=2) for part in head) + pickled + pickle.dumps([], protocol=2)


def called(function: str, number: int) -> bytes:
    """function(number), as a pickle."""
    module, _, name = function.rpartition(".")
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + pickle.dumps(number, protocol=2)[2:-1] + b"\x85R."


NESTED_KEY = b"\x80\x02}(" + b")" + b"\x85" * 200_000 + b"K\x01u."
"""A dict with a key of 200,000 tuples in each other: Python's hash of it goes as deep as that."""
PICKLES = {
    "bytearray8": b"\x80\x05\x96" + struct.pack("<Q", 3 * GIB) + b".",
    "binbytes8": b"\x80\x05\x8e" + struct.pack("<Q", 3 * GIB) + b".",
    "frame": b"\x80\x04\x95" + struct.pack("<Q", 3 * GIB) + b"N.",
    "called_bytearray": called("builtins.bytearray", 3 * GIB),
    "called_bytearray_of_python_2": called("__builtin__.bytearray", 3 * GIB),
    "called_bytes": called("builtins.bytes", 3 * GIB),
    "called_range_list": called("builtins.list", 3 * GIB),
    "called_storage": called("torch.storage.UntypedStorage", 3 * GIB),
    "called_old_storage": called("torch.FloatStorage", GIB),
    "called_tensor": called("torch.FloatTensor", GIB),
    "called_plain_tensor": called("torch.Tensor", GIB),
    "nested_key": NESTED_KEY,
    "nested_key_in_a_set": b"\x80\x02c__builtin__\nset\n](" + b")" + b"\x85" * 200_000 + b"e\x85R.",
    "nested_key_in_an_ordered_dict": (
        b"\x80\x02ccollections\nOrderedDict\n](](" + b")" + b"\x85" * 200_000 + b"K\x01ee\x85R."
    ),
    "nested_key_of_a_storage": (
        b"\x80\x02(X\x07\0\0\0storagectorch\nFloatStorage\n)" + b"\x85" * 200_000 + b"X\x03\0\0\0cpuK\x01tQ."
    ),
    "empty_dicts": b"\x80\x02](" + b"}" * 1_100_000 + b"e.",
    "memo": b"\x80\x04N" + b"\x94" * 300_000 + b".",
    "marks": b"\x80\x02" + b"(" * 300_000 + b"N.",
    "long_number": b"\x80\x02}X\x01\0\0\0a\x8b" + struct.pack("<i", 100_000) + b"\x7f" * 100_000 + b"s.",
    "false_storage": (
        b"\x80\x02(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu\x8a\x05"
        + struct.pack("<q", 3 * GIB)[:5]
        + b"tQ."
    ),
}


def bombs(folder: Path) -> list[Path]:
    files = {}
    for name, pickled in PICKLES.items():
        files[f"{name}.pt"] = zipped(pickled)
        if len(pickled) < 1000:
            files[f"{name}-stream.pt"] = stream(pickled)
    members = io.BytesIO()
    with zipfile.ZipFile(members, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, protocol=2))
        for number in range(20_000):
            archive.writestr(zipfile.ZipInfo(f"{number}"), b"")
    files["members.pt"] = members.getvalue()
    files["two_pickles.pt"] = zipped(
        pickle.dumps({}, protocol=2), **{"x/data.pkl": called("builtins.bytearray", 3 * GIB)}
    )
    files["header.safetensors"] = struct.pack("<Q", 20_000_006) + b'{"a":[' + b"{}," * 6_666_660 + b"{}]}" + b" " * 30
    files["shape.safetensors"] = safetensors_with(
        '{"a":{"dtype":"F32","shape":[3000000000],"data_offsets":[0,4]}}', b"\0" * 4
    )
    files["offsets.safetensors"] = safetensors_with(
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,12000000000]}}', b"\0" * 4
    )
    files["negative.safetensors"] = safetensors_with(
        '{"a":{"dtype":"F32","shape":[-1,-1],"data_offsets":[0,4]}}', b"\0" * 4
    )
    files["deep.safetensors"] = safetensors_with('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", b"")
    files["step.safetensors"] = safetensors_with(
        '{"__metadata__":{"step":"' + "9" * 6000 + '"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"\0" * 4
    )
    for kind in ("zTXt", "iTXt", "iCCP"):
        files[f"{kind}.png"] = png_with(kind)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in files]


def safetensors_with(header: str, data: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header.encode() + data


def png_with(kind: str) -> bytes:
    """A picture of one pixel with 200 chunks, each of which unpacks to 20 MB."""
    packed = zlib.compress(bytes(20 * 2**20), 9)
    names = {"zTXt": b"Comment\0\0", "iTXt": b"Comment\0\1\0\0\0", "iCCP": b"icc\0\0"}

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    start = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    middle = chunk(kind.encode(), names[kind] + packed) * 200
    return b"\x89PNG\r\n\x1a\n" + start + middle + chunk(b"IDAT", zlib.compress(b"\0\1\2\3")) + chunk(b"IEND", b"")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell a process's peak in this way")
def test_no_small_file_takes_gigabytes_or_the_server_with_it(tmp_path: Path) -> None:
    files = bombs(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, *map(str, files)], capture_output=True, text=True, cwd=REPOSITORY, timeout=300
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    results = json.loads(done.stdout.splitlines()[-1])
    assert {name: growth for name, (growth, *_) in results.items() if growth > MOST_GROWTH_MB} == {}
    fine = {name for name, (_, _, sentence) in results.items() if not sentence}
    assert fine == {"step.safetensors"}
    assert all(sentence.startswith(f"'{name}'") for name, (_, _, sentence) in results.items() if sentence)


def test_the_code_that_a_bomb_asks_for_is_named(tmp_path: Path) -> None:
    from ti_core.embeddings.torch_file import load_torch_file

    (tmp_path / "a.pt").write_bytes(zipped(called("builtins.bytearray", 3 * GIB)))
    with pytest.raises(UserError, match=r"asks to run code of Python \('builtins\.bytearray'\), which is never done"):
        load_torch_file(tmp_path / "a.pt")
    assert read_header(tmp_path / "a.pt").foreign_classes == ("builtins.bytearray",)
