"""What embedding tables and their optimizer are given, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xfeed.errors import ShapeError

if TYPE_CHECKING:
    import numpy.typing as npt


def id_column(ids: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """Ids as uint64 ``(n,)``."""
    numbers = np.asarray(ids)
    is_whole = numbers.dtype.kind == "u" or (
        numbers.dtype.kind == "i" and (not numbers.size or int(numbers.min()) >= 0)
    )
    if numbers.ndim != 1 or (numbers.size and not is_whole):
        raise ShapeError(
            f"`ids` has the shape {numbers.shape} and the dtype {numbers.dtype}",
            code="bad_shape",
            hint="pass ids from 0 to 2^64 - 1 in one dimension, as np.uint64",
        )
    return np.ascontiguousarray(numbers, dtype=np.uint64)


def row_column(rows: npt.ArrayLike, n_rows: int) -> npt.NDArray[np.uint32]:
    """Numbers of rows of a table of `n_rows` rows, as uint32 ``(n,)``."""
    numbers = np.asarray(rows)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "ui"):
        raise ShapeError(
            f"`rows` has the shape {numbers.shape} and the dtype {numbers.dtype}",
            code="bad_shape",
            hint="pass whole numbers in one dimension",
        )
    if numbers.size and not (numbers.min() >= 0 and numbers.max() < n_rows):
        raise ShapeError(
            f"rows from `{numbers.min()}` to `{numbers.max()}`, the table has {n_rows}",
            code="bad_shape",
            hint="rows count from 0",
        )
    return np.ascontiguousarray(numbers, dtype=np.uint32)


def output(out: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """An array that floats can be written to."""
    if out.dtype != np.float32 or out.ndim != 2 or not out.flags.writeable:
        raise ShapeError(
            f"`out` has the shape {out.shape} and the dtype {out.dtype}"
            + ("" if out.flags.writeable else ", and is read-only"),
            code="bad_shape",
            hint="pass a C-contiguous array of float32 with two dimensions that can be written to",
        )
    return out
