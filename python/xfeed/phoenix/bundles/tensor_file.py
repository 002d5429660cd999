"""safetensors files, written as a stream and read with suspicion.

A table may be larger than what is free in memory, so a file is written block by block and its
SHA-256 is made on the way. Reading starts with the header alone: every length in it is compared
with every other one and with the size of the file before anything is allocated or mapped.

The format: 8 bytes little-endian length of the header, the header as JSON (name to dtype, shape
and byte range), then the bytes of all tensors without gaps. The layout is the published one of
safetensors; here tensors stand by falling item size, so that every one of them is aligned.
"""

import hashlib
import json
import math
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from xfeed.errors import BundleError

MAX_HEADER_BYTES: Final = 16 * 2**20
"""Longest header that is read; real ones have a few thousand bytes."""

ALIGNMENT: Final = 64
"""Bytes to which the first tensor is aligned when writing."""

HASH_BLOCK_BYTES: Final = 2**20

ITEM_BYTES: Final = {
    "F64": 8,
    "I64": 8,
    "U64": 8,
    "F32": 4,
    "I32": 4,
    "U32": 4,
    "F16": 2,
    "BF16": 2,
    "I8": 1,
    "U8": 1,
}
"""Bytes of one value, by the format's name of the dtype."""

NUMPY_DTYPES: Final[dict[str, type[np.generic]]] = {
    "F64": np.float64,
    "I64": np.int64,
    "U64": np.uint64,
    "F32": np.float32,
    "I32": np.int32,
    "U32": np.uint32,
    "F16": np.float16,
    "I8": np.int8,
    "U8": np.uint8,
}
"""The NumPy dtype of each, except for BF16, which NumPy does not have."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A tensor to be written.

    Attributes:
        dtype: name of the dtype in the format, such as ``F32``.
        shape: its shape.
        blocks: gives its values from the first to the last as C-contiguous arrays; together
            they have exactly the bytes that `dtype` and `shape` promise.
    """

    dtype: str
    shape: tuple[int, ...]
    blocks: Callable[[], Iterable[npt.NDArray[Any]]]

    @classmethod
    def of(cls, values: npt.NDArray[Any]) -> "Stream":
        """A tensor that is in memory already."""
        values = np.asarray(values, order="C")
        names = {np.dtype(dtype): name for name, dtype in NUMPY_DTYPES.items()}
        return cls(names[values.dtype], values.shape, lambda: (values,))

    @property
    def n_bytes(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor in a file.

    Attributes:
        dtype: name of the dtype in the format.
        shape: its shape.
        start: its first byte in the file.
        stop: the byte after its last one.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    def to_json(self) -> dict[str, Any]:
        """Dtype and shape, as a manifest lists them."""
        return {"dtype": self.dtype, "shape": list(self.shape)}


@dataclass(frozen=True, slots=True)
class Written:
    """What `write_tensors` wrote.

    Attributes:
        sha256: of the whole file, in hexadecimal.
        n_bytes: size of the file.
        tensors: dtype and shape by name.
    """

    sha256: str
    n_bytes: int
    tensors: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The entry of a manifest."""
        return {"sha256": self.sha256, "bytes": self.n_bytes, "tensors": self.tensors}


def write_tensors(path: Path, tensors: Mapping[str, Stream]) -> Written:
    """Writes a file down to the disk, block by block.

    Args:
        path: where; must not exist yet.
        tensors: what, by name.

    Raises:
        BundleError: the blocks of a tensor are not as long as its shape says.
    """
    order = sorted(tensors, key=lambda name: (-ITEM_BYTES[tensors[name].dtype], name))
    header, at = {}, 0
    for name in order:
        stream = tensors[name]
        header[name] = {
            "dtype": stream.dtype,
            "shape": list(stream.shape),
            "data_offsets": [at, at + stream.n_bytes],
        }
        at += stream.n_bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    digest = hashlib.sha256()
    with path.open("xb") as file:
        for content in (len(text).to_bytes(8, "little"), text):
            digest.update(content)
            file.write(content)
        for name in order:
            _write_blocks(file, digest, path.name, name, tensors[name])
        file.flush()
        os.fsync(file.fileno())
        n_bytes = file.tell()
    described = {name: header[name] for name in sorted(header)}
    listed = {n: {"dtype": e["dtype"], "shape": e["shape"]} for n, e in described.items()}
    return Written(digest.hexdigest(), n_bytes, listed)


def _write_blocks(file: BinaryIO, digest: Any, file_name: str, name: str, stream: Stream) -> None:
    """Writes one tensor and counts its bytes."""
    left = stream.n_bytes
    for block in stream.blocks():
        content = memoryview(np.ascontiguousarray(block).data).cast("B") if block.size else b""
        left -= len(content)
        digest.update(content)
        file.write(content)
    if left:
        raise BundleError(
            f"tensor `{name}` of `{file_name}` has `{stream.n_bytes - left}` bytes, its shape "
            f"`{stream.shape}` needs `{stream.n_bytes}`",
            code="wrong_shape",
        )


def open_regular(path: Path) -> BinaryIO:
    """Opens a file for reading; anything but a regular file is refused.

    Raises:
        BundleError: there is no such file, or it is a directory, a pipe or a device.
    """
    try:
        # a pipe must not make the caller wait for a writer
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise BundleError(f"cannot read `{path.name}`: {error}", code="missing_file") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise BundleError(f"`{path.name}` is not a regular file", code="missing_file")
    return os.fdopen(handle, "rb")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal; other threads run meanwhile."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(HASH_BLOCK_BYTES))
    with open_regular(path) as file:
        while n_read := file.readinto(buffer):  # type: ignore[attr-defined]
            digest.update(buffer[:n_read])
    return digest.hexdigest()


def read_header(path: Path) -> dict[str, Entry]:
    """Reads and checks the header of a file; no tensor is touched.

    Raises:
        BundleError: the file is no safetensors file, or its header does not describe exactly
            the bytes that are there.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > min(size - 8, MAX_HEADER_BYTES):
            raise _bad_file(path, f"its header would have `{length}` bytes, the file has `{size}`")
        text = file.read(length)
    if len(text) != length:
        raise _bad_file(path, f"its header has `{len(text)}` of `{length}` bytes")
    try:
        header = strict_json(text)
    except ValueError as error:
        raise _bad_file(path, f"its header cannot be read: {error}") from error
    if not isinstance(header, dict):
        raise _bad_file(path, "its header is not an object")
    header.pop("__metadata__", None)
    entries = {name: _entry(path, name, one, 8 + length) for name, one in header.items()}
    at = 8 + length
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].stop)):
        if entry.start != at:
            raise _bad_file(
                path, f"tensor `{name}` begins at byte `{entry.start}`, expected `{at}`"
            )
        at = entry.stop
    if at != size:
        raise _bad_file(path, f"its tensors end at byte `{at}`, the file at `{size}`")
    return entries


