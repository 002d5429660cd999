"""Reads NumPy archives (`.npz`) that strangers wrote, one member at a time.

An archive is a zip file of arrays. A member could hold pickled objects, which would run code
when read; here a member of objects is refused by its header, before anything else. Large members
are read as a stream of rows, whether they are compressed or not, so memory does not grow with
them; what a header claims is compared with the size in the archive's directory first, and the
checksum of each member is compared while it is read.
"""

import io
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from xfeed.errors import BundleError
from xfeed.phoenix.bundles.table_streams import TableSource, rows_per_block
from xfeed.phoenix.bundles.tensor_file import open_regular

MAX_WHOLE_BYTES: Final = 2**32
"""Largest member that is read as a whole."""

WHOLE_BLOCK_BYTES: Final = 2**23
"""Bytes that are read together."""

MAX_HEADER_BYTES: Final = 10_000
"""Longest header of an array. NumPy reads all that one claims to have before it looks at this."""

MAX_LENGTH: Final = 2**48
"""Longest dimension of an array, which an empty one could have, too."""

SUFFIX: Final = ".npy"

_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    tokenize.TokenError,
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""What the readers of zip files and of array headers raise for damaged ones."""


@dataclass(frozen=True, slots=True)
class Member:
    """An array in an archive.

    Attributes:
        dtype: its dtype.
        shape: its shape.
        fortran_order: whether its values stand column by column.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool

    @property
    def n_bytes(self) -> int:
        """Bytes of its values."""
        return math.prod(self.shape) * self.dtype.itemsize


