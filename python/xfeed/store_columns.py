"""Arrays as the post store takes them, or a `ShapeError` that says how to fix the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from xfeed.errors import ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Column: TypeAlias = npt.NDArray[Any] | "Sequence[int]"
"""Integers: an array of the dtype that is named where it is taken, or a sequence of ints."""

RELATED: Final = (
    "reply_to_id",
    "reply_to_author_id",
    "root_id",
    "root_author_id",
    "repost_of_id",
    "repost_of_author_id",
    "quote_of_id",
    "quote_of_author_id",
)
"""The columns of ids that not every post has."""


def optional(values: Column | None, dtype: type[np.generic], name: str) -> Any:
    return None if values is None else column(values, dtype, name)


def column(values: Column, dtype: type[np.generic], name: str) -> npt.NDArray[Any]:
    """The values as an array that the engine can borrow."""
    if not isinstance(values, np.ndarray):
        return _from_ints(values, dtype, name)
    if values.dtype != dtype:
        raise ShapeError(
            f"`{name}` has the dtype {values.dtype}, {np.dtype(dtype)} is needed",
            code="bad_shape",
            hint=f"pass {name}.astype(np.{np.dtype(dtype)}) if every value fits",
        )
    if values.ndim != 1:
        raise ShapeError(
            f"`{name}` has the shape {values.shape}, one dimension is needed",
            code="bad_shape",
            hint=f"pass {name}.reshape(-1)",
        )
    if isinstance(values, np.ma.MaskedArray):
        raise ShapeError(
            f"`{name}` is masked, and every post has one",
            code="bad_shape",
            hint=f"pass {name}.data, or leave those posts out",
        )
    return values


def _from_ints(values: Iterable[int], dtype: type[np.generic], name: str) -> npt.NDArray[Any]:
    values = list(values)
    try:
        if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
            return np.array(values, dtype=dtype)
    except OverflowError:
        pass
    raise ShapeError(
        f"`{name}` holds something else than integers of {np.dtype(dtype)}",
        code="bad_shape",
        hint=f"pass np.array({name}, dtype=np.{np.dtype(dtype)})",
    )


def related_columns(given: Mapping[str, Column]) -> dict[str, Any]:
    unknown = [name for name in given if name not in RELATED]
    if unknown:
        raise TypeError(f"`{unknown[0]}` is no column of posts; those are {', '.join(RELATED)}")
    columns: dict[str, Any] = dict.fromkeys(RELATED)
    for name, values in given.items():
        if isinstance(values, np.ma.MaskedArray):
            mask = None if values.mask is np.ma.nomask else np.ascontiguousarray(values.mask)
            columns[name] = (column(values.data, np.uint64, name), mask)
        else:
            columns[name] = (column(values, np.uint64, name), None)
    return columns