def strict_json(text: bytes) -> Any:
    """Parses JSON; names that come twice and numbers that JSON does not have are refused.

    Raises:
        ValueError: it is not such a text.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"the name `{max(names, key=names.count)}` comes twice")
        return found

    def refuse(constant: str) -> Any:
        raise ValueError(f"`{constant}` is no number of JSON")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _entry(path: Path, name: str, one: Any, data_start: int) -> Entry:
    """Checks one tensor's description in itself."""
    wanted = {"dtype", "shape", "data_offsets"}
    if not isinstance(one, dict) or set(one) != wanted:
        raise _bad_file(path, f"tensor `{name}` must have exactly `{sorted(wanted)}`")
    shape, offsets = one["shape"], one["data_offsets"]
    for values, length in ((shape, None), (offsets, 2)):
        whole = isinstance(values, list) and all(type(v) is int and v >= 0 for v in values)
        if not whole or (length is not None and len(values) != length):
            raise _bad_file(path, f"tensor `{name}` has the shape or the offsets `{values!r:.80}`")
    if not isinstance(one["dtype"], str) or one["dtype"] not in ITEM_BYTES:
        raise _bad_file(
            path, f"tensor `{name}` has the dtype `{one['dtype']!r:.40}`, not {list(ITEM_BYTES)}"
        )
    # integers of Python: no shape can overflow
    n_bytes = math.prod(shape) * ITEM_BYTES[one["dtype"]]
    start, stop = offsets
    if stop - start != n_bytes:
        raise _bad_file(
            path,
            f"tensor `{name}` of shape `{shape!r:.80}` needs `{n_bytes}` bytes and has "
            f"`{stop - start}`",
        )
    return Entry(one["dtype"], tuple(shape), data_start + start, data_start + stop)


def _bad_file(path: Path, why: str) -> BundleError:
    return BundleError(f"`{path.name}` is not a good safetensors file: {why}", code="bad_file")