class Npz:
    """An archive, of which only the headers are read at first.

    Args:
        path: the file.

    Attributes:
        name: name of the file with that of its folder, for messages.
        members: what is in it, by name without ``.npy``.

    Raises:
        BundleError: it is no archive of arrays, or a member holds objects, comes twice or has
            another size than its header says.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = f"{path.parent.name}/{path.name}"
        open_regular(path).close()
        try:
            with zipfile.ZipFile(path) as archive:
                self.members = {
                    info.filename.removesuffix(SUFFIX): self._header(archive, info)
                    for info in archive.infolist()
                }
                n_members = len(archive.infolist())
        except _DAMAGE as error:
            raise self._damaged(error) from error
        if n_members != len(self.members):
            raise BundleError(
                f"`{self.name}` holds a member twice: `{sorted(self.members)}`", code="bad_file"
            )

    def _header(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
        """Reads the header of one member and compares it with the directory."""
        name = info.filename
        stored = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if not name.endswith(SUFFIX) or not stored or info.flag_bits & 1:
            raise BundleError(
                f"member `{name}` of `{self.name}` is not a plain or deflated array",
                code="bad_file",
            )
        with archive.open(info) as stream:
            member = _read_member_header(stream)
            header_bytes = stream.tell()
        if member.dtype.hasobject or member.dtype.names is not None:
            raise BundleError(
                f"member `{name}` of `{self.name}` holds objects (`{member.dtype}`), which would "
                "run code when read; only plain numbers and text are read",
                code="objects",
            )
        if info.file_size != header_bytes + member.n_bytes:
            raise BundleError(
                f"member `{name}` of `{self.name}` has `{info.file_size - header_bytes}` bytes, "
                f"`{member.dtype}` of shape `{member.shape}` needs `{member.n_bytes}`",
                code="wrong_shape",
            )
        return member

    def require(self, name: str, shape: tuple[int | None, ...], kinds: str = "f") -> Member:
        """Looks a member up and checks it before it is read.

        Args:
            name: its name.
            shape: its shape; None for any length.
            kinds: NumPy kinds that are allowed; ``f`` means float32 alone.

        Raises:
            BundleError: it is missing, or of another shape or dtype.
        """
        member = self.members.get(name)
        if member is None:
            raise BundleError(
                f"`{self.name}` lacks `{name}`; it has `{sorted(self.members)[:40]}`",
                code="missing_tensor",
            )
        fits = len(shape) == len(member.shape) and all(
            want in (None, got) for want, got in zip(shape, member.shape, strict=True)
        )
        right = member.dtype.kind in kinds and (member.dtype.kind != "f" or _is_float32(member))
        if not fits or not right:
            wanted = "float32" if kinds == "f" else f"one of the kinds `{kinds}`"
            raise BundleError(
                f"`{name}` of `{self.name}` is `{member.dtype}` of shape `{member.shape}`, "
                f"expected {wanted} of shape `{shape}`",
                code="wrong_shape",
            )
        return member

    def read(self, name: str) -> npt.NDArray[Any]:
        """A whole member, in C order and the byte order of this machine.

        Raises:
            BundleError: it is damaged, or too large to be read as a whole.
        """
        member = self.members[name]
        if member.n_bytes > MAX_WHOLE_BYTES:
            raise BundleError(
                f"`{name}` of `{self.name}` has `{member.n_bytes:,}` bytes, at most "
                f"`{MAX_WHOLE_BYTES:,}` are read as a whole",
                code="too_large",
            )
        flat = np.empty(math.prod(member.shape), member.dtype)
        at = 0
        for part in self._parts(name, _values_per_block(member.dtype)):
            flat[at : at + len(part)] = part
            at += len(part)
        try:
            values = flat.reshape(member.shape, order="F" if member.fortran_order else "C")
        except ValueError as error:
            raise self._damaged(error) from error
        return np.ascontiguousarray(values, dtype=member.dtype.newbyteorder("="))

    def blocks(self, name: str) -> Iterator[npt.NDArray[Any]]:
        """A member of one dimension, some values at a time, in the byte order of this machine.

        Raises:
            BundleError: it is damaged.
        """
        dtype = self.members[name].dtype
        for part in self._parts(name, _values_per_block(dtype)):
            yield part.astype(dtype.newbyteorder("="), copy=False)

    def table(self, name: str) -> TableSource:
        """A member (rows, width) of float32 as a stream of rows.

        Raises:
            BundleError: its values stand column by column, so rows cannot be streamed.
        """
        member = self.members[name]
        n_rows, width = member.shape
        if member.fortran_order and n_rows > 1 and width > 1:
            raise BundleError(
                f"`{name}` of `{self.name}` is stored column by column",
                code="wrong_order",
                hint="save it again as np.ascontiguousarray(table)",
            )
        step = rows_per_block(width) * width

        def blocks() -> Iterator[npt.NDArray[np.float32]]:
            for part in self._parts(name, step):
                yield part.reshape(-1, width).astype(np.float32, copy=False)

        return TableSource(n_rows, width, blocks)

    def _parts(self, name: str, n_values: int) -> Iterator[npt.NDArray[Any]]:
        """Values of a member in the order of the file, some at a time."""
        member = self.members[name]
        left = math.prod(member.shape)
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(name + SUFFIX) as stream:
                _read_member_header(stream)
                while left:
                    n_now = min(left, n_values)
                    content = bytearray(n_now * member.dtype.itemsize)
                    _fill(stream, content)
                    left -= n_now
                    yield np.frombuffer(content, member.dtype)
                # the checksum is compared at the end of the member
                if stream.read(1):
                    raise EOFError(f"`{name}` goes on after its last value")
        except _DAMAGE as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> BundleError:
        return BundleError(
            f"`{self.name}` is not a good archive of arrays: {error}",
            code="bad_file",
            hint="download the checkpoint again",
        )


def _read_member_header(stream: IO[bytes]) -> Member:
    """Reads the header of an array, of any version that holds no code."""
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the array format is not read")
    first = version == (1, 0)
    length = bytearray(2 if first else 4)
    _fill(stream, length)
    n_bytes = int.from_bytes(length, "little")
    if n_bytes > MAX_HEADER_BYTES:
        raise ValueError(f"a header has {n_bytes:,} bytes, at most {MAX_HEADER_BYTES:,} are read")
    header = bytearray(n_bytes)
    _fill(stream, header)
    read = npy.read_array_header_1_0 if first else npy.read_array_header_2_0
    shape, fortran_order, dtype = read(
        io.BytesIO(length + header), max_header_size=MAX_HEADER_BYTES
    )
    # any shape fits values without bytes, so their number could not be checked against the file
    if not dtype.itemsize or not all(0 <= n <= MAX_LENGTH for n in shape):
        raise ValueError(f"there is no array of shape {shape} of `{dtype}`")
    return Member(dtype, shape, fortran_order)


def _values_per_block(dtype: np.dtype[Any]) -> int:
    return max(1, WHOLE_BLOCK_BYTES // max(dtype.itemsize, 1))


def _fill(stream: IO[bytes], content: bytearray) -> None:
    """Reads exactly as many bytes as fit."""
    view, at = memoryview(content), 0
    while at < len(content):
        part = stream.read(len(content) - at)
        if not part:
            raise EOFError("it ends too early")
        view[at : at + len(part)] = part
        at += len(part)


def _is_float32(member: Member) -> bool:
    return member.dtype.itemsize == np.dtype(np.float32).itemsize
