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


@dataclass(frozen=True, slots=True)
class _Bound:
    """Which values are bad: those whose bits under `mask` are at least `first_bad`."""

    mask: npt.NDArray[Any]
    first_bad: npt.NDArray[Any]

    @classmethod
    def of_exponent(cls, bits: int, dtype: type[np.unsignedinteger[Any]]) -> "_Bound":
        """Bad is an exponent with all bits set, as NaN and infinity have it."""
        return cls(np.array(bits, dtype), np.array(bits, dtype))


BOUNDS: Final = {
    "F64": _Bound.of_exponent(0x7FF0_0000_0000_0000, np.uint64),
    "F32": _Bound.of_exponent(0x7F80_0000, np.uint32),
    "F16": _Bound.of_exponent(0x7C00, np.uint16),
    "BF16": _Bound.of_exponent(0x7F80, np.uint16),
}
"""What is not finite, by dtype, as unsigned integers of the same size."""

SCALE_BOUND: Final = _Bound(
    np.array(0x7FFF_FFFF, np.uint32), np.asarray(MAX_SCALE).view(np.uint32) + np.uint32(1)
)
"""Scales whose rows are not finite; magnitudes are ordered as their bits are."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a look at every byte found.

    Attributes:
        sha256: of the file, in hexadecimal.
        not_finite: tensor and row of the first value that is not finite, or of the first scale
            that makes its row so; None without one.
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
            is_scale = name.endswith(SCALE_SUFFIX) and entry.dtype == "F32"
            bound = SCALE_BOUND if is_scale else BOUNDS.get(entry.dtype)
            row = _scan_tensor(file, digest, buffer, entry, bound)
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


def _scan_tensor(
    file: BinaryIO, digest: Any, buffer: bytearray, entry: Entry, bound: _Bound | None
) -> int | None:
    """Hashes a tensor; returns the row of the first value that is bad."""
    at, bad = entry.start, None
    row_bytes = max((entry.stop - entry.start) // max(entry.shape[0], 1), 1) if entry.shape else 1
    while at < entry.stop:
        n_read = _hash(file, digest, buffer, min(entry.stop - at, len(buffer)))
        if bound is not None and bad is None:
            place = _first_bad(buffer, n_read // ITEM_BYTES[entry.dtype], bound)
            if place is not None:
                offset = at - entry.start + place * ITEM_BYTES[entry.dtype]
                bad = offset // row_bytes if entry.shape else 0
        at += n_read
        if not n_read:
            break
    return bad


def _first_bad(buffer: bytearray, count: int, bound: _Bound) -> int | None:
    """Place of the first bad value in the buffer."""
    found = np.bitwise_and(np.frombuffer(buffer, bound.mask.dtype, count), bound.mask)
    if not count or found.max() < bound.first_bad:
        return None
    return int(np.argmax(found >= bound.first_bad))
