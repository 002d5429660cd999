"""Embedding tables on their way into a file: checked, converted and never held as a whole.

A table comes in blocks of rows, from an array or from a file. Each block is checked for values
that are not finite and converted to the dtype of the file:

* ``float32``, ``float16`` and ``bfloat16`` round each value to the nearest one, ties to even;
* ``int8`` stores ``round(value / scale)`` with one scale per row, the row's largest magnitude
  over 127, so a value is off by at most half its row's scale.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from xfeed import _core
from xfeed.errors import BundleError
from xfeed.phoenix.bundles.tensor_file import Stream

TableDtype = Literal["float32", "float16", "bfloat16", "int8"]
"""How the rows of a table are stored."""

TABLE_DTYPES: Final[dict[TableDtype, str]] = {
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int8": "I8",
}
"""The name of each in a safetensors file."""

SCALE_SUFFIX: Final = ".scale"
"""Ending of the tensor that holds the scales of an `int8` table's rows."""

INT8_MAX: Final = 127

MAX_SCALE: Final = np.float32(np.finfo(np.float32).max / 128)
"""Largest scale of an ``int8`` row with which every one of its values, -128 too, is finite."""

BLOCK_BYTES: Final = 2**23
"""Bytes of float32 rows that are converted together."""

Blocks = Iterable[npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class TableSource:
    """Rows of a table, to be read from the first to the last, perhaps more than once.

    Attributes:
        n_rows: rows.
        width: values of a row (W).
        blocks: gives the rows as float32 arrays (some rows, W).
    """

    n_rows: int
    width: int
    blocks: Callable[[], Blocks]

    @classmethod
    def of(cls, rows: npt.NDArray[np.float32]) -> "TableSource":
        """A table (n_rows, W) that is in memory already."""
        n_rows, width = rows.shape
        step = rows_per_block(width)

        def blocks() -> Iterator[npt.NDArray[np.float32]]:
            for start in range(0, n_rows, step):
                yield np.ascontiguousarray(rows[start : start + step], dtype=np.float32)

        return cls(n_rows, width, blocks)

    @classmethod
    def of_table(cls, table: _core.EmbeddingTable) -> "TableSource":
        """A table of the engine; only one block of it is copied at a time."""
        n_rows, width = table.n_rows, table.width
        step = rows_per_block(width)

        def blocks() -> Iterator[npt.NDArray[np.float32]]:
            for start in range(0, n_rows, step):
                rows = np.arange(start, min(start + step, n_rows), dtype=np.uint32)
                block = np.empty((len(rows), width), dtype=np.float32)
                table.gather(rows, block)
                yield block

        return cls(n_rows, width, blocks)


def rows_per_block(width: int) -> int:
    """Rows of a block of `BLOCK_BYTES`."""
    return max(1, BLOCK_BYTES // (4 * max(width, 1)))


def table_streams(
    file: str, name: str, source: TableSource, dtype: TableDtype
) -> dict[str, Stream]:
    """The tensors that store a table.

    Args:
        file: the file they go to, for messages.
        name: name of the table's tensor.
        source: its rows.
        dtype: how to store them.

    Returns:
        One tensor, or two with ``int8``. Reading their blocks raises `BundleError` with the
        tensor's name when a value is not finite or does not fit `dtype`.
    """
    shape = (source.n_rows, source.width)

    def blocks(convert: Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]]) -> Any:
        def converted() -> Iterator[npt.NDArray[Any]]:
            row = 0
            for block in source.blocks():
                check_finite(file, name, block, row)
                with np.errstate(over="ignore"):
                    made = np.ascontiguousarray(convert(block))
                _check_fits(file, name, dtype, made, row)
                row += len(block)
                yield made

        return converted

    streams = {name: Stream(TABLE_DTYPES[dtype], shape, blocks(_CONVERT[dtype]))}
    if dtype == "int8":
        streams[name + SCALE_SUFFIX] = Stream("F32", shape[:1], blocks(row_scales))
    return streams


def check_finite(file: str, name: str, values: npt.NDArray[Any], first_row: int = 0) -> None:
    """Refuses NaN and infinity.

    Raises:
        BundleError: a value is not finite; names the tensor, how many and the first row.
    """
    bad = ~np.isfinite(values)
    n_bad = int(bad.sum())
    if n_bad:
        row = first_row + int(np.argwhere(bad)[0][0]) if values.ndim else 0
        raise BundleError(
            f"tensor `{name}` of `{file}` has `{n_bad}` values that are not finite, the first in "
            f"row `{row}`",
            code="not_finite",
        )


def row_scales(block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(n,) scales of the rows of an ``int8`` table; 1 for a row of zeros."""
    largest = np.abs(block).max(axis=1, initial=np.float32(0))
    scales: npt.NDArray[np.float32] = (largest / np.float32(INT8_MAX)).astype(np.float32)
    return np.where(scales > 0, scales, np.float32(1))


def to_int8(block: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
    """Rows in units of their scales."""
    units = np.rint(block / row_scales(block)[:, None])
    rounded: npt.NDArray[np.int8] = np.clip(units, -INT8_MAX, INT8_MAX).astype(np.int8)
    return rounded


def to_bfloat16(block: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Bits of the nearest bfloat16 values, ties to even; `block` must be finite."""
    bits = np.ascontiguousarray(block).view(np.uint32)
    # half of what is cut off, less one where the last kept bit is even
    bits = bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))
    return (bits >> np.uint32(16)).astype(np.uint16)


_CONVERT: Final[dict[TableDtype, Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]]]] = {
    "float32": lambda block: block,
    "float16": lambda block: block.astype(np.float16),
    "bfloat16": to_bfloat16,
    "int8": to_int8,
}

_BFLOAT16_INFINITY: Final = 0x7F80


def _check_fits(
    file: str, name: str, dtype: TableDtype, made: npt.NDArray[Any], first_row: int
) -> None:
    """Refuses a table whose values became infinite by the conversion."""
    if dtype == "float16":
        bad = np.isinf(made)
    elif dtype == "int8" and made.dtype == np.float32:
        bad = made > MAX_SCALE
    elif dtype == "bfloat16" and made.dtype == np.uint16:
        bad = (made & np.uint16(_BFLOAT16_INFINITY)) == _BFLOAT16_INFINITY
    else:
        return
    if bad.any():
        row = first_row + int(np.argwhere(bad)[0][0])
        raise BundleError(
            f"row `{row}` of tensor `{name}` of `{file}` does not fit `{dtype}`",
            code="out_of_range",
            hint="store the tables as bfloat16 or float32",
        )
