"""Reads a large file once: for its SHA-256, and for values that are not finite.

The bytes go through a small buffer, so the file is never mapped or held, and other threads run
while it is hashed. A value is not finite exactly if all bits of its exponent are set, which is
one operation and one maximum over the bits.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from xfeed.errors import BundleError
from xfeed.phoenix.bundles.table_streams import MAX_SCALE, SCALE_SUFFIX
from xfeed.phoenix.bundles.tensor_file import ITEM_BYTES, Entry, open_regular

BLOCK_BYTES: Final = 2**18
"""Bytes that are hashed and looked at while they are in the cache."""

EXPONENTS: Final[dict[str, npt.NDArray[Any]]] = {
    "F64": np.array(0x7FF0_0000_0000_0000, np.uint64),
    "F32": np.array(0x7F80_0000, np.uint32),
    "F16": np.array(0x7C00, np.uint16),
    "BF16": np.array(0x7F80, np.uint16),
}
"""The exponent's bits by dtype, as an unsigned integer of the same size."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a look at every byte found.

    Attributes:
        sha256: of the file, in hexadecimal.
        not_finite: tensor and row of the first value that is not finite; None without one.
    """

    sha256: str
    not_finite: tuple[str, int] | None


def scan_file(path: Path, entries: dict[str, Entry]) -> Scanned:
    """Reads every byte of a file.

    Args:
        path: the file.
        entries: its tensors, from `read_header`; none for a file of another kind.

    Raises:
        BundleError: it cannot be read, or is shorter than its header says.
    """
    digest = hashlib.sha256()
    buffer = bytearray(BLOCK_BYTES)
    bad: tuple[str, int] | None = None
    with open_regular(path) as file:
        for name, entry in sorted(entries.items(), key=lambda item: item[1].start):
            _hash(file, digest, buffer, entry.start - file.tell())
            row = _scan_tensor(file, digest, buffer, entry)
            if file.tell() != entry.stop:
                raise BundleError(
                    f"`{path.name}` ends within tensor `{name}`",
                    code="wrong_size",
                    hint="the file was cut; restore it, or fit or import again",
                )
            bad = bad or (None if row is None else (name, row))
        while _hash(file, digest, buffer, BLOCK_BYTES):
            pass
    return Scanned(digest.hexdigest(), bad)


def _hash(file: BinaryIO, digest: Any, buffer: bytearray, length: int) -> int:
    """Hashes up to `length` bytes through the buffer; returns how many there were."""
    done = 0
    with memoryview(buffer) as view:
        while done < length:
            n_read = file.readinto(view[: min(length - done, len(view))])  # type: ignore[attr-defined]
            if not n_read:
                break
            digest.update(view[:n_read])
            done += n_read
    return done


def _scan_tensor(file: BinaryIO, digest: Any, buffer: bytearray, entry: Entry) -> int | None:
    """Hashes a tensor; returns the row of the first value that is not finite."""
    exponent = EXPONENTS.get(entry.dtype)
    at, bad = entry.start, None
    row_bytes = max((entry.stop - entry.start) // max(entry.shape[0], 1), 1) if entry.shape else 1
    while at < entry.stop:
        n_read = _hash(file, digest, buffer, min(entry.stop - at, len(buffer)))
        if exponent is not None and bad is None:
            place = _first_not_finite(buffer, n_read // ITEM_BYTES[entry.dtype], exponent)
            if place is not None:
                offset = at - entry.start + place * ITEM_BYTES[entry.dtype]
                bad = offset // row_bytes if entry.shape else 0
        at += n_read
        if not n_read:
            break
    return bad


def _first_not_finite(buffer: bytearray, count: int, exponent: npt.NDArray[Any]) -> int | None:
    """Place of the first value in the buffer whose exponent has all bits set."""
    found = np.bitwise_and(np.frombuffer(buffer, exponent.dtype, count), exponent)
    if not count or found.max() != exponent:
        return None
    return int(np.argmax(found == exponent))
